// Whole steps of a small net on a few rows, which lie in the lanes: nothing is called but the
// activations, and no sum but that of the gradients goes across a vector.
//
// What such a step costs is the latency of one operation after another, so every loop has several
// independent units in flight, and no vector is loaded that was stored in pieces just before.

// N units of a layer from unit j on: z = bias + w^T in, all rows of the batch.
template <class V, int RV, int N>
inline void tiny_forward_units(const TinyLayer<typename V::T>& layer, ptrdiff_t j) {
  V acc[N][RV];
  for (int u = 0; u < N; ++u)
    for (int r = 0; r < RV; ++r) acc[u][r] = layer.bias ? V::set(layer.bias[j + u]) : V::set(0);
  const typename V::T* w = layer.w + j;
  const typename V::T* in = layer.in;
  for (ptrdiff_t i = 0; i < layer.n_in; ++i, w += layer.n_out, in += RV * V::lanes)
    for (int u = 0; u < N; ++u) {
      const V weight = V::set(w[u]);
      for (int r = 0; r < RV; ++r) acc[u][r] = fma(weight, V::load(in + r * V::lanes), acc[u][r]);
    }
  for (int u = 0; u < N; ++u)
    for (int r = 0; r < RV; ++r) acc[u][r].store(layer.z + ((j + u) * RV + r) * V::lanes);
}

// Deltas of N inputs from input i on, before the derivative of their own activation: w delta.
template <class V, int RV, int N>
inline void tiny_backward_units(const TinyLayer<typename V::T>& layer, typename V::T* below,
                                ptrdiff_t i) {
  V acc[N][RV];
  for (int u = 0; u < N; ++u)
    for (int r = 0; r < RV; ++r) acc[u][r] = V::set(0);
  const typename V::T* w = layer.w + i * layer.n_out;
  const typename V::T* d = layer.d;
  for (ptrdiff_t j = 0; j < layer.n_out; ++j, ++w, d += RV * V::lanes)
    for (int u = 0; u < N; ++u) {
      const V weight = V::set(w[u * layer.n_out]);
      for (int r = 0; r < RV; ++r) acc[u][r] = fma(weight, V::load(d + r * V::lanes), acc[u][r]);
    }
  for (int u = 0; u < N; ++u)
    for (int r = 0; r < RV; ++r) acc[u][r].store(below + ((i + u) * RV + r) * V::lanes);
}

// The same for a single unit, whose inputs are summed in two chains.
template <class V, int RV>
inline void tiny_forward_unit(const TinyLayer<typename V::T>& layer, ptrdiff_t j) {
  V even[RV], odd[RV];
  for (int r = 0; r < RV; ++r) {
    even[r] = layer.bias ? V::set(layer.bias[j]) : V::set(0);
    odd[r] = V::set(0);
  }
  const typename V::T* w = layer.w + j;
  const typename V::T* in = layer.in;
  constexpr ptrdiff_t stride = RV * V::lanes;
  ptrdiff_t i = 0;
  for (; i + 2 <= layer.n_in; i += 2, w += 2 * layer.n_out, in += 2 * stride) {
    const V weight = V::set(w[0]), next = V::set(w[layer.n_out]);
    for (int r = 0; r < RV; ++r) {
      even[r] = fma(weight, V::load(in + r * V::lanes), even[r]);
      odd[r] = fma(next, V::load(in + stride + r * V::lanes), odd[r]);
    }
  }
  for (int r = 0; r < RV; ++r) {
    if (i < layer.n_in) even[r] = fma(V::set(w[0]), V::load(in + r * V::lanes), even[r]);
    (even[r] + odd[r]).store(layer.z + j * stride + r * V::lanes);
  }
}

template <class V, int RV>
inline void tiny_forward(const TinyLayer<typename V::T>& layer) {
  ptrdiff_t j = 0;
  for (; j + 4 <= layer.n_out; j += 4) tiny_forward_units<V, RV, 4>(layer, j);
  if (layer.n_out & 2) tiny_forward_units<V, RV, 2>(layer, j);
  if (layer.n_out & 1) tiny_forward_unit<V, RV>(layer, layer.n_out - 1);
}

