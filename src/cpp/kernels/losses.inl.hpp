// Losses of row-major matrices: the loss of every row and its delta times the factor of the row,
// and the metrics.

// Whether a loss can be computed from the logits, or if not `logits`, from the outputs.
template <class L>
constexpr bool has_form(bool logits) {
  return logits ? L::logits_output != Activation::count : !L::needs_output;
}

template <class L, bool logits, class V>
inline void loss_of(V z, V a, V t, const Slopes<V>& slopes, V& loss, V& grad) {
  if constexpr (logits)
    L::from_logits(z, a, t, loss, grad);
  else
    L::from_outputs(a, t, slopes, loss, grad);
}

// -log p as if p were clipped to within the resolution of T of 0 and 1.
template <class V>
inline V clipped_log(V miss) {
  using C = MathConstants<typename V::T>;
  return max(V::set(C::resolution), min(V::set(C::log_resolution), miss));  // NaN stays
}

template <class V>
inline Slopes<V> vectors_of(const Slopes<typename V::T>& s) {
  return {V::set(s.low), V::set(s.high)};
}

template <class V, class L, bool logits>
void elementwise_loss(const LossRows<typename V::T>& r) {
  using T = typename V::T;
  const T share = L::mean ? T(1) / T(r.cols) : T(1);
  const Slopes<V> slopes = vectors_of<V>(r.slopes);
  for (ptrdiff_t i = 0; i < r.rows; ++i) {
    const T* z = r.z + i * r.ld;
    const T* a = r.a + i * r.ld;
    const T* target = r.target + i * r.ld_target;
    const V factor = V::set(r.row_scale ? r.row_scale[i] * share : T(0));
    V total = V::set(0);
    for (ptrdiff_t j = 0; j < r.cols; j += V::lanes) {
      const auto in = V::first(lanes_left<V>(r.cols, j));
      V loss, grad;
      loss_of<L, logits>(V::load(z + j), V::load(a + j), V::load(target + j), slopes, loss, grad);
      total = total + V::select(in, loss, V::set(0));
      if (r.row_scale) V::select(in, grad * factor, V::set(0)).store(r.delta + i * r.ld + j);
    }
    r.row_loss[i] = double(sum(total) * share);
  }
}

