// Softmax, derivatives, losses and metrics of unit-major blocks.
//
// tiny.inl.hpp uses it as well. Where its arithmetic differs from that of the other plans, the
// difference is a template parameter here or stays there.

// Softmax of one vector of rows, its largest logit and the sum of exp(z - largest). Dividing by the
// sum rounds once, multiplying by its inverse twice, but that takes one division for all units.
template <class V, bool divides>
inline void unit_softmax_rows(const typename V::T* z, typename V::T* a, ptrdiff_t units,
                              ptrdiff_t ld, V& most, V& total) {
  most = V::load(z);
  for (ptrdiff_t j = 1; j < units; ++j) most = max(most, V::load(z + j * ld));
  total = V::set(0);
  for (ptrdiff_t j = 0; j < units; ++j) {
    const V e = exp(V::load(z + j * ld) - most);
    e.store(a + j * ld);
    total = total + e;
  }
  const V inverse = V::set(1) / total;
  for (ptrdiff_t j = 0; j < units; ++j) {
    const V e = V::load(a + j * ld);
    (divides ? e / total : e * inverse).store(a + j * ld);
  }
}

template <class V, bool divides = false>
void unit_softmax(const typename V::T* z, typename V::T* a, ptrdiff_t units, ptrdiff_t rows,
                  ptrdiff_t ld) {
  V most, total;
  for (ptrdiff_t i = 0; i < rows; i += V::lanes)
    unit_softmax_rows<V, divides>(z + i, a + i, units, ld, most, total);
}

template <class V>
void unit_softmax_derive(const typename V::T* a, typename V::T* d, ptrdiff_t units, ptrdiff_t rows,
                         ptrdiff_t ld) {
  for (ptrdiff_t i = 0; i < rows; i += V::lanes) {
    V dot = V::set(0);
    for (ptrdiff_t j = 0; j < units; ++j)
      dot = fma(V::load(a + j * ld + i), V::load(d + j * ld + i), dot);
    for (ptrdiff_t j = 0; j < units; ++j) {
      const ptrdiff_t at = j * ld + i;
      (V::load(a + at) * (V::load(d + at) - dot)).store(d + at);
    }
  }
}

template <class V, class F>
void unit_derive(const typename V::T* kept, typename V::T* d, ptrdiff_t units, ptrdiff_t rows,
                 ptrdiff_t ld, typename V::T* sums, bool accumulate) {
  for (ptrdiff_t j = 0; j < units; j += V::lanes) {
    const int here = lanes_left<V>(units, j);
    V acc[V::lanes];
    for (int q = 0; q < V::lanes; ++q) acc[q] = V::set(0);
    for (int q = 0; q < here; ++q, kept += ld, d += ld) {
      V s = V::set(0);
      for (ptrdiff_t r = 0; r < rows; r += V::lanes) {
        V g = V::load(d + r);
        if constexpr (!std::is_same<F, ops::Identity>::value) {
          g = g * F::template derivative<V>(V::load(kept + r));
          g.store(d + r);
        }
        s = s + g;
      }
      acc[q] = s;
    }
    if (!sums) continue;
    V total = V::sums(acc);
    if (accumulate) total = total + V::load_first(sums + j, here);
    total.store_first(sums + j, here);
  }
}

template <class V>
void unit_derive_softmax(const typename V::T* kept, typename V::T* d, ptrdiff_t units,
                         ptrdiff_t rows, ptrdiff_t ld, typename V::T* sums, bool accumulate) {
  unit_softmax_derive<V>(kept, d, units, rows, ld);
  if (sums) unit_derive<V, ops::Identity>(kept, d, units, rows, ld, sums, accumulate);
}

// The sums over the outputs of an elementwise loss, for the rows in the lanes from row i on; their
// deltas, times `factor`, go through `keep`, which may set lanes to 0.
template <class V, class L, bool logits, class Keep>
inline V unit_elementwise_loss(const UnitLoss<typename V::T>& r, ptrdiff_t i,
                               const Slopes<V>& slopes, V factor, Keep keep) {
  V total = V::set(0);
  for (ptrdiff_t j = 0; j < r.cols; ++j) {
    const ptrdiff_t at = j * r.ld + i;
    V loss, grad;
    loss_of<L, logits>(V::load(r.z + at), V::load(r.a + at), V::load(r.target + at), slopes, loss,
                       grad);
    keep(grad * factor).store(r.delta + at);
    total = total + loss;
  }
  return total;
}