template <class V, int RV>
inline void tiny_backward(const TinyLayer<typename V::T>& layer, typename V::T* below) {
  ptrdiff_t i = 0;
  for (; i + 4 <= layer.n_in; i += 4) tiny_backward_units<V, RV, 4>(layer, below, i);
  if (layer.n_in & 2) tiny_backward_units<V, RV, 2>(layer, below, i);
  if (layer.n_in & 1) tiny_backward_units<V, RV, 1>(layer, below, layer.n_in - 1);
}

// The largest logit of each row, and the sum of exp(z - largest): n elements, the next unit of the
// same rows `stride` further on.
template <class V>
inline void tiny_softmax_parts(const typename V::T* z, ptrdiff_t n, ptrdiff_t stride, V& most,
                               V& total) {
  most = V::load(z);
  for (ptrdiff_t i = stride; i < n; i += stride) most = max(most, V::load(z + i));
  total = V::set(0);
  for (ptrdiff_t i = 0; i < n; i += stride) total = total + exp(V::load(z + i) - most);
}

template <class V>
void tiny_softmax(const typename V::T* z, typename V::T* a, ptrdiff_t n, ptrdiff_t stride) {
  for (ptrdiff_t r = 0; r < stride; r += V::lanes) {
    V most, total;
    tiny_softmax_parts(z + r, n - r, stride, most, total);
    for (ptrdiff_t i = r; i < n; i += stride) (exp(V::load(z + i) - most) / total).store(a + i);
  }
}

template <class V>
void tiny_softmax_derive(const typename V::T* a, typename V::T* d, ptrdiff_t n, ptrdiff_t stride) {
  for (ptrdiff_t r = 0; r < stride; r += V::lanes) {
    V dot = V::set(0);
    for (ptrdiff_t i = r; i < n; i += stride) dot = fma(V::load(a + i), V::load(d + i), dot);
    for (ptrdiff_t i = r; i < n; i += stride)
      (V::load(a + i) * (V::load(d + i) - dot)).store(d + i);
  }
}

// n elements of all units and rows; the rows of a unit are `stride` elements.
template <class V, class F>
inline void tiny_activate_with(const typename V::T* z, typename V::T* a, ptrdiff_t n,
                               ptrdiff_t stride) {
  if constexpr (F::whole_rows)
    tiny_softmax<V>(z, a, n, stride);
  else if constexpr (!std::is_same<F, ops::Identity>::value)
    for (ptrdiff_t i = 0; i < n; i += V::lanes) F::template value<V>(V::load(z + i)).store(a + i);
}

template <class V>
void tiny_activate(Activation activation, const typename V::T* z, typename V::T* a, ptrdiff_t n,
                   ptrdiff_t stride) {
#define MLPFAST_CASE(name, F) \
  case Activation::name:      \
    return tiny_activate_with<V, F>(z, a, n, stride);
  switch (activation) {
    MLPFAST_ACTIVATIONS(MLPFAST_CASE)
    case Activation::count:
      break;
  }
#undef MLPFAST_CASE
}

template <class V, class F>
inline void tiny_derive_with(const typename V::T* kept, typename V::T* d, ptrdiff_t n,
                             ptrdiff_t stride) {
  if constexpr (F::whole_rows)
    tiny_softmax_derive<V>(kept, d, n, stride);
  else if constexpr (F::has_gradient && !std::is_same<F, ops::Identity>::value)
    for (ptrdiff_t i = 0; i < n; i += V::lanes)
      (V::load(d + i) * F::template derivative<V>(V::load(kept + i))).store(d + i);
}

// d *= f', from the layer's kept values.
template <class V>
void tiny_derive(const TinyLayer<typename V::T>& layer, ptrdiff_t stride) {
  const ptrdiff_t n = layer.n_out * stride;
#define MLPFAST_CASE(name, F) \
  case Activation::name:      \
    return tiny_derive_with<V, F>(F::keeps_z ? layer.z : layer.a, layer.d, n, stride);
  switch (layer.activation) {
    MLPFAST_ACTIVATIONS(MLPFAST_CASE)
    case Activation::count:
      break;
  }
#undef MLPFAST_CASE
}

