// Rows into the lanes of vectors, and the loss kernels' arguments.
#include "unit_rows.hpp"

#include <algorithm>

namespace mlpfast {

template <class T>
ptrdiff_t RowReader<T>::gather(const Network<T>& net, const Batch<T>& batch, Range part,
                               ptrdiff_t all, const UnitRows<T>& to, ptrdiff_t ld) const {
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
  // The last row fills the rest: nothing happens there that does not happen to a row of the batch.
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
Totals unit_loss(const Network<T>& net, const UnitRows<T>& in, const T* z, T* a, T* d,
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
  totals.loss = net.spec.loss == Loss::poisson && net.layout.loss_from_logits
                    ? net.kernels.unit_poisson_from_logits(r)
                    : net.kernels.unit_loss[int(net.spec.loss)](r);
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

#define MLPFAST_INSTANTIATE(T)                                                                   \
  template struct RowReader<T>;                                                                  \
  template Totals unit_loss(const Network<T>&, const UnitRows<T>&, const T*, T*, T*, bool, bool, \
                            ptrdiff_t, ptrdiff_t, T);
MLPFAST_INSTANTIATE(float)
MLPFAST_INSTANTIATE(double)

}  // namespace mlpfast
