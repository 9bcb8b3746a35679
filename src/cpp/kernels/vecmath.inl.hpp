// exp, log and erfc on vectors: branch-free, whole range, a few units in the last place.
//
// Polynomials are Chebyshev interpolants computed with 60 digits. The reductions are textbook:
// exp(x) = 2^n exp(r) with r = x - n log 2 (Cody and Waite, 1980); log(m 2^e) by the series of
// atanh; erfc(y) = exp(-y^2) erfcx(y) with (1 + 2 y) erfcx(y) a polynomial in (y - K) / (y + K)
// (Shepherd and Laframboise, 1981).

template <class T>
struct MathConstants;

template <>
struct MathConstants<float> {
  static constexpr float exp_low = -105.0f, exp_high = 89.0f;
  // Beyond it 1 / (1 + exp(z)) is subnormal.
  static constexpr float logistic_limit = 87.3f;
  static constexpr float shifter = 12582912.0f;  // 1.5 2^23: adding it rounds to an integer
  // log 2 in two parts, the first with few enough bits that n times it is exact.
  static constexpr float ln2_high = 0.693359375f, ln2_low = -2.12194440e-4f;
  static constexpr int n_exp = 5, n_log = 4, n_erfcx = 12;
  static constexpr float exp[n_exp] = {0.5f, 0.166665734f, 0.0416665501f, 0.00836377387f,
                                       0.00139269266f};
  static constexpr float log[n_log] = {0.666666665f, 0.400001296f, 0.285499547f, 0.233537981f};
  static constexpr float erfcx_center = 3.0f;
  static constexpr float erfcx[n_erfcx] = {1.25300806f,     -0.1356211f,     -0.0475621561f,
                                           0.129644721f,    -0.119275281f,   0.0683131967f,
                                           -0.0237635597f,  0.00250677867f,  0.00187506025f,
                                           -0.00073408205f, -9.25376913e-5f, 8.00745497e-5f};
  static constexpr float infinity = std::numeric_limits<float>::infinity();
};

template <>
struct MathConstants<double> {
  static constexpr double exp_low = -746.0, exp_high = 710.0;
  static constexpr double logistic_limit = 708.3;
  static constexpr double shifter = 6755399441055744.0;  // 1.5 2^52
  static constexpr double ln2_high = 6.93147180369123816490e-01;
  static constexpr double ln2_low = 1.90821492927058770002e-10;
  static constexpr int n_exp = 10, n_log = 9, n_erfcx = 25;
  static constexpr double exp[n_exp] = {
      0.50000000000000011,   0.16666666666666668,    0.041666666666620639,  0.0083333333333297935,
      0.0013888888918939168, 0.00019841269864380513, 2.4801518641395994e-5, 2.7557266418612304e-6,
      2.7621338669142924e-7, 2.510134692835034e-8};
  static constexpr double log[n_log] = {
      0.66666666666666667, 0.39999999999999991, 0.28571428571436405,
      0.22222222219548933, 0.18181818638337511, 0.15384571657659191,
      0.13335787466261668, 0.11684822794856921, 0.11911611653873342};
  static constexpr double erfcx_center = 4.0;
  static constexpr double erfcx[n_erfcx] = {
      1.2329951186255525,     -0.13962111684056228,    0.015379652102619974,
      0.068097054254668382,   -0.10103906603631812,    0.093732834999112639,
      -0.066330365811860582,  0.037167515526338004,    -0.016197734062934771,
      0.0050319700691022558,  -0.00075777324359425761, -0.00019925715247265178,
      0.00015062142608651945, -2.4397731143023298e-5,  -1.1221135665965914e-5,
      5.7065782992407519e-6,  2.9173425573090993e-7,   -8.2106479332974742e-7,
      7.771943241085389e-8,   1.0631817593819187e-7,   -2.0725802488170482e-8,
      -1.2338731403802872e-8, 3.2323973445033096e-9,   9.2976252637178123e-10,
      -2.7641202337255679e-10};
  static constexpr double infinity = std::numeric_limits<double>::infinity();
};

// Coefficients in pairs, then pairs of pairs: more products than Horner's rule, but few in a row.
template <class V, int N>
inline V polynomial_in_pairs(const V (&c)[N], V x) {
  if constexpr (N == 1) {
    return c[0];
  } else {
    V pairs[(N + 1) / 2];
    for (int i = 0; i < N / 2; ++i) pairs[i] = fma(c[2 * i + 1], x, c[2 * i]);
    if (N % 2) pairs[N / 2] = c[N - 1];
    return polynomial_in_pairs<V, (N + 1) / 2>(pairs, x * x);
  }
}

