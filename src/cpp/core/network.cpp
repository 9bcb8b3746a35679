// The passes through the net on a block of rows, in terms of the kernel table.
#include "network.hpp"

#include <algorithm>

namespace mlpfast {
namespace {

// A large second-level cache. Where it is smaller the third keeps up, as a product uses each
// element that it fetches 64 times; smaller parts would have weights transposed more often.
constexpr ptrdiff_t kCachedBytes = 2097152;

}  // namespace

void Totals::add(const Totals& o) {
  loss += o.loss;
  weight += o.weight;
  correct += o.correct;
  squared_error += o.squared_error;
  absolute_error += o.absolute_error;
}

template <class T>
Network<T>::Network(const NetSpec& s, const Kernels<T>& k)
    : spec(s), kernels(k), layout(s, k.lanes, k.tile, k.panel, ptrdiff_t(sizeof(T))) {}

template <class T>
double Network<T>::flops_forward() const {
  double flops = 0;
  for (const Layer& layer : layout.layers) flops += 2.0 * double(layer.n_in * layer.n_out);
  return flops;
}

template <class T>
double Network<T>::flops_training() const {
  const Layer& first = layout.layers.front();
  return 3.0 * flops_forward() - 2.0 * double(first.n_in * first.n_out);
}

template <class T>
ptrdiff_t Network<T>::row_bytes() const {
  ptrdiff_t elements = layout.ld_input;
  for (const Layer& layer : layout.layers) elements += layer.ld * (1 + layer.keeps_z);
  return elements * ptrdiff_t(sizeof(T));
}

// Tiles are a cache line more apart than they are long, so that they do not fall on the same sets
// of the cache.
template <class T>
Places Network<T>::places(ptrdiff_t ld, ptrdiff_t rows, bool tiled) const {
  const ptrdiff_t tile = kernels.tile;
  if (tiled) return {tile, rows * tile + kCacheLine / ptrdiff_t(sizeof(T)), tile};
  return row_major(ld);
}

template <class T>
Places Network<T>::places_of_layer(size_t l, ptrdiff_t rows, bool tiled) const {
  return places(layout.layers[l].ld, rows, tiled && l + 1 < depth() && !whole_rows(l));
}

template <class T>
std::vector<ptrdiff_t> Network<T>::reserve(Arena& arena, ptrdiff_t rows, bool training,
                                           bool tiled) const {
  const auto elements = [&](const Places& at, ptrdiff_t cols) {
    const ptrdiff_t tiles = (cols + at.tile - 1) / at.tile;
    return at.tiled() ? tiles * at.block : rows * at.ld;
  };
  const auto reserve_units = [&](const Places& at, ptrdiff_t cols) {
    return arena.reserve_array<T>(elements(at, cols));
  };
  std::vector<ptrdiff_t> offsets = {
      reserve_units(places(layout.ld_input, rows, tiled), spec.sizes.front()),
      arena.reserve_array<T>(rows * last().ld),
      arena.reserve_array<T>(rows),
      arena.reserve_array<T>(rows),
      arena.reserve_array<double>(rows),
      arena.reserve_array<RowTotals>(rows)};
  // The deltas of a layer are read until those two layers below are begun: three places do.
  constexpr size_t kPlaces = 3;
  ptrdiff_t largest[kPlaces] = {}, deltas[kPlaces] = {};
  for (size_t l = 0; training && l < depth(); ++l) {
    const Places at = places_of_layer(l, rows, tiled);
    largest[l % kPlaces] = std::max(largest[l % kPlaces], elements(at, layout.layers[l].n_out));
  }
  for (size_t i = 0; i < kPlaces; ++i) deltas[i] = arena.reserve_array<T>(largest[i]);
  for (size_t l = 0; l < depth(); ++l) {
    const Layer& layer = layout.layers[l];
    const Places at = places_of_layer(l, rows, tiled);
    const ptrdiff_t a = reserve_units(at, layer.n_out);
    offsets.push_back(a);
    offsets.push_back(layer.keeps_z ? reserve_units(at, layer.n_out) : a);
    offsets.push_back(deltas[l % kPlaces]);
  }
  return offsets;
}

template <class T>
Workspace<T> Network<T>::bind(const Arena& arena, const std::vector<ptrdiff_t>& offsets,
                              ptrdiff_t rows, bool training, bool tiled) const {
  Workspace<T> ws;
  auto next = offsets.begin();
  ws.x = arena.at<T>(*next++);
  ws.x_places = places(layout.ld_input, rows, tiled);
  ws.target = arena.at<T>(*next++);
  ws.weight = arena.at<T>(*next++);
  ws.row_scale = arena.at<T>(*next++);
  ws.row_loss = arena.at<double>(*next++);
  ws.totals = arena.at<RowTotals>(*next++);
  for (size_t l = 0; l < depth(); ++l, next += 3)
    ws.layers.push_back({arena.at<T>(next[0]), arena.at<T>(next[1]),
                         training ? arena.at<T>(next[2]) : nullptr,
                         places_of_layer(l, rows, tiled)});
  return ws;
}

template <class T>
ptrdiff_t Network<T>::gather_inputs(const Batch<T>& batch, Range rows, ptrdiff_t base,
                                    const Workspace<T>& ws) const {
  Gather<T> g = batch.gather(rows, spec.sizes.front());
  g.to = ws.x + ws.x_places.at(rows.begin - base, 0);
  g.ld = ws.x_places.ld;
  g.block = ws.x_places.block;
  const ptrdiff_t bad = kernels.gather[int(batch.data->x_type)](g);
  if (drops_inputs())
    drop(0, ws.x, ws.x, ws.x_places, {rows.begin - base, rows.end - base},
         {0, round_up(spec.sizes.front(), kernels.lanes)}, ws.dropping);
  return bad < 0 ? bad : batch.row(rows.begin + bad);
}

template <class T>
void Network<T>::gather_targets(const Batch<T>& batch, Range rows, ptrdiff_t base, T scale,
                                const Workspace<T>& ws) const {
  const Data<T>& data = *batch.data;
  for (ptrdiff_t i = rows.begin; i < rows.end; ++i) {
    const ptrdiff_t row = batch.row(i), to = i - base;
    read_target(data, row, ws.target + to * last().ld, spec.sizes.back());
    ws.weight[to] = data.weight ? data.weight[row] : T(1);
    ws.row_scale[to] = ws.weight[to] * scale;
  }
}

namespace {

// Calls f(offset, rows, cols, ld) for pieces that together are the given rows and columns.
template <class F>
void for_each_piece(const Places& places, Range rows, const Panel& panel, F f) {
  if (!places.tiled()) {
    f(places.at(rows.begin, panel.col), rows.size(), panel.width, places.ld);
    return;
  }
  for (ptrdiff_t c = 0; c < panel.width; c += places.tile) {
    const ptrdiff_t at = places.at(rows.begin, panel.col + c);
    if (panel.width - c >= places.tile)  // the rows of a tile follow each other
      f(at, ptrdiff_t(1), rows.size() * places.tile, rows.size() * places.tile);
    else
      f(at, rows.size(), panel.width - c, places.ld);
  }
}

}  // namespace

template <class T>
Dropout<T> Network<T>::dropout_of_input(size_t l, const Dropping& dropping) const {
  const double rate = spec.dropout[l];
  Dropout<T> d{};
  d.key = {{dropping.step[0], dropping.step[1]}, uint32_t(l), uint32_t(rate * 4294967296.0)};
  d.scale = T(1.0 / (1.0 - rate));
  d.row = dropping.first_row;
  return d;
}

// Drops some of the inputs of layer l.
template <class T>
void Network<T>::drop(size_t l, const T* from, T* to, const Places& places, Range rows, Panel cols,
                      const Dropping& dropping) const {
  Dropout<T> d = dropout_of_input(l, dropping);
  d.row += rows.begin;
  d.rows = rows.size();
  d.ld = places.ld;
  const ptrdiff_t width = places.tiled() ? places.tile : cols.width;
  for (ptrdiff_t c = 0; c < cols.width; c += width) {
    const ptrdiff_t at = places.at(rows.begin, cols.col + c);
    d.unit = cols.col + c;
    d.cols = std::min(width, cols.width - c);
    d.from = from + at;
    d.to = to + at;
    kernels.drop(d);
  }
}

template <class T>
void Network<T>::forward(size_t l, const WeightView<T>& w, const T* in, const Places& in_places,
                         Range rows, Range panels, const Workspace<T>& ws) const {
  const Layer& layer = layout.layers[l];
  const auto& buffers = ws.layers[l];
  const auto activate = kernels.activate[int(layer.activation)];
  T* const outputs = layer.keeps_undropped ? buffers.z : buffers.a;
  const bool by_panel = layer.activation != Activation::identity && !whole_rows(l);
  const ptrdiff_t step = rows_in_cache(layer.n_in);
  for (ptrdiff_t first = rows.begin; first < rows.end; first += step) {
    const Range part = {first, std::min(first + step, rows.end)};
    for (ptrdiff_t p = panels.begin; p < panels.end; ++p) {
      const Panel& panel = layer.panels[size_t(p)];
      Gemm<T> g{};
      g.a = in + in_places.at(part.begin, 0);
      g.lda = in_places.ld;
      g.a_block = in_places.block;
      g.a_transposed = false;
      g.b = w.w + panel.col * w.col_stride;
      g.ldb = w.ldb ? w.ldb : panel.width;
      g.b_block = kernels.tile;
      g.c = buffers.z + buffers.places.at(part.begin, panel.col);
      g.ldc = buffers.places.ld;
      g.c_block = buffers.places.block;
      g.bias = w.bias ? w.bias + panel.col : nullptr;
      g.accumulate = false;
      g.m = part.size();
      g.n = panel.width;
      g.k = layer.n_in;
      if (layer.n_out <= kernels.few && g.m >= kernels.lanes && g.k >= 4 &&
          !buffers.places.tiled()) {
        g.n = layer.n_out;
        kernels.few_outputs(g);
      } else {
        kernels.gemm(g);
      }
      if (by_panel)
        for_each_piece(buffers.places, part, panel,
                       [&](ptrdiff_t at, ptrdiff_t n, ptrdiff_t cols, ptrdiff_t ld) {
                         activate(buffers.z + at, outputs + at, n, cols, ld);
                       });
      if (layer.drops && !whole_rows(l))
        drop(l + 1, outputs, buffers.a, buffers.places, part, panel, ws.dropping);
    }
  }
  if (whole_rows(l) && panels.size() == ptrdiff_t(layer.panels.size()))
    activate_whole_rows(l, rows, ws);
}

template <class T>
void Network<T>::activate_whole_rows(size_t l, Range rows, const Workspace<T>& ws) const {
  const Layer& layer = layout.layers[l];
  const auto& buffers = ws.layers[l];
  const ptrdiff_t at = buffers.places.at(rows.begin, 0);
  T* const outputs = layer.keeps_undropped ? buffers.z : buffers.a;
  kernels.activate[int(layer.activation)](buffers.z + at, outputs + at, rows.size(), layer.n_out,
                                          buffers.places.ld);
  if (layer.drops)
    drop(l + 1, outputs, buffers.a, buffers.places, rows, {0, layer.out_padded}, ws.dropping);
}

template <class T>
void Network<T>::loss(Range rows, bool want_metrics, const Workspace<T>& ws) const {
  const Layer& layer = last();
  const auto& buffers = ws.layers.back();
  const ptrdiff_t at = rows.begin * layer.ld;
  LossRows<T> r;
  r.z = buffers.z + at;
  r.a = buffers.a + at;
  r.target = ws.target + at;
  r.row_scale = buffers.d ? ws.row_scale + rows.begin : nullptr;
  r.delta = buffers.d ? buffers.d + at : nullptr;
  r.row_loss = ws.row_loss + rows.begin;
  r.rows = rows.size();
  r.cols = layer.n_out;
  r.ld = r.ld_target = layer.ld;
  r.slopes = spec.slopes<T>();
  if (spec.loss == Loss::poisson && layout.loss_from_logits)
    kernels.poisson_from_logits(r);
  else
    kernels.loss[int(spec.loss)](r);
  if (r.delta && !layout.loss_from_logits && layer.activation != Activation::identity) {
    const T* kept = layer.keeps_z ? r.z : r.a;
    kernels.derive[int(layer.activation)](kept, r.delta, r.rows, layer.n_out, layer.ld);
  }
  for (ptrdiff_t i = rows.begin; i < rows.end; ++i) ws.totals[i] = {ws.row_loss[i], 0, 0, 0};
  if (want_metrics) kernels.row_metrics(r, ws.totals + rows.begin);
}

template <class T>
Totals Network<T>::sum_totals(Range rows, const Workspace<T>& ws) const {
  Totals sum;
  for (ptrdiff_t i = rows.begin; i < rows.end; ++i) {
    const double weight = double(ws.weight[i]);
    const double counted = spec.counts_rows() ? 1.0 : weight;
    const RowTotals& row = ws.totals[i];
    sum.add({weight * row.loss, counted, counted * row.correct, counted * row.squared_error,
             counted * row.absolute_error});
  }
  return sum;
}

template <class T>
void Network<T>::transpose_strip(size_t l, const T* packed, const Panel& strip, T* to) const {
  const Layer& layer = layout.layers[l];
  for (const Panel& panel : layer.panels) {
    const T* from = packed + layer.packed_w + panel.col * layer.in_padded;
    const ptrdiff_t left = layer.n_out - panel.col;
    kernels.transpose(from + strip.col * panel.width, panel.width, strip.width,
                      left < panel.width ? left : panel.width, to + panel.col * strip.width,
                      strip.width);
  }
}

template <class T>
void Network<T>::propagate(size_t l, const T* transposed, Range rows, const Panel& strip,
                           const Workspace<T>& ws) const {
  const Layer& above = layout.layers[l];
  const Layer& below = layout.layers[l - 1];
  const auto& from = ws.layers[l];
  const auto& to = ws.layers[l - 1];
  Gemm<T> g{};
  g.a = from.d + from.places.at(rows.begin, 0);
  g.lda = from.places.ld;
  g.a_block = from.places.block;
  g.a_transposed = false;
  g.b = transposed;
  g.ldb = strip.width;
  g.b_block = kernels.tile;
  g.c = to.d + to.places.at(rows.begin, strip.col);
  g.ldc = to.places.ld;
  g.c_block = to.places.block;
  g.bias = nullptr;
  g.accumulate = false;
  g.m = rows.size();
  g.n = strip.width;
  g.k = above.n_out;
  kernels.gemm(g);
  if (below.drops) drop(l, to.d, to.d, to.places, rows, strip, ws.dropping);
  if (below.activation == Activation::identity || whole_rows(l - 1)) return;
  const T* kept = below.keeps_z ? to.z : to.a;
  const auto derive = kernels.derive[int(below.activation)];
  for_each_piece(to.places, rows, strip,
                 [&](ptrdiff_t at, ptrdiff_t n, ptrdiff_t cols, ptrdiff_t ld) {
                   derive(kept + at, to.d + at, n, cols, ld);
                 });
}

template <class T>
void Network<T>::derive_whole_rows(size_t l, Range rows, const Workspace<T>& ws) const {
  const Layer& layer = layout.layers[l];
  const auto& buffers = ws.layers[l];
  const ptrdiff_t at = buffers.places.at(rows.begin, 0);
  const T* kept = layer.keeps_z ? buffers.z : buffers.a;
  kernels.derive[int(layer.activation)](kept + at, buffers.d + at, rows.size(), layer.n_out,
                                        buffers.places.ld);
}

template <class T>
void Network<T>::weight_gradient(size_t l, ptrdiff_t rows, Range inputs, const Panel& panel, T* out,
                                 bool accumulate, const Workspace<T>& ws, Ahead* ahead) const {
  const Places& in = places_of_input(l, ws);
  const auto& buffers = ws.layers[l];
  Gemm<T> g{};
  g.a = input_of(l, ws) + in.at(0, inputs.begin);
  g.lda = in.ld;
  g.a_block = in.block;
  g.a_transposed = true;
  g.b = buffers.d + buffers.places.at(0, panel.col);
  g.ldb = buffers.places.ld;
  g.b_block = buffers.places.block;
  g.c = out;
  g.ldc = panel.width;
  g.c_block = kernels.tile;
  g.bias = nullptr;
  g.accumulate = accumulate;
  g.m = inputs.size();
  g.n = panel.width;
  g.k = rows;
  g.ahead = ahead;
  kernels.gemm(g);
}

template <class T>
void Network<T>::bias_gradient(size_t l, ptrdiff_t rows, const Panel& panel, T* out,
                               bool accumulate, const Workspace<T>& ws) const {
  const auto& buffers = ws.layers[l];
  kernels.column_sums(buffers.d + buffers.places.at(0, panel.col), rows, panel.width,
                      buffers.places.ld, buffers.places.block, out, accumulate);
}

// Rows of so many units that stay in the second-level cache, with room for weights and outputs.
template <class T>
ptrdiff_t Network<T>::rows_in_cache(ptrdiff_t units) const {
  return std::max<ptrdiff_t>(kCachedBytes / ptrdiff_t(sizeof(T)) / units, 64);
}

template class Network<float>;
template class Network<double>;

}  // namespace mlpfast
