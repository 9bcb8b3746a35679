// The kernels' arguments for the parts of a phase.
#include "row_major.hpp"

#include <algorithm>

namespace mlpfast {
namespace {

// Tiles lie one cache line further apart than they are long, so that they do not map to the same
// sets of the cache.
template <class T>
BlockLayout block_layout(const Network<T>& net, ptrdiff_t ld, ptrdiff_t rows, bool tiled) {
  const ptrdiff_t tile = net.kernels.tile;
  if (tiled) return {tile, rows * tile + kCacheLine / ptrdiff_t(sizeof(T)), tile};
  return row_major(net, ld);
}

template <class T>
BlockLayout layout_of_layer(const Network<T>& net, size_t l, ptrdiff_t rows, bool tiled) {
  return block_layout(net, net.layout.layers[l].ld, rows,
                      tiled && l + 1 < net.depth() && !net.whole_rows(l));
}

// Calls f(offset, rows, cols, ld) for pieces that together are the given rows and columns.
template <class F>
void for_each_piece(const BlockLayout& layout, Range rows, const Panel& panel, F f) {
  if (!layout.tiled()) {
    f(layout.at(rows.begin, panel.col), rows.size(), panel.width, layout.ld);
    return;
  }
  for (ptrdiff_t c = 0; c < panel.width; c += layout.tile) {
    const ptrdiff_t at = layout.at(rows.begin, panel.col + c);
    if (panel.width - c >= layout.tile)  // the rows of a tile follow each other
      f(at, ptrdiff_t(1), rows.size() * layout.tile, rows.size() * layout.tile);
    else
      f(at, rows.size(), panel.width - c, layout.ld);
  }
}

}  // namespace

template <class T>
std::vector<ptrdiff_t> RowMajorPass<T>::reserve(const Network<T>& net, Arena& arena, ptrdiff_t rows,
                                                bool training, bool tiled) {
  const auto elements = [&](const BlockLayout& at, ptrdiff_t cols) {
    const ptrdiff_t tiles = (cols + at.tile - 1) / at.tile;
    return at.tiled() ? tiles * at.block : rows * at.ld;
  };
  const auto reserve_units = [&](const BlockLayout& at, ptrdiff_t cols) {
    return arena.reserve_array<T>(elements(at, cols));
  };
  std::vector<ptrdiff_t> offsets = {
      reserve_units(block_layout(net, net.layout.ld_input, rows, tiled), net.spec.sizes.front()),
      arena.reserve_array<T>(rows * net.last().ld),
      arena.reserve_array<T>(rows),
      arena.reserve_array<T>(rows),
      arena.reserve_array<double>(rows),
      arena.reserve_array<RowTotals>(rows)};
  // The deltas of a layer are read until those two layers below are begun: three buffers suffice.
  constexpr size_t kBuffers = 3;
  ptrdiff_t largest[kBuffers] = {}, deltas[kBuffers] = {};
  for (size_t l = 0; training && l < net.depth(); ++l) {
    const BlockLayout at = layout_of_layer(net, l, rows, tiled);
    largest[l % kBuffers] =
        std::max(largest[l % kBuffers], elements(at, net.layout.layers[l].n_out));
  }
  for (size_t i = 0; i < kBuffers; ++i) deltas[i] = arena.reserve_array<T>(largest[i]);
  for (size_t l = 0; l < net.depth(); ++l) {
    const Layer& layer = net.layout.layers[l];
    const BlockLayout at = layout_of_layer(net, l, rows, tiled);
    const ptrdiff_t a = reserve_units(at, layer.n_out);
    offsets.push_back(a);
    offsets.push_back(layer.keeps_z ? reserve_units(at, layer.n_out) : a);
    offsets.push_back(deltas[l % kBuffers]);
  }
  return offsets;
}

template <class T>
RowMajorPass<T>::RowMajorPass(const Network<T>& net, const Arena& arena,
                              const std::vector<ptrdiff_t>& offsets, ptrdiff_t rows, bool training,
                              bool tiled)
    : net(net), x_layout(block_layout(net, net.layout.ld_input, rows, tiled)) {
  auto next = offsets.begin();
  x = arena.at<T>(*next++);
  target = arena.at<T>(*next++);
  weight = arena.at<T>(*next++);
  row_scale = arena.at<T>(*next++);
  row_loss = arena.at<double>(*next++);
  totals = arena.at<RowTotals>(*next++);
  for (size_t l = 0; l < net.depth(); ++l, next += 3)
    layers.push_back({arena.at<T>(next[0]), arena.at<T>(next[1]),
                      training ? arena.at<T>(next[2]) : nullptr,
                      layout_of_layer(net, l, rows, tiled)});
}

template <class T>
ptrdiff_t RowMajorPass<T>::tiled_input_bytes(const Network<T>& net, ptrdiff_t rows) {
  const BlockLayout at = block_layout(net, net.layout.ld_input, rows, true);
  return (net.spec.sizes.front() + at.tile - 1) / at.tile * at.block * ptrdiff_t(sizeof(T));
}

template <class T>
ptrdiff_t RowMajorPass<T>::gather_inputs(const Batch<T>& batch, Range rows, ptrdiff_t base) const {
  Gather<T> g = batch.gather(rows, net.spec.sizes.front());
  g.to = x + x_layout.at(rows.begin - base, 0);
  g.ld = x_layout.ld;
  g.block = x_layout.block;
  const ptrdiff_t bad = net.kernels.gather[int(batch.data->x_type)](g);
  if (net.drops_inputs())
    drop(0, x, x, x_layout, {rows.begin - base, rows.end - base},
         {0, round_up(net.spec.sizes.front(), net.kernels.lanes)});
  return bad < 0 ? bad : batch.row(rows.begin + bad);
}

template <class T>
void RowMajorPass<T>::gather_targets(const Batch<T>& batch, Range rows, ptrdiff_t base,
                                     T scale) const {
  const Data<T>& data = *batch.data;
  for (ptrdiff_t i = rows.begin; i < rows.end; ++i) {
    const ptrdiff_t row = batch.row(i), to = i - base;
    read_target(data, row, target + to * net.last().ld, net.spec.sizes.back());
    weight[to] = data.weight ? data.weight[row] : T(1);
    row_scale[to] = weight[to] * scale;
  }
}

template <class T>
void RowMajorPass<T>::drop(size_t l, const T* from, T* to, const BlockLayout& layout, Range rows,
                           Panel cols) const {
  Dropout<T> d = net.dropout_of_input(l, dropout);
  d.row += rows.begin;
  d.rows = rows.size();
  d.ld = layout.ld;
  const ptrdiff_t width = layout.tiled() ? layout.tile : cols.width;
  for (ptrdiff_t c = 0; c < cols.width; c += width) {
    const ptrdiff_t at = layout.at(rows.begin, cols.col + c);
    d.unit = cols.col + c;
    d.cols = std::min(width, cols.width - c);
    d.from = from + at;
    d.to = to + at;
    net.kernels.drop(d);
  }
}

template <class T>
void RowMajorPass<T>::forward(size_t l, const WeightView<T>& w, const T* in,
                              const BlockLayout& in_layout, Range rows, Range panels) const {
  const Layer& layer = net.layout.layers[l];
  const auto& buffers = layers[l];
  const auto activate = net.kernels.activate[int(layer.activation)];
  T* const outputs = layer.keeps_undropped ? buffers.z : buffers.a;
  const bool by_panel = layer.activation != Activation::identity && !net.whole_rows(l);
  const ptrdiff_t step = net.rows_in_cache(layer.n_in);
  for (ptrdiff_t first = rows.begin; first < rows.end; first += step) {
    const Range part = {first, std::min(first + step, rows.end)};
    for (ptrdiff_t p = panels.begin; p < panels.end; ++p) {
      const Panel& panel = layer.panels[size_t(p)];
      Gemm<T> g{};
      g.a = in + in_layout.at(part.begin, 0);
      g.lda = in_layout.ld;
      g.a_block = in_layout.block;
      g.a_transposed = false;
      g.b = w.w + panel.col * w.col_stride;
      g.ldb = w.ldb ? w.ldb : panel.width;
      g.b_block = net.kernels.tile;
      g.c = buffers.z + buffers.layout.at(part.begin, panel.col);
      g.ldc = buffers.layout.ld;
      g.c_block = buffers.layout.block;
      g.bias = w.bias ? w.bias + panel.col : nullptr;
      g.accumulate = false;
      g.m = part.size();
      g.n = panel.width;
      g.k = layer.n_in;
      if (layer.n_out <= net.kernels.max_skinny_n && g.m >= net.kernels.lanes && g.k >= 4 &&
          !buffers.layout.tiled()) {
        g.n = layer.n_out;
        net.kernels.skinny_gemm(g);
      } else {
        net.kernels.gemm(g);
      }
      if (by_panel)
        for_each_piece(buffers.layout, part, panel,
                       [&](ptrdiff_t at, ptrdiff_t n, ptrdiff_t cols, ptrdiff_t ld) {
                         activate(buffers.z + at, outputs + at, n, cols, ld);
                       });
      if (layer.drops && !net.whole_rows(l))
        drop(l + 1, outputs, buffers.a, buffers.layout, part, panel);
    }
  }
  if (net.whole_rows(l) && panels.size() == ptrdiff_t(layer.panels.size()))
    activate_whole_rows(l, rows);
}

template <class T>
void RowMajorPass<T>::activate_whole_rows(size_t l, Range rows) const {
  const Layer& layer = net.layout.layers[l];
  const auto& buffers = layers[l];
  const ptrdiff_t at = buffers.layout.at(rows.begin, 0);
  T* const outputs = layer.keeps_undropped ? buffers.z : buffers.a;
  net.kernels.activate[int(layer.activation)](buffers.z + at, outputs + at, rows.size(),
                                              layer.n_out, buffers.layout.ld);
  if (layer.drops) drop(l + 1, outputs, buffers.a, buffers.layout, rows, {0, layer.out_padded});
}

template <class T>
void RowMajorPass<T>::loss(Range rows, bool want_metrics) const {
  const Layer& layer = net.last();
  const auto& buffers = layers.back();
  const ptrdiff_t at = rows.begin * layer.ld;
  LossRows<T> r;
  r.z = buffers.z + at;
  r.a = buffers.a + at;
  r.target = target + at;
  r.row_scale = buffers.d ? row_scale + rows.begin : nullptr;
  r.delta = buffers.d ? buffers.d + at : nullptr;
  r.row_loss = row_loss + rows.begin;
  r.rows = rows.size();
  r.cols = layer.n_out;
  r.ld = r.ld_target = layer.ld;
  r.slopes = net.spec.template slopes<T>();
  net.kernels.loss[int(net.spec.loss)][net.layout.loss_from_logits](r);
  if (r.delta && !net.layout.loss_from_logits && layer.activation != Activation::identity) {
    const T* kept = layer.keeps_z ? r.z : r.a;
    net.kernels.derive[int(layer.activation)](kept, r.delta, r.rows, layer.n_out, layer.ld);
  }
  for (ptrdiff_t i = rows.begin; i < rows.end; ++i) totals[i] = {row_loss[i], 0, 0, 0};
  if (want_metrics) net.kernels.row_metrics(r, totals + rows.begin);
}

template <class T>
Totals RowMajorPass<T>::sum_totals(Range rows) const {
  Totals sum;
  for (ptrdiff_t i = rows.begin; i < rows.end; ++i) {
    const double row_weight = double(weight[i]);
    const double counted = net.spec.counts_rows() ? 1.0 : row_weight;
    const RowTotals& row = totals[i];
    sum.add({row_weight * row.loss, counted, counted * row.correct, counted * row.squared_error,
             counted * row.absolute_error});
  }
  return sum;
}

template <class T>
void RowMajorPass<T>::transpose_strip(size_t l, const T* packed, const Panel& strip, T* to) const {
  const Layer& layer = net.layout.layers[l];
  for (const Panel& panel : layer.panels) {
    const T* from = packed + layer.packed_w + panel.col * layer.in_padded;
    const ptrdiff_t left = layer.n_out - panel.col;
    net.kernels.transpose(from + strip.col * panel.width, panel.width, strip.width,
                          left < panel.width ? left : panel.width, to + panel.col * strip.width,
                          strip.width);
  }
}

template <class T>
void RowMajorPass<T>::propagate(size_t l, const T* transposed, Range rows,
                                const Panel& strip) const {
  const Layer& above = net.layout.layers[l];
  const Layer& below = net.layout.layers[l - 1];
  const auto& from = layers[l];
  const auto& to = layers[l - 1];
  Gemm<T> g{};
  g.a = from.d + from.layout.at(rows.begin, 0);
  g.lda = from.layout.ld;
  g.a_block = from.layout.block;
  g.a_transposed = false;
  g.b = transposed;
  g.ldb = strip.width;
  g.b_block = net.kernels.tile;
  g.c = to.d + to.layout.at(rows.begin, strip.col);
  g.ldc = to.layout.ld;
  g.c_block = to.layout.block;
  g.bias = nullptr;
  g.accumulate = false;
  g.m = rows.size();
  g.n = strip.width;
  g.k = above.n_out;
  net.kernels.gemm(g);
  if (below.drops) drop(l, to.d, to.d, to.layout, rows, strip);
  if (below.activation == Activation::identity || net.whole_rows(l - 1)) return;
  const T* kept = below.keeps_z ? to.z : to.a;
  const auto derive = net.kernels.derive[int(below.activation)];
  for_each_piece(to.layout, rows, strip,
                 [&](ptrdiff_t at, ptrdiff_t n, ptrdiff_t cols, ptrdiff_t ld) {
                   derive(kept + at, to.d + at, n, cols, ld);
                 });
}

template <class T>
void RowMajorPass<T>::derive_whole_rows(size_t l, Range rows) const {
  const Layer& layer = net.layout.layers[l];
  const auto& buffers = layers[l];
  const ptrdiff_t at = buffers.layout.at(rows.begin, 0);
  const T* kept = layer.keeps_z ? buffers.z : buffers.a;
  net.kernels.derive[int(layer.activation)](kept + at, buffers.d + at, rows.size(), layer.n_out,
                                            buffers.layout.ld);
}

template <class T>
void RowMajorPass<T>::weight_gradient(size_t l, ptrdiff_t rows, Range inputs, const Panel& panel,
                                      T* out, bool accumulate, Prefetch* prefetch) const {
  const BlockLayout& in = layout_of_input(l);
  const auto& buffers = layers[l];
  Gemm<T> g{};
  g.a = input_of(l) + in.at(0, inputs.begin);
  g.lda = in.ld;
  g.a_block = in.block;
  g.a_transposed = true;
  g.b = buffers.d + buffers.layout.at(0, panel.col);
  g.ldb = buffers.layout.ld;
  g.b_block = buffers.layout.block;
  g.c = out;
  g.ldc = panel.width;
  g.c_block = net.kernels.tile;
  g.bias = nullptr;
  g.accumulate = accumulate;
  g.m = inputs.size();
  g.n = panel.width;
  g.k = rows;
  g.prefetch = prefetch;
  net.kernels.gemm(g);
}

template <class T>
void RowMajorPass<T>::bias_gradient(size_t l, ptrdiff_t rows, const Panel& panel, T* out,
                                    bool accumulate) const {
  const auto& buffers = layers[l];
  net.kernels.column_sums(buffers.d + buffers.layout.at(0, panel.col), rows, panel.width,
                          buffers.layout.ld, buffers.layout.block, out, accumulate);
}

template struct RowMajorPass<float>;
template struct RowMajorPass<double>;

}  // namespace mlpfast