template <class V, int N>
inline V polynomial(const typename V::T (&c)[N], V x) {
  if constexpr (V::waits) {
    V all[N];
    for (int i = 0; i < N; ++i) all[i] = V::set(c[i]);
    return polynomial_in_pairs<V, N>(all, x);
  }
  V p = V::set(c[N - 1]);
  for (int i = N - 2; i >= 0; --i) p = fma(p, x, V::set(c[i]));
  return p;
}

// exp(x) = 2^n (1 + q), |q| < 0.42, for x clamped to where the result is neither 0 nor infinite,
// or just beyond.
template <class V>
inline void exp_parts(V x, V& n, V& q) {
  using C = MathConstants<typename V::T>;
  x = max(V::set(C::exp_low), min(V::set(C::exp_high), x));  // NaN stays
  n = round(x * V::set(typename V::T(1.4426950408889634)));
  V r = fma(n, V::set(-C::ln2_high), x);
  r = fma(n, V::set(-C::ln2_low), r);
  q = fma(polynomial<V>(C::exp, r), r * r, r);
}

template <class V>
inline V exp(V x) {
  V n, q;
  exp_parts(x, n, q);
  return scale_by_power(q + V::set(1), n);
}

// 1 / (1 + exp(-z)) with as few operations in a row as can be: 1 + 2^n (1 + q) in one step, and
// what is out of range put right at the end instead of the beginning.
template <class V>
inline V logistic_soon(V z) {
  using T = typename V::T;
  using C = MathConstants<T>;
  const V shifter = V::set(C::shifter);
  const V n = fma(z, V::set(T(-1.4426950408889634)), shifter) - shifter;
  V r = fma(n, V::set(-C::ln2_high), V::set(0) - z);
  r = fma(n, V::set(-C::ln2_low), r);
  const V power = scale_by_power(V::set(1), n);
  const V q = fma(polynomial<V>(C::exp, r), r * r, r);
  const V a = V::set(1) / fma(q, power, power + V::set(1));
  const V limit = V::set(C::logistic_limit);
  const V low = V::select(less(z, V::set(0) - limit), V::set(0), a);
  return V::select(less(limit, z), V::set(1), low);  // NaN stays
}

// exp(x) - 1 for x <= 0, without cancellation near 0.
template <class V>
inline V expm1_of_negative(V x) {
  V n, q;
  exp_parts(x, n, q);
  const V power = scale_by_power(V::set(1), n);
  return fma(q, power, power - V::set(1));
}

// log(x) for x >= 0 and infinity; NaN for x < 0.
template <class V>
inline V log(V x) {
  using T = typename V::T;
  using C = MathConstants<T>;
  V m, e;
  split(x, m, e);
  const auto high = less(V::set(T(1.4142135623730951)), m);
  m = V::select(high, m * V::set(T(0.5)), m);
  e = V::select(high, e + V::set(1), e);
  const V f = m - V::set(1);
  const V s = f / (f + V::set(2));
  const V z = s * s;
  // log(1 + f) = 2 s + s z P(z), with 2 s = f - s f
  const V rest = s * (z * polynomial<V>(C::log, z) - f);
  V y = fma(e, V::set(C::ln2_high), f + fma(e, V::set(C::ln2_low), rest));
  const V infinity = V::set(C::infinity);
  y = V::select(less(x, infinity), y, x);
  // 0 gives -infinity, a negative number NaN, and NaN itself.
  const V others = V::select(less(x, V::set(0)), infinity - infinity, x - infinity);
  return V::select(less(V::set(0), x), y, others);
}

// log(1 + y) for 0 <= y <= 1: the rounding error of 1 + y is put back.
template <class V>
inline V log1p_of_fraction(V y) {
  const V u = V::set(1) + y;
  return log(u) + (y - (u - V::set(1))) / u;
}

// The standard normal distribution: cdf(z) and density(z), to a few units in the last place for
// z < 0 as well; in the far tail to some hundreds where fma is not fused.
template <class V>
inline void normal(V z, V& cdf, V& density) {
  using T = typename V::T;
  using C = MathConstants<T>;
  // exp(-z^2 / 2), with the rounding error of z^2 put back
  const V square = z * z;
  const V error = fma(z, z, V::set(0) - square);
  V e = exp(square * V::set(T(-0.5)));
  e = V::select(less(square, V::set(C::infinity)), fma(e * error, V::set(T(-0.5)), e), e);
  const V y = abs(z) * V::set(T(0.70710678118654752));
  const V center = V::set(C::erfcx_center);
  // At infinity the quotient below is NaN; its limit is 1.
  const V t = V::select(less(y, V::set(C::infinity)), (y - center) / (y + center), V::set(1));
  const V erfcx = polynomial<V>(C::erfcx, t) / fma(V::set(2), y, V::set(1));
  const V tail = e * erfcx * V::set(T(0.5));
  cdf = V::select(less(z, V::set(0)), tail, V::set(1) - tail);
  density = e * V::set(T(0.39894228040143268));
}