// The deltas of `rows` of the output layer, and the loss of the batch, weighted.
template <class V, class L, bool logits>
inline double tiny_loss_each(const TinySteps<typename V::T>& s, ptrdiff_t stride) {
  using T = typename V::T;
  const TinyLayer<T>& layer = s.layers[s.depth - 1];
  const ptrdiff_t n = layer.n_out * stride;
  const V share = V::set(L::mean ? T(1) / T(layer.n_out) : T(1));
  const Slopes<V> slopes = vectors_of<V>(s.slopes);
  V weighted = V::set(0);
  for (ptrdiff_t r = 0; r < stride; r += V::lanes) {
    const V factor = V::load(s.scale + r) * share;
    V total = V::set(0);
    for (ptrdiff_t i = r; i < n; i += stride) {
      V loss, grad;
      loss_of<L, logits>(V::load(layer.z + i), V::load(layer.a + i), V::load(s.target + i), slopes,
                         loss, grad);
      (grad * factor).store(layer.d + i);
      total = total + loss;
    }
    // Past the rows of the batch stand copies of its first, and infinity times 0 is NaN.
    const V weight = V::load(s.weight + r);
    const V counted = V::select(less(V::set(0), abs(weight)), total * share, V::set(0));
    weighted = fma(counted, weight, weighted);
  }
  return double(sum(weighted));
}

template <class V, class L>
double tiny_categorical(const TinySteps<typename V::T>& s, ptrdiff_t stride) {
  const auto& layer = s.layers[s.depth - 1];
  const ptrdiff_t n = layer.n_out * stride;
  V weighted = V::set(0);
  for (ptrdiff_t r = 0; r < stride; r += V::lanes) {
    V most, total;
    tiny_softmax_parts(layer.z + r, n - r, stride, most, total);
    const V log_total = log(total), factor = V::load(s.scale + r);
    V loss = V::set(0), targets = V::set(0);
    for (ptrdiff_t i = r; i < n; i += stride) {
      const V t = V::load(s.target + i);
      const V miss = log_total - (V::load(layer.z + i) - most);
      loss = loss + t * (L::clipped ? clipped_log(miss) : miss);
      targets = targets + t;
    }
    for (ptrdiff_t i = r; i < n; i += stride) {
      const V grad = V::load(layer.a + i) * targets - V::load(s.target + i);
      (grad * factor).store(layer.d + i);
    }
    weighted = fma(loss, V::load(s.weight + r), weighted);
  }
  return double(sum(weighted));
}

template <class V, class L>
inline double tiny_loss_with(const TinySteps<typename V::T>& s, ptrdiff_t stride) {
  if constexpr (L::whole_rows) {
    return tiny_categorical<V, L>(s, stride);
  } else {
    if constexpr (has_form<L>(true))
      if (s.loss_from_logits) return tiny_loss_each<V, L, true>(s, stride);
    if constexpr (has_form<L>(false)) return tiny_loss_each<V, L, false>(s, stride);
    return 0;
  }
}

template <class V>
double tiny_loss(const TinySteps<typename V::T>& s, ptrdiff_t stride) {
#define MLPFAST_CASE(name, L) \
  case Loss::name:            \
    return tiny_loss_with<V, L>(s, stride);
  switch (s.loss) {
    MLPFAST_LOSSES(MLPFAST_CASE)
    case Loss::count:
      break;
  }
#undef MLPFAST_CASE
  return 0;
}

// Right answers and errors, weighted sums over the rows.
template <class V>
void tiny_metrics(const TinySteps<typename V::T>& s, ptrdiff_t stride, double* totals) {
  using T = typename V::T;
  const TinyLayer<T>& layer = s.layers[s.depth - 1];
  const ptrdiff_t n = layer.n_out * stride;
  const V zero = V::set(0), one = V::set(1), half = V::set(T(0.5));
  V correct = zero, squares = zero, absolutes = zero;
  for (ptrdiff_t r = 0; r < stride; r += V::lanes) {
    V best_a = V::load(layer.a + r), best_t = V::load(s.target + r), at_a = zero, at_t = zero;
    V square = zero, absolute = zero, j = zero;
    if (layer.n_out == 1) {
      at_a = V::select(less(half, best_a), one, zero);
      at_t = V::select(less(half, best_t), one, zero);
    }
    for (ptrdiff_t i = r; i < n; i += stride) {
      const V a = V::load(layer.a + i), t = V::load(s.target + i), e = a - t;
      square = fma(e, e, square);
      absolute = absolute + abs(e);
      if (layer.n_out == 1) continue;
      const auto more_a = less(best_a, a), more_t = less(best_t, t);
      at_a = V::select(more_a, j, at_a);
      at_t = V::select(more_t, j, at_t);
      best_a = V::select(more_a, a, best_a);
      best_t = V::select(more_t, t, best_t);
      j = j + one;
    }
    const V weight = V::load(s.counted + r);
    const V wrong = abs(at_a - at_t);
    correct = correct + V::select(less(zero, wrong), zero, weight);
    squares = fma(weight, square, squares);
    absolutes = fma(weight, absolute, absolutes);
  }
  totals[1] = double(sum(correct));
  totals[2] = double(sum(squares)) / double(layer.n_out);
  totals[3] = double(sum(absolutes)) / double(layer.n_out);
}

