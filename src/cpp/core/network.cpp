// The passes through the net on a block of rows, in terms of the kernel table.
#include "network.hpp"

namespace mlpfast {

void Totals::add(const Totals& o) {
  loss += o.loss;
  weight += o.weight;
  correct += o.correct;
  squared_error += o.squared_error;
  absolute_error += o.absolute_error;
}

template <class T>
Network<T>::Network(const NetSpec& s, const Kernels<T>& k)
    : spec(s), kernels(k), layout(s, k.lanes, k.panel, ptrdiff_t(sizeof(T))) {}

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
ptrdiff_t Network<T>::row_bytes(bool training) const {
  ptrdiff_t elements = layout.ld_input;
  for (const Layer& layer : layout.layers)
    elements += layer.ld * (1 + layer.keeps_z + (training ? 1 : 0));
  return elements * ptrdiff_t(sizeof(T));
}

template <class T>
std::vector<ptrdiff_t> Network<T>::reserve(Arena& arena, ptrdiff_t rows, bool training) const {
  std::vector<ptrdiff_t> offsets = {arena.reserve_array<T>(rows * layout.ld_input),
                                    arena.reserve_array<T>(rows * last().ld),
                                    arena.reserve_array<T>(rows),
                                    arena.reserve_array<T>(rows),
                                    arena.reserve_array<double>(rows),
                                    arena.reserve_array<RowTotals>(rows)};
  for (const Layer& layer : layout.layers) {
    const ptrdiff_t a = arena.reserve_array<T>(rows * layer.ld);
    offsets.push_back(a);
    offsets.push_back(layer.keeps_z ? arena.reserve_array<T>(rows * layer.ld) : a);
    offsets.push_back(training ? arena.reserve_array<T>(rows * layer.ld) : a);
  }
  return offsets;
}

template <class T>
Workspace<T> Network<T>::bind(const Arena& arena, const std::vector<ptrdiff_t>& offsets,
                              bool training) const {
  Workspace<T> ws;
  auto next = offsets.begin();
  ws.x = arena.at<T>(*next++);
  ws.target = arena.at<T>(*next++);
  ws.weight = arena.at<T>(*next++);
  ws.row_scale = arena.at<T>(*next++);
  ws.row_loss = arena.at<double>(*next++);
  ws.totals = arena.at<RowTotals>(*next++);
  for (size_t l = 0; l < depth(); ++l, next += 3)
    ws.layers.push_back(
        {arena.at<T>(next[0]), arena.at<T>(next[1]), training ? arena.at<T>(next[2]) : nullptr});
  return ws;
}

template <class T>
ptrdiff_t Network<T>::gather(const Batch<T>& batch, Range rows, ptrdiff_t base, T scale,
                             const Workspace<T>& ws) const {
  const Data<T>& data = *batch.data;
  const ptrdiff_t n_in = spec.sizes.front(), n_out = spec.sizes.back();
  ptrdiff_t bad = -1;
  for (ptrdiff_t i = rows.begin; i < rows.end; ++i) {
    const ptrdiff_t row = batch.row(i), to = i - base;
    if (!read_row(kernels, data, row, ws.x + to * layout.ld_input, n_in) && bad < 0) bad = row;
    read_target(data, row, ws.target + to * last().ld, n_out);
    ws.weight[to] = data.weight ? data.weight[row] : T(1);
    ws.row_scale[to] = ws.weight[to] * scale;
  }
  return bad;
}

template <class T>
void Network<T>::forward(size_t l, const WeightView<T>& w, const T* in, ptrdiff_t ld_in, Range rows,
                         Range panels, const Workspace<T>& ws) const {
  const Layer& layer = layout.layers[l];
  const auto& buffers = ws.layers[l];
  const auto activate = kernels.activate[int(layer.activation)];
  const bool by_panel = layer.activation != Activation::identity && !whole_rows(l);
  const ptrdiff_t from = rows.begin * layer.ld;
  for (ptrdiff_t p = panels.begin; p < panels.end; ++p) {
    const Panel& panel = layer.panels[size_t(p)];
    Gemm<T> g;
    g.a = in + rows.begin * ld_in;
    g.a_row = ld_in;
    g.a_col = 1;
    g.b = w.w + panel.col * w.col_stride;
    g.ldb = w.ldb ? w.ldb : panel.width;
    g.c = buffers.z + from + panel.col;
    g.ldc = layer.ld;
    g.bias = w.bias ? w.bias + panel.col : nullptr;
    g.accumulate = false;
    g.m = rows.size();
    g.n = panel.width;
    g.k = layer.n_in;
    kernels.gemm(g);
    if (by_panel) {
      const ptrdiff_t at = from + panel.col;
      activate(buffers.z + at, buffers.a + at, rows.size(), panel.width, layer.ld);
    }
  }
  if (whole_rows(l))
    activate(buffers.z + from, buffers.a + from, rows.size(), layer.n_out, layer.ld);
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
    const RowTotals& row = ws.totals[i];
    sum.add({weight * row.loss, weight, weight * row.correct, weight * row.squared_error,
             weight * row.absolute_error});
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
  const auto& buffers = ws.layers[l - 1];
  Gemm<T> g;
  g.a = ws.layers[l].d + rows.begin * above.ld;
  g.a_row = above.ld;
  g.a_col = 1;
  g.b = transposed;
  g.ldb = strip.width;
  g.c = buffers.d + rows.begin * below.ld + strip.col;
  g.ldc = below.ld;
  g.bias = nullptr;
  g.accumulate = false;
  g.m = rows.size();
  g.n = strip.width;
  g.k = above.n_out;
  kernels.gemm(g);
  if (below.activation == Activation::identity || whole_rows(l - 1)) return;
  const T* kept = (below.keeps_z ? buffers.z : buffers.a) + rows.begin * below.ld + strip.col;
  kernels.derive[int(below.activation)](kept, g.c, rows.size(), strip.width, below.ld);
}

template <class T>
void Network<T>::derive_whole_rows(size_t l, Range rows, const Workspace<T>& ws) const {
  const Layer& layer = layout.layers[l];
  const ptrdiff_t at = rows.begin * layer.ld;
  kernels.derive[int(layer.activation)](ws.layers[l].a + at, ws.layers[l].d + at, rows.size(),
                                        layer.n_out, layer.ld);
}

template <class T>
void Network<T>::weight_gradient(size_t l, ptrdiff_t rows, Range inputs, const Panel& panel, T* out,
                                 bool accumulate, const Workspace<T>& ws) const {
  const Layer& layer = layout.layers[l];
  Gemm<T> g;
  g.a = input_of(l, ws) + inputs.begin;
  g.a_row = 1;
  g.a_col = ld_input_of(l);
  g.b = ws.layers[l].d + panel.col;
  g.ldb = layer.ld;
  g.c = out;
  g.ldc = panel.width;
  g.bias = nullptr;
  g.accumulate = accumulate;
  g.m = inputs.size();
  g.n = panel.width;
  g.k = rows;
  kernels.gemm(g);
}

template <class T>
void Network<T>::bias_gradient(size_t l, ptrdiff_t rows, const Panel& panel, T* out,
                               bool accumulate, const Workspace<T>& ws) const {
  const Layer& layer = layout.layers[l];
  kernels.column_sums(ws.layers[l].d + panel.col, rows, panel.width, layer.ld, out, accumulate);
}

template class Network<float>;
template class Network<double>;

}  // namespace mlpfast