// The same for categorical_crossentropy, whose softmax is computed here.
template <class V, class L, bool divides, class Keep>
inline V unit_crossentropy(const UnitLoss<typename V::T>& r, ptrdiff_t i, V factor, Keep keep) {
  V most, total;
  unit_softmax_rows<V, divides>(r.z + i, r.a + i, r.cols, r.ld, most, total);
  const V log_total = log(total);
  V loss = V::set(0), targets = V::set(0);
  for (ptrdiff_t j = 0; j < r.cols; ++j) {
    const ptrdiff_t at = j * r.ld + i;
    const V t = V::load(r.target + at);
    const V miss = log_total - (V::load(r.z + at) - most);
    loss = loss + t * (L::clipped ? clipped_log(miss) : miss);
    targets = targets + t;
  }
  for (ptrdiff_t j = 0; j < r.cols; ++j) {
    const ptrdiff_t at = j * r.ld + i;
    keep((V::load(r.a + at) * targets - V::load(r.target + at)) * factor).store(r.delta + at);
  }
  return loss;
}

// The lanes of row vector i that are rows of the batch.
template <class V, class Block>
inline typename V::Mask rows_in(const Block& r, ptrdiff_t i) {
  return V::first(lanes_left<V>(r.rows, i));
}

template <class V>
inline V weights_in(const typename V::T* weight, ptrdiff_t i) {
  return weight ? V::load(weight + i) : V::set(1);
}

template <class V, class L, bool logits>
double unit_loss(const UnitLoss<typename V::T>& r) {
  using T = typename V::T;
  const V share = V::set(L::mean ? T(1) / T(r.cols) : T(1));
  const Slopes<V> slopes = vectors_of<V>(r.slopes);
  V sum_loss = V::set(0);
  for (ptrdiff_t i = 0; i < r.rows; i += V::lanes) {
    const auto in = rows_in<V>(r, i);
    const auto keep = [&](V x) { return V::select(in, x, V::set(0)); };
    const V weight = weights_in<V>(r.weight, i) * share;
    const V factor = weight * V::set(r.scale);
    V total;
    if constexpr (L::whole_rows)
      total = unit_crossentropy<V, L, false>(r, i, factor, keep);
    else
      total = unit_elementwise_loss<V, L, logits>(r, i, slopes, factor, keep);
    sum_loss = sum_loss + V::select(in, total * weight, V::set(0));
  }
  return double(sum(sum_loss));
}

// For the rows in the lanes from row i on: 0 where the largest output is at the largest target, and
// the sums over the outputs of squared and absolute errors.
template <class V>
inline void unit_errors(const UnitLoss<typename V::T>& r, ptrdiff_t i, V& wrong, V& squared,
                        V& absolute) {
  using T = typename V::T;
  squared = absolute = V::set(0);
  // With one output, the class is whether it is above a half.
  V top_a = r.cols == 1 ? V::set(T(0.5)) : V::load(r.a + i), best_a = V::set(0);
  V top_t = r.cols == 1 ? V::set(T(0.5)) : V::load(r.target + i), best_t = V::set(0);
  for (ptrdiff_t j = 0; j < r.cols; ++j) {
    const V a = V::load(r.a + j * r.ld + i), t = V::load(r.target + j * r.ld + i);
    const V e = a - t, index = V::set(T(j + 1));
    squared = fma(e, e, squared);
    absolute = absolute + abs(e);
    const auto above_a = less(top_a, a), above_t = less(top_t, t);
    best_a = V::select(above_a, index, best_a);
    best_t = V::select(above_t, index, best_t);
    top_a = V::select(above_a, a, top_a);
    top_t = V::select(above_t, t, top_t);
  }
  wrong = abs(best_a - best_t);
}

template <class V>
void unit_metrics(const UnitLoss<typename V::T>& r, Metrics& metrics) {
  using T = typename V::T;
  const V zero = V::set(0), one = V::set(1), share = V::set(T(1) / T(r.cols));
  V sum_right = zero, sum_squared = zero, sum_absolute = zero;
  for (ptrdiff_t i = 0; i < r.rows; i += V::lanes) {
    const auto in = rows_in<V>(r, i);
    const V weight = weights_in<V>(r.weight, i);
    V wrong, squared, absolute;
    unit_errors(r, i, wrong, squared, absolute);
    const V right = V::select(less(zero, wrong), zero, one);
    sum_right = sum_right + V::select(in, weight * right, zero);
    sum_squared = sum_squared + V::select(in, weight * share * squared, zero);
    sum_absolute = sum_absolute + V::select(in, weight * share * absolute, zero);
  }
  metrics.correct += double(sum(sum_right));
  metrics.squared_error += double(sum(sum_squared));
  metrics.absolute_error += double(sum(sum_absolute));
}
