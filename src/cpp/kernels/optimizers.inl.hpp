// Optimizers: one update of a span of parameters. Rules as in kernels.hpp; "plain" has decay 1 and
// no l2 term.

template <class V, bool plain>
struct ScaledSum {
  static constexpr bool has_m = false, has_v = false;
  V l2, decay, rate;
  explicit ScaledSum(const UpdateSpan<typename V::T>& s)
      : l2(V::set(s.l2)), decay(V::set(s.decay)), rate(V::set(s.rate)) {}
  void operator()(V& w, V&, V&, V g) const {
    w = plain ? fma(rate, g, w) : fma(rate, fma(l2, w, g), decay * w);
  }
};

template <class V, bool plain>
struct Momentum {
  static constexpr bool has_m = true, has_v = false;
  V l2, beta, gain, rate, rate_g;
  explicit Momentum(const UpdateSpan<typename V::T>& s)
      : l2(V::set(s.l2)),
        beta(V::set(s.beta_1)),
        gain(V::set(s.gain)),
        rate(V::set(s.rate)),
        rate_g(V::set(s.rate_g)) {}
  void operator()(V& w, V& m, V&, V g) const {
    if (!plain) g = fma(l2, w, g);
    m = fma(beta, m, gain * g);
    w = fma(rate, m, fma(rate_g, g, w));
  }
};

template <class V, bool plain>
struct Adam {
  static constexpr bool has_m = true, has_v = true;
  V l2, decay, rate, beta_1, beta_2, rest_1, rest_2, epsilon;
  explicit Adam(const UpdateSpan<typename V::T>& s)
      : l2(V::set(s.l2)),
        decay(V::set(s.decay)),
        rate(V::set(s.rate)),
        beta_1(V::set(s.beta_1)),
        beta_2(V::set(s.beta_2)),
        rest_1(V::set(s.one_minus_beta_1)),
        rest_2(V::set(s.one_minus_beta_2)),
        epsilon(V::set(s.epsilon)) {}
  void operator()(V& w, V& m, V& v, V g) const {
    if (!plain) g = fma(l2, w, g);
    m = fma(beta_1, m, rest_1 * g);
    v = fma(beta_2, v, rest_2 * (g * g));
    w = fma(rate, quotient(m, fast_sqrt(v) + epsilon), plain ? w : decay * w);
  }
};

template <class V, bool plain>
struct Rmsprop {
  static constexpr bool has_m = true, has_v = true;
  V l2, rate, gain, momentum, rho, rest, epsilon, inner;
  explicit Rmsprop(const UpdateSpan<typename V::T>& s)
      : l2(V::set(s.l2)),
        rate(V::set(s.rate)),
        gain(V::set(s.gain)),
        momentum(V::set(s.beta_1)),
        rho(V::set(s.beta_2)),
        rest(V::set(s.one_minus_beta_2)),
        epsilon(V::set(s.epsilon)),
        inner(V::set(s.inner)) {}
  void operator()(V& w, V& m, V& v, V g) const {
    if (!plain) g = fma(l2, w, g);
    v = fma(rho, v, rest * (g * g));
    m = fma(momentum, m, gain * quotient(g, fast_sqrt(v + inner) + epsilon));
    w = fma(rate, m, w);
  }
};

template <class V, class Rule>
inline void update_with(const Rule& rule, const UpdateSpan<typename V::T>& s) {
  using T = typename V::T;
  T *const ws = s.w, *const ms = s.m, *const vs = s.v;
  const T* const gs = s.g;
  const ptrdiff_t n = s.n;
  ptrdiff_t i = 0;
  V m = V::set(0), v = V::set(0);
  for (; i + V::lanes <= n; i += V::lanes) {
    V w = V::load(ws + i);
    if (Rule::has_m) m = V::load(ms + i);
    if (Rule::has_v) v = V::load(vs + i);
    rule(w, m, v, V::load(gs + i));
    w.store(ws + i);
    if (Rule::has_m) m.store(ms + i);
    if (Rule::has_v) v.store(vs + i);
  }
  const int rest = int(n - i);
  if (rest == 0) return;
  V w = V::load_first(ws + i, rest);
  if (Rule::has_m) m = V::load_first(ms + i, rest);
  if (Rule::has_v) v = V::load_first(vs + i, rest);
  rule(w, m, v, V::load_first(gs + i, rest));
  w.store_first(ws + i, rest);
  if (Rule::has_m) m.store_first(ms + i, rest);
  if (Rule::has_v) v.store_first(vs + i, rest);
}

// The usual case, without weight decay and l2 term, saves two of about twenty operations.
template <class V, template <class, bool> class Rule>
void update(const UpdateSpan<typename V::T>& s) {
  if (s.decay == 1 && s.l2 == 0)
    update_with<V>(Rule<V, true>(s), s);
  else
    update_with<V>(Rule<V, false>(s), s);
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
  // The squares of floats are all in the range of double.
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
