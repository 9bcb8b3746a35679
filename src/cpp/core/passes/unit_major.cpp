// Rows into lanes, pieces of panels, and the kernels' arguments for them.
#include "unit_major.hpp"

namespace mlpfast {

template <class T>
ptrdiff_t RowReader<T>::gather(const Network<T>& net, const Batch<T>& batch, Range part,
                               ptrdiff_t all, const UnitMajorRows<T>& to, ptrdiff_t ld) const {
  const Data<T>& data = *batch.data;
  const ptrdiff_t n = part.size(), n_in = net.spec.sizes.front(), n_out = net.spec.sizes.back();
  const bool in_place = data.in_place();
  const T** x = rows;
  const T** y = rows + most;
  ptrdiff_t bad = -1;
  if (!in_place) {
    Gather<T> g = batch.gather(part, n_in);
    g.to = read;
    g.ld = net.layout.ld_input;
    g.block = net.kernels.tile;
    const ptrdiff_t at = net.kernels.gather[int(data.x_type)](g);
    if (at >= 0) bad = batch.row(part.begin + at);
  }
  for (ptrdiff_t i = 0; i < n; ++i) {
    const ptrdiff_t row = batch.row(part.begin + i);
    x[i] = in_place ? reinterpret_cast<const T*>(data.row(row)) : read + i * net.layout.ld_input;
    if (data.y) y[i] = data.y + row * n_out;
    if (data.weight) to.weight[i] = data.weight[row];
  }
  // The last row fills the padding, so that it raises nothing that a row of the batch does not.
  for (ptrdiff_t i = n; i < all; ++i) {
    x[i] = x[n - 1];
    y[i] = y[n - 1];
    to.weight[i] = to.weight[n - 1];
  }
  const bool finite = net.kernels.take_rows(x, all, n_in, to.x, ld);
  if (!finite && in_place) {
    for (ptrdiff_t i = 0; i < n && bad < 0; ++i)
      if (!all_finite(x[i], n_in)) bad = batch.row(part.begin + i);
  }
  if (data.y) {
    net.kernels.take_rows(y, all, n_out, to.target, ld);
  } else {
    for (ptrdiff_t j = 0; j < n_out; ++j) std::fill_n(to.target + j * ld, all, T(0));
    for (ptrdiff_t i = 0; i < n; ++i)
      to.target[data.labels[batch.row(part.begin + i)] * ld + i] = T(1);
  }
  return bad;
}

template <class T>
void UnitMajorLayer<T>::forward(const T* w, const T* x, T* z, ptrdiff_t rows,
                                bool with_bias) const {
  for_each_piece([&](ptrdiff_t at, ptrdiff_t width, Range piece) {
    UnitProduct<T> p;
    p.w = w + at;
    p.w_unit = 1;
    p.w_input = width;
    p.x = x;
    p.z = z + (piece.begin - units.begin) * ld;
    p.ld = ld;
    p.bias = with_bias ? w + layer.packed_b + piece.begin : nullptr;
    p.accumulate = false;
    p.units = count(piece);
    p.rows = rows;
    p.inputs = inputs.size();
    net.kernels.unit_product(p);
  });
}

template <class T>
void UnitMajorLayer<T>::activate(const T* z, T* a, ptrdiff_t rows) const {
  const bool left_to_loss = gives_logits() && traits(layer.activation).whole_rows;
  if (layer.activation == Activation::identity || left_to_loss) return;
  net.kernels.unit_activate[int(layer.activation)](z, a, count(), rows, ld);
}

template <class T>
void UnitMajorLayer<T>::derive(const T* kept, T* d, ptrdiff_t rows, T* sums,
                               bool accumulate) const {
  const Activation activation = gives_logits() ? Activation::identity : layer.activation;
  if (activation == Activation::identity && !sums) return;
  net.kernels.unit_derive[int(activation)](kept, d, count(), rows, ld, sums, accumulate);
}

template <class T>
void UnitMajorLayer<T>::backward(const T* w, const T* d, T* dx, ptrdiff_t rows) const {
  for_each_piece([&](ptrdiff_t at, ptrdiff_t width, Range piece) {
    UnitProduct<T> p;
    p.w = w + at;
    p.w_unit = width;
    p.w_input = 1;
    p.x = d + (piece.begin - units.begin) * ld;
    p.z = dx;
    p.ld = ld;
    p.bias = nullptr;
    p.accumulate = piece.begin > units.begin;
    p.units = inputs.size();
    p.rows = rows;
    p.inputs = count(piece);
    net.kernels.unit_product(p);
  });
}

template <class T>
void UnitMajorLayer<T>::transpose(const T* d, T* by_row, ptrdiff_t rows) const {
  net.kernels.transpose(d, ld, count(), rows, by_row, units.size());
}

template <class T>
void UnitMajorLayer<T>::gradient(const T* x, const T* d, const T* by_row, T* gradients,
                                 ptrdiff_t rows, bool first, bool last, T* partial) const {
  const ptrdiff_t lanes = net.kernels.lanes;
  for_each_piece([&](ptrdiff_t at, ptrdiff_t width, Range piece) {
    const ptrdiff_t begin = piece.begin - units.begin;
    if (!by_row) {
      net.kernels.unit_gradient({x, d + begin * ld, ld, gradients + at, width, partial, first, last,
                                 inputs.size(), count(piece), rows});
      if (partial) partial += round_up(inputs.size(), lanes) * lanes * count(piece);
      return;
    }
    Gemm<T> g{};
    g.a = x;
    g.lda = ld;
    g.b = by_row + begin;
    g.ldb = units.size();
    g.c = gradients + at;
    g.ldc = width;
    g.a_block = g.b_block = g.c_block = net.kernels.tile;
    g.accumulate = !first;
    g.m = inputs.size();
    g.n = piece.size();
    g.k = rows;
    net.kernels.gemm(g);
  });
}

bool row_lanes_are_cheaper(const Layer& layer, ptrdiff_t rows, ptrdiff_t lanes, bool keeps) {
  const double in_lanes =
      double(layer.n_in * layer.n_out) * (double(rows) / double(lanes) + (keeps ? 1 : 3));
  const double by_units = double(rows) * (double(layer.n_in * layer.out_padded) / double(lanes) +
                                          double(layer.n_out) / 3);
  return in_lanes < by_units;
}

template <class T>
Totals unit_loss(const Network<T>& net, const UnitMajorRows<T>& in, const T* z, T* a, T* d,
                 bool has_weights, bool want_metrics, ptrdiff_t rows, ptrdiff_t ld, T scale) {
  UnitLoss<T> r;
  r.z = z;
  r.a = a;
  r.target = in.target;
  r.delta = d;
  r.weight = has_weights ? in.weight : nullptr;
  r.scale = scale;
  r.rows = rows;
  r.cols = net.last().n_out;
  r.ld = ld;
  r.slopes = net.spec.template slopes<T>();
  Totals totals;
  totals.loss = net.kernels.unit_loss[int(net.spec.loss)][net.layout.loss_from_logits](r);
  totals.weight = double(rows);
  if (net.spec.counts_rows()) r.weight = nullptr;  // it was for the loss alone
  if (r.weight) {
    totals.weight = 0;
    for (ptrdiff_t i = 0; i < rows; ++i) totals.weight += double(r.weight[i]);
  }
  if (want_metrics) {
    Metrics metrics;
    net.kernels.unit_metrics(r, metrics);
    totals.correct = metrics.correct;
    totals.squared_error = metrics.squared_error;
    totals.absolute_error = metrics.absolute_error;
  }
  return totals;
}

#define MLPFAST_INSTANTIATE(T)                                                                  \
  template struct RowReader<T>;                                                                 \
  template struct UnitMajorLayer<T>;                                                            \
  template Totals unit_loss(const Network<T>&, const UnitMajorRows<T>&, const T*, T*, T*, bool, \
                            bool, ptrdiff_t, ptrdiff_t, T);
MLPFAST_INSTANTIATE(float)
MLPFAST_INSTANTIATE(double)

}  // namespace mlpfast