// The gradient of `lanes` neighbouring parameters.
template <class V, int RV>
inline V tiny_gradient(const TinyTerm<typename V::T>* terms) {
  V products[V::lanes];
  for (int q = 0; q < V::lanes; ++q) {
    V p = V::load(terms[q].in) * V::load(terms[q].delta);
    for (int r = 1; r < RV; ++r)
      p = fma(V::load(terms[q].in + r * V::lanes), V::load(terms[q].delta + r * V::lanes), p);
    products[q] = p;
  }
  return V::sums(products);
}

// One step of all parameters. The l2 factors are the array's, so that only a rule that decays needs
// more than the plain form.
template <class V, int RV, class U>
inline void tiny_update(const TinySteps<typename V::T>& s,
                        const UpdateScalars<typename V::T>& of_step) {
  const UpdateScalars<V> scalars = vectors_of<V>(of_step);
  V m = V::set(0), v = V::set(0);
  for (ptrdiff_t p = 0; p < s.n_params; p += V::lanes) {
    V g = tiny_gradient<V, RV>(s.terms + p);
    V w = V::load(s.w + p);
    if (s.l2) g = fma(V::load(s.l2 + p), w, g);
    if (U::has_m) m = V::load(s.m + p);
    if (U::has_v) v = V::load(s.v + p);
    U::template apply<V, !U::decays>(scalars, w, m, v, g);
    w.store(s.w + p);
    if (U::has_m) m.store(s.m + p);
    if (U::has_v) v.store(s.v + p);
  }
}

template <class V, int RV>
ptrdiff_t tiny_steps(const TinySteps<typename V::T>& s) {
  using T = typename V::T;
  constexpr ptrdiff_t stride = RV * V::lanes;
  for (ptrdiff_t k = 0; k < s.steps; ++k) {
    if (s.batches) {
      const T* batch = s.batches + k * s.batch_size;
      for (ptrdiff_t i = 0; i < s.batch_size; i += V::lanes) V::load(batch + i).store(s.batch + i);
    }
    for (ptrdiff_t l = 0; l < s.depth; ++l) {
      const TinyLayer<T>& layer = s.layers[l];
      tiny_forward<V, RV>(layer);
      tiny_activate<V>(layer.activation, layer.z, layer.a, layer.n_out * stride, stride);
    }
    double* totals = s.totals + 4 * k;
    totals[0] = tiny_loss<V>(s, stride);
    if (s.want_metrics) tiny_metrics<V>(s, stride, totals);
    for (ptrdiff_t l = s.depth - 1;; --l) {
      const TinyLayer<T>& layer = s.layers[l];
      if (l + 1 < s.depth || !s.loss_from_logits) tiny_derive<V>(layer, stride);
      if (l == 0) break;
      tiny_backward<V, RV>(layer, s.layers[l - 1].d);
    }
#define MLPFAST_CASE(name, U)               \
  case Update::name:                        \
    tiny_update<V, RV, U>(s, s.scalars[k]); \
    break;
    switch (s.update) {
      MLPFAST_UPDATES(MLPFAST_CASE)
      case Update::count:
        for (ptrdiff_t p = 0; p < s.n_params; p += V::lanes)
          tiny_gradient<V, RV>(s.terms + p).store(s.g + p);
    }
#undef MLPFAST_CASE
    const bool finite = totals[0] - totals[0] == 0.0;
    if (!finite || (s.stop && *s.stop)) return k + 1;
  }
  return s.steps;
}

template <class V>
ptrdiff_t tiny(const TinySteps<typename V::T>& s) {
  if (s.row_vectors == 1) return tiny_steps<V, 1>(s);
  if (s.row_vectors == 2) return tiny_steps<V, 2>(s);
  return tiny_steps<V, 4>(s);
}
