// Whole steps of a small net on a few rows, which lie in the lanes: only the gradients are summed
// across a vector.
//
// Such a step is bound by latency, so every loop has several independent units in flight, and no
// vector is loaded right after it was stored in pieces.

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

template <class V, class F>
inline void tiny_activate_with(const TinyLayer<typename V::T>& layer, ptrdiff_t stride) {
  if constexpr (F::whole_rows)
    unit_softmax<V, true>(layer.z, layer.a, layer.n_out, stride, stride);
  else if constexpr (!std::is_same<F, ops::Identity>::value)
    for (ptrdiff_t i = 0; i < layer.n_out * stride; i += V::lanes)
      F::template value<V>(V::load(layer.z + i)).store(layer.a + i);
}

// a = f(z) for all units and rows of a layer; the rows of a unit are `stride` elements.
template <class V>
void tiny_activate(const TinyLayer<typename V::T>& layer, ptrdiff_t stride) {
#define MLPFAST_CASE(name, F) \
  case Activation::name:      \
    return tiny_activate_with<V, F>(layer, stride);
  switch (layer.activation) {
    MLPFAST_ACTIVATIONS(MLPFAST_CASE)
    case Activation::count:
      break;
  }
#undef MLPFAST_CASE
}

template <class V, class F>
inline void tiny_derive_with(const TinyLayer<typename V::T>& layer, ptrdiff_t stride) {
  const auto* kept = F::keeps_z ? layer.z : layer.a;
  const ptrdiff_t n = layer.n_out * stride;
  if constexpr (F::whole_rows)
    unit_softmax_derive<V>(kept, layer.d, layer.n_out, stride, stride);
  else if constexpr (F::has_gradient && !std::is_same<F, ops::Identity>::value)
    derive<V, F>(kept, layer.d, 1, n, n);
}

// d *= f', from the layer's kept values.
template <class V>
void tiny_derive(const TinyLayer<typename V::T>& layer, ptrdiff_t stride) {
#define MLPFAST_CASE(name, F) \
  case Activation::name:      \
    return tiny_derive_with<V, F>(layer, stride);
  switch (layer.activation) {
    MLPFAST_ACTIVATIONS(MLPFAST_CASE)
    case Activation::count:
      break;
  }
#undef MLPFAST_CASE
}

// The output layer for unit_major.inl.hpp, without weights and scale, which tiny treats
// differently.
template <class T>
inline UnitLoss<T> tiny_outputs(const TinySteps<T>& s, ptrdiff_t stride) {
  const TinyLayer<T>& layer = s.layers[s.depth - 1];
  return {layer.z, layer.a, s.target,    layer.d, nullptr,
          T(1),    stride,  layer.n_out, stride,  s.slopes};
}

// The deltas of the output layer, and the weighted loss of the batch.
template <class V, class L, bool logits>
inline double tiny_loss_with(const TinySteps<typename V::T>& s, ptrdiff_t stride) {
  using T = typename V::T;
  const UnitLoss<T> r = tiny_outputs(s, stride);
  const V share = V::set(L::mean ? T(1) / T(r.cols) : T(1));
  const Slopes<V> slopes = vectors_of<V>(r.slopes);
  const auto keep = [](V x) { return x; };
  V weighted = V::set(0);
  for (ptrdiff_t i = 0; i < stride; i += V::lanes) {
    const V factor = V::load(s.scale + i) * share;
    V total;
    if constexpr (L::whole_rows)
      total = unit_crossentropy<V, L, true>(r, i, factor, keep);
    else
      total = unit_elementwise_loss<V, L, logits>(r, i, slopes, factor, keep);
    // Lanes beyond the batch hold copies of its first row, and infinity times 0 is NaN.
    const V weight = V::load(s.weight + i);
    const V counted = V::select(less(V::set(0), abs(weight)), total * share, V::set(0));
    weighted = fma(counted, weight, weighted);
  }
  return double(sum(weighted));
}

template <class V, class L>
inline double tiny_loss_in_form(const TinySteps<typename V::T>& s, ptrdiff_t stride) {
  if constexpr (has_form<L>(true))
    if (s.loss_from_logits) return tiny_loss_with<V, L, true>(s, stride);
  if constexpr (has_form<L>(false)) return tiny_loss_with<V, L, false>(s, stride);
  return 0;
}

template <class V>
double tiny_loss(const TinySteps<typename V::T>& s, ptrdiff_t stride) {
#define MLPFAST_CASE(name, L) \
  case Loss::name:            \
    return tiny_loss_in_form<V, L>(s, stride);
  switch (s.loss) {
    MLPFAST_LOSSES(MLPFAST_CASE)
    case Loss::count:
      break;
  }
#undef MLPFAST_CASE
  return 0;
}

// Correct answers and errors, as weighted sums over the rows.
template <class V>
void tiny_metrics(const TinySteps<typename V::T>& s, ptrdiff_t stride, double* totals) {
  const auto r = tiny_outputs(s, stride);
  const V zero = V::set(0);
  V correct = zero, squares = zero, absolutes = zero;
  for (ptrdiff_t i = 0; i < stride; i += V::lanes) {
    V wrong, squared, absolute;
    unit_errors(r, i, wrong, squared, absolute);
    const V weight = V::load(s.counted + i);
    correct = correct + V::select(less(zero, wrong), zero, weight);
    squares = fma(weight, squared, squares);
    absolutes = fma(weight, absolute, absolutes);
  }
  totals[1] = double(sum(correct));
  totals[2] = double(sum(squares)) / double(r.cols);
  totals[3] = double(sum(absolutes)) / double(r.cols);
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

// One update of all parameters. The l2 term is added here, so that only a rule with weight decay
// needs more than the plain form.
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
  const bool loss_has_softmax =
      s.loss_from_logits && s.layers[s.depth - 1].activation == Activation::softmax;
  for (ptrdiff_t k = 0; k < s.steps; ++k) {
    if (s.batches) {
      const T* batch = s.batches + k * s.batch_size;
      for (ptrdiff_t i = 0; i < s.batch_size; i += V::lanes) V::load(batch + i).store(s.batch + i);
    }
    for (ptrdiff_t l = 0; l < s.depth; ++l) {
      const TinyLayer<T>& layer = s.layers[l];
      tiny_forward<V, RV>(layer);
      // A loss that is computed from the logits of a softmax computes the softmax as well.
      if (l + 1 < s.depth || !loss_has_softmax) tiny_activate<V>(layer, stride);
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
