// Optimizers: one update of a span of parameters. Rules as in kernels.hpp.

template <class V>
struct ScaledSum {
  static constexpr bool has_m = false, has_v = false;
  V l2, decay, rate;
  explicit ScaledSum(const UpdateSpan<typename V::T>& s)
      : l2(V::set(s.l2)), decay(V::set(s.decay)), rate(V::set(s.rate)) {}
  void operator()(V& w, V&, V&, V g) const { w = fma(rate, fma(l2, w, g), decay * w); }
};

template <class V>
struct Momentum {
  static constexpr bool has_m = true, has_v = false;
  V l2, beta, rate, rate_g;
  explicit Momentum(const UpdateSpan<typename V::T>& s)
      : l2(V::set(s.l2)), beta(V::set(s.beta_1)), rate(V::set(s.rate)), rate_g(V::set(s.rate_g)) {}
  void operator()(V& w, V& m, V&, V g) const {
    g = fma(l2, w, g);
    m = fma(beta, m, g);
    w = fma(rate, m, fma(rate_g, g, w));
  }
};

template <class V>
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
    g = fma(l2, w, g);
    m = fma(beta_1, m, rest_1 * g);
    v = fma(beta_2, v, rest_2 * (g * g));
    w = fma(rate, m / (sqrt(v) + epsilon), decay * w);
  }
};

template <class V>
struct Rmsprop {
  static constexpr bool has_m = true, has_v = true;
  V l2, rate, momentum, rho, rest, epsilon;
  explicit Rmsprop(const UpdateSpan<typename V::T>& s)
      : l2(V::set(s.l2)),
        rate(V::set(s.rate)),
        momentum(V::set(s.beta_1)),
        rho(V::set(s.beta_2)),
        rest(V::set(s.one_minus_beta_2)),
        epsilon(V::set(s.epsilon)) {}
  void operator()(V& w, V& m, V& v, V g) const {
    g = fma(l2, w, g);
    v = fma(rho, v, rest * (g * g));
    m = fma(momentum, m, g / (sqrt(v) + epsilon));
    w = fma(rate, m, w);
  }
};

template <class V, class Rule>
void update(const UpdateSpan<typename V::T>& s) {
  const Rule rule(s);
  ptrdiff_t i = 0;
  V m = V::set(0), v = V::set(0);
  for (; i + V::lanes <= s.n; i += V::lanes) {
    V w = V::load(s.w + i);
    if (Rule::has_m) m = V::load(s.m + i);
    if (Rule::has_v) v = V::load(s.v + i);
    rule(w, m, v, V::load(s.g + i));
    w.store(s.w + i);
    if (Rule::has_m) m.store(s.m + i);
    if (Rule::has_v) v.store(s.v + i);
  }
  const int rest = int(s.n - i);
  if (rest == 0) return;
  V w = V::load_first(s.w + i, rest);
  if (Rule::has_m) m = V::load_first(s.m + i, rest);
  if (Rule::has_v) v = V::load_first(s.v + i, rest);
  rule(w, m, v, V::load_first(s.g + i, rest));
  w.store_first(s.w + i, rest);
  if (Rule::has_m) m.store_first(s.m + i, rest);
  if (Rule::has_v) v.store_first(s.v + i, rest);
}
