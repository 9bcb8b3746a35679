// Updates of a span of parameters; norm and clipping of a span of the gradient.

template <class V>
inline UpdateScalars<V> vectors_of(const UpdateScalars<typename V::T>& s) {
  return {V::set(s.l2),
          V::set(s.decay),
          V::set(s.rate),
          V::set(s.rate_g),
          V::set(s.gain),
          V::set(s.beta_1),
          V::set(s.beta_2),
          V::set(s.one_minus_beta_1),
          V::set(s.one_minus_beta_2),
          V::set(s.epsilon),
          V::set(s.inner)};
}

template <class V, class U, bool plain>
inline void update_with(const UpdateSpan<typename V::T>& s) {
  using T = typename V::T;
  const UpdateScalars<V> scalars = vectors_of<V>(static_cast<const UpdateScalars<T>&>(s));
  T *const ws = s.w, *const ms = s.m, *const vs = s.v;
  const T* const gs = s.g;
  const ptrdiff_t n = s.n;
  ptrdiff_t i = 0;
  V m = V::set(0), v = V::set(0);
  for (; i + V::lanes <= n; i += V::lanes) {
    V w = V::load(ws + i);
    if (U::has_m) m = V::load(ms + i);
    if (U::has_v) v = V::load(vs + i);
    U::template apply<V, plain>(scalars, w, m, v, V::load(gs + i));
    w.store(ws + i);
    if (U::has_m) m.store(ms + i);
    if (U::has_v) v.store(vs + i);
  }
  const int rest = int(n - i);
  if (rest == 0) return;
  V w = V::load_first(ws + i, rest);
  if (U::has_m) m = V::load_first(ms + i, rest);
  if (U::has_v) v = V::load_first(vs + i, rest);
  U::template apply<V, plain>(scalars, w, m, v, V::load_first(gs + i, rest));
  w.store_first(ws + i, rest);
  if (U::has_m) m.store_first(ms + i, rest);
  if (U::has_v) v.store_first(vs + i, rest);
}

// Without weight decay and l2 term, the usual case, two of about twenty operations are saved.
template <class V, class U>
void update(const UpdateSpan<typename V::T>& s) {
  if (s.decay == 1 && s.l2 == 0)
    update_with<V, U, true>(s);
  else
    update_with<V, U, false>(s);
}

template <class V>
double square_sum(typename V::T* g, const typename V::T* w, typename V::T l2, ptrdiff_t n) {
  using T = typename V::T;
  const V decay = V::set(l2);
  V even = V::set(0), odd = V::set(0);
  for (ptrdiff_t i = 0; i < n; i += V::lanes) {
    V x = V::load(g + i);
    if (l2 != 0) {
      x = fma(decay, V::load(w + i), x);
      x.store(g + i);
    }
    const V next = fma(x, x, even);
    even = odd;
    odd = next;
  }
  const double fast = double(sum(even + odd));
  if (fast > 1e-20 && fast < double(MathConstants<T>::infinity)) return fast;
  // The squares of floats never overflow or underflow in double.
  double slow = 0;
  for (ptrdiff_t i = 0; i < n; ++i) slow += double(g[i]) * double(g[i]);
  return slow;
}

template <class V>
void clip(typename V::T* g, const typename V::T* w, typename V::T l2, typename V::T factor,
          typename V::T limit, ptrdiff_t n) {
  const V decay = V::set(l2), by = V::set(factor), high = V::set(limit), low = V::set(-limit);
  for (ptrdiff_t i = 0; i < n; i += V::lanes) {
    V x = V::load(g + i);
    if (l2 != 0) x = fma(decay, V::load(w + i), x);
    max(low, min(high, by * x)).store(g + i);  // NaN stays
  }
}