// -sum t log p with p = softmax(z), delta = p sum(t) - t. The largest logit m has
// p_m = 1 / sum exp(z - m), and log p = z - m + log p_m: no exp is needed, and one log for a vector
// of rows.
template <class V, class L>
void categorical_crossentropy(const LossRows<typename V::T>& r) {
  using T = typename V::T;
  constexpr ptrdiff_t block = 2 * V::lanes;
  const V lowest = V::set(-MathConstants<T>::infinity);
  for (ptrdiff_t begin = 0; begin < r.rows; begin += block) {
    const ptrdiff_t count = r.rows - begin < block ? r.rows - begin : block;
    T largest_p[block], largest_z[block], sum_t[block], shifted[block];
    for (ptrdiff_t i = 0; i < block; ++i) largest_p[i] = sum_t[i] = shifted[i] = T(1);
    for (ptrdiff_t i = 0; i < count; ++i) {
      const ptrdiff_t row = begin + i;
      const T* z = r.z + row * r.ld;
      const T* a = r.a + row * r.ld;
      const T* target = r.target + row * r.ld_target;
      V top_z = lowest, top_a = V::set(0);
      for (ptrdiff_t j = 0; j < r.cols; j += V::lanes) {
        const auto in = V::first(lanes_left<V>(r.cols, j));
        top_z = max(top_z, V::select(in, V::load(z + j), lowest));
        top_a = max(top_a, V::select(in, V::load(a + j), V::set(0)));
      }
      const V most = V::set(largest(top_z));
      V weighted = V::set(0), targets = V::set(0);
      for (ptrdiff_t j = 0; j < r.cols; j += V::lanes) {
        const auto in = V::first(lanes_left<V>(r.cols, j));
        const V t = V::load(target + j);
        weighted = weighted + V::select(in, t * (most - V::load(z + j)), V::set(0));
        targets = targets + V::select(in, t, V::set(0));
      }
      largest_p[i] = largest(top_a);
      largest_z[i] = largest(top_z);
      sum_t[i] = sum(targets);
      shifted[i] = sum(weighted);
      if (!r.row_scale) continue;
      const V total = V::set(sum_t[i]), factor = V::set(r.row_scale[row]);
      for (ptrdiff_t j = 0; j < r.cols; j += V::lanes) {
        const auto in = V::first(lanes_left<V>(r.cols, j));
        const V grad = V::load(a + j) * total - V::load(target + j);
        V::select(in, grad * factor, V::set(0)).store(r.delta + row * r.ld + j);
      }
    }
    for (ptrdiff_t i = 0; i < block; i += V::lanes) {
      const V log_p = log(V::load(largest_p + i));
      if (L::clipped)
        log_p.store(largest_p + i);
      else
        (V::load(shifted + i) - V::load(sum_t + i) * log_p).store(shifted + i);
    }
    for (ptrdiff_t i = 0; L::clipped && i < count; ++i) {
      const T* z = r.z + (begin + i) * r.ld;
      const T* target = r.target + (begin + i) * r.ld_target;
      const V log_total = V::set(largest_z[i] - largest_p[i]);
      V total = V::set(0);
      for (ptrdiff_t j = 0; j < r.cols; j += V::lanes) {
        const auto in = V::first(lanes_left<V>(r.cols, j));
        const V loss = V::load(target + j) * clipped_log(log_total - V::load(z + j));
        total = total + V::select(in, loss, V::set(0));
      }
      shifted[i] = sum(total);
    }
    for (ptrdiff_t i = 0; i < count; ++i) r.row_loss[begin + i] = double(shifted[i]);
  }
}

// The largest element seen in each lane, and its index in the row.
template <class V>
struct LargestOf {
  V value, index;
  void look_at(V x, V where) {
    const auto above = less(value, x);
    value = V::select(above, x, value);
    index = V::select(above, where, index);
  }
  // The index of the largest element of all lanes, the first among equals.
  typename V::T first() const {
    const V top = V::set(largest(value));
    const V lowest = V::set(-MathConstants<typename V::T>::infinity);
    return -largest(V::select(less(value, top), lowest, V::set(0) - index));
  }
};

template <class V>
void row_metrics(const LossRows<typename V::T>& r, RowTotals* totals) {
  using T = typename V::T;
  const V zero = V::set(0), lowest = V::set(-MathConstants<T>::infinity);
  T numbers[V::lanes];
  for (int q = 0; q < V::lanes; ++q) numbers[q] = T(q);
  const V lane = V::load(numbers);
  for (ptrdiff_t i = 0; i < r.rows; ++i) {
    const T* a = r.a + i * r.ld;
    const T* target = r.target + i * r.ld_target;
    V squared = zero, absolute = zero;
    LargestOf<V> best = {lowest, lane}, right = {lowest, lane};
    for (ptrdiff_t j = 0; j < r.cols; j += V::lanes) {
      const auto in = V::first(lanes_left<V>(r.cols, j));
      const V x = V::load(a + j), t = V::load(target + j), where = V::set(T(j)) + lane;
      const V e = V::select(in, x - t, zero);
      squared = fma(e, e, squared);
      absolute = absolute + abs(e);
      best.look_at(V::select(in, x, lowest), where);
      right.look_at(V::select(in, t, lowest), where);
    }
    const bool same =
        r.cols == 1 ? (a[0] > T(0.5)) == (target[0] > T(0.5)) : best.first() == right.first();
    totals[i].correct = same ? 1 : 0;
    totals[i].squared_error = double(sum(squared)) / double(r.cols);
    totals[i].absolute_error = double(sum(absolute)) / double(r.cols);
  }
}
