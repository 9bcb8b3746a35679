// exp, log, tanh and the normal distribution on vectors: branch-free, over the whole range,
// accurate to a few units in the last place.
//
// The reductions are textbook: exp(x) = 2^n exp(r) with r = x - n log 2 (Cody and Waite, 1980);
// log(m 2^e) by the series of atanh; the tail of the normal distribution is exp(-a^2 / 2) /
// (1 + 3/2 a) times a polynomial in (a - K) / (a + K) (after Shepherd and Laframboise, 1981). The
// polynomials of log are Chebyshev interpolants computed with 60 digits; the others minimize the
// maximum relative error (Remez exchange, 50 digits).

template <class T>
struct MathConstants;

template <>
struct MathConstants<float> {
  static constexpr float exp_low = -112.0f, exp_high = 89.0f, logistic_high = 20.0f;
  // Beyond it 1 / (1 + exp(z)) is subnormal.
  static constexpr float logistic_limit = 87.3f;
  // log 2 in two parts, the first with so few bits that n times it is exact.
  static constexpr float ln2_high = 0.693359375f, ln2_low = -2.12194440e-4f;
  static constexpr float shifter = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer
  static constexpr int n_log = 4, n_tail = 9;
  static constexpr float log[n_log] = {0.666666665f, 0.400001296f, 0.285499547f, 0.233537981f};
  static constexpr float tail_end = 14.5f, tail_center = 3.5f;
  static constexpr float tail_first = 0.664657197f;
  static constexpr float tail[n_tail] = {-0.105998104f, -0.246985162f, 0.703141347f,
                                         -0.878891658f, 0.522710902f,  0.0732084742f,
                                         -0.289279236f, 0.0169171029f, 0.113569438f};
  static constexpr float infinity = std::numeric_limits<float>::infinity();
  // The least x with 1 + x > 1, and minus its logarithm.
  static constexpr float resolution = std::numeric_limits<float>::epsilon();
  static constexpr float log_resolution = 15.9423851528787f;
};

template <>
struct MathConstants<double> {
  static constexpr double exp_low = -756.0, exp_high = 710.0, logistic_high = 40.0;
  static constexpr double logistic_limit = 708.3;
  static constexpr double ln2_high = 6.93147180369123816490e-01;
  static constexpr double ln2_low = 1.90821492927058770002e-10;
  static constexpr double shifter = 6755399441055744.0;
  static constexpr int n_log = 9, n_tail = 21;
  static constexpr double log[n_log] = {
      0.66666666666666667, 0.39999999999999991, 0.28571428571436405,
      0.22222222219548933, 0.18181818638337511, 0.15384571657659191,
      0.13335787466261668, 0.11684822794856921, 0.11911611653873342};
  static constexpr double tail_end = 39.0, tail_center = 4.0;
  static constexpr double tail_first = 0.660874489113782512;
  static constexpr double tail[n_tail] = {
      -0.119712710431121305,  -0.164760702331923129,  0.630033997993262093,   -1.01966653113532908,
      0.99680620677315505,    -0.496470330260521292,  -0.095723723116178902,  0.290800037230954926,
      -0.0608603354729589386, -0.149609507627989742,  0.060536817470926471,   0.0925224890136365003,
      -0.03877462552455827,   -0.0694848292631622317, 0.0165316835570858991,  0.0563727813537406311,
      0.00327778686370121334, -0.0408839194803398383, -0.0158052453579030656, 0.0184258917156727338,
      0.0128191484293163651};
  static constexpr double infinity = std::numeric_limits<double>::infinity();
  static constexpr double resolution = std::numeric_limits<double>::epsilon();
  static constexpr double log_resolution = 36.0436533891171560897;
};

// Coefficients in pairs, then pairs of pairs: more products than Horner's rule, but a shorter
// chain.
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

// c[first] + c[first + stride] x + c[first + 2 stride] x^2 ...
template <class V, int N>
inline V horner(const typename V::T (&c)[N], int first, int stride, V x) {
  int i = first + (N - 1 - first) / stride * stride;
  V p = V::set(c[i]);
  for (i -= stride; i >= 0; i -= stride) p = fma(p, x, V::set(c[i]));
  return p;
}

// The sum of c[i] x^i, long ones in two or four interleaved parts: a chain of 25 operations of four
// cycles is longer than the out-of-order window of a CPU.
template <class V, int N>
inline V polynomial(const typename V::T (&c)[N], V x) {
  if constexpr (V::latency_bound) {
    V all[N];
    for (int i = 0; i < N; ++i) all[i] = V::set(c[i]);
    return polynomial_in_pairs<V, N>(all, x);
  }
  if constexpr (N < 8) return horner(c, 0, 1, x);
  const V x2 = x * x;
  if constexpr (N < 16) return fma(horner(c, 1, 2, x2), x, horner(c, 0, 2, x2));
  const V x4 = x2 * x2;
  const V high = fma(horner(c, 3, 4, x4), x, horner(c, 2, 4, x4));
  return fma(high, x2, fma(horner(c, 1, 4, x4), x, horner(c, 0, 4, x4)));
}

// (exp(r) - 1) / r for |r| <= log(2) / 2 / steps, and 2^(j / steps) for vectors with look_up.
template <class T, int steps>
struct ExpTable;

template <>
struct ExpTable<float, 1> {
  static constexpr int n = 6;
  static constexpr float q[n] = {1.00000003f,   0.499999942f,   0.166664303f,
                                 0.0416680074f, 0.00837423611f, 0.00138435636f};
};

template <>
struct ExpTable<double, 1> {
  static constexpr int n = 11;
  static constexpr double q[n] = {1.0,
                                  0.500000000000001262,
                                  0.166666666666662125,
                                  0.0416666666665166415,
                                  0.0083333333335515133,
                                  0.00138888889466965651,
                                  0.000198412694342117116,
                                  2.48014902507759178e-5,
                                  2.75576280489528569e-6,
                                  2.76311811529131858e-7,
                                  2.49912774027622847e-8};
};

// (exp(r) - 1 - r) / r^2 for |r| <= log(2) / 2, with minimax error relative to exp(r) - 1.
template <class T>
struct Expm1Table;

template <>
struct Expm1Table<float> {
  static constexpr int n = 5;
  static constexpr float q[n] = {0.499999981f, 0.166665432f, 0.0416672017f, 0.0083665807f,
                                 0.00138825196f};
};

template <>
struct Expm1Table<double> {
  static constexpr int n = 10;
  static constexpr double q[n] = {0.500000000000000523,   0.166666666666665886,
                                  0.0416666666665761035,  0.0083333333333899047,
                                  0.00138888889317958806, 0.000198412697184784238,
                                  2.48015049781613627e-5, 2.75574077348923542e-6,
                                  2.76261616701987834e-7, 2.50538188360711039e-8};
};

template <>
struct ExpTable<float, 32> {
  static constexpr int n = 2;
  static constexpr float q[n] = {1.00001467f, 0.49999998f};
  static constexpr float power[32] = {
      1.0f,        1.02189715f, 1.04427378f, 1.0671404f,  1.09050773f, 1.11438674f, 1.13878863f,
      1.16372486f, 1.18920712f, 1.21524736f, 1.24185781f, 1.26905096f, 1.29683955f, 1.32523664f,
      1.35425555f, 1.38390988f, 1.41421356f, 1.44518081f, 1.47682615f, 1.50916443f, 1.54221083f,
      1.57598085f, 1.61049033f, 1.64575548f, 1.68179283f, 1.7186193f,  1.75625216f, 1.79470908f,
      1.83400809f, 1.87416763f, 1.91520656f, 1.95714412f};
};

template <>
struct ExpTable<double, 16> {
  static constexpr int n = 6;
  static constexpr double q[n] = {1.00000000000000224,    0.499999999999996584,
                                  0.166666666628414472,   0.0416666666863547198,
                                  0.00833349639441103565, 0.00138887266293621626};
  static constexpr double power[16] = {1.0,
                                       1.04427378242741384,
                                       1.09050773266525766,
                                       1.13878863475669165,
                                       1.18920711500272107,
                                       1.24185781207348405,
                                       1.29683955465100967,
                                       1.35425554693689273,
                                       1.41421356237309505,
                                       1.47682614593949931,
                                       1.54221082540794082,
                                       1.61049033194925431,
                                       1.68179283050742909,
                                       1.75625216037329948,
                                       1.83400808640934246,
                                       1.91520656139714729};
};

// x = n log 2 + r with n a multiple of 1 / steps and |r| <= log(2) / 2 / steps, for x clamped to
// [low, high]. The sum has n * steps in its lowest bits.
template <int steps, class V>
inline V reduce(V x, typename V::T low, typename V::T high, V& n, V& r) {
  using T = typename V::T;
  using C = MathConstants<T>;
  x = max(V::set(low), min(V::set(high), x));  // NaN stays
  const V shifter = V::set(C::shifter / steps);
  const V sum = fma(x, V::set(T(1.4426950408889634)), shifter);
  n = sum - shifter;
  r = fma(n, V::set(-C::ln2_high), x);
  r = fma(n, V::set(-C::ln2_low), r);
  return sum;
}

// y in [0.7, 2) with exp(x) = 2^floor(n) y, from the results of reduce.
template <class V>
inline V exp_of_reduced(V sum, V r) {
  using Table = ExpTable<typename V::T, V::table>;
  const V q = polynomial<V>(Table::q, r);
  if constexpr (V::table > 1) {
    const V power = V::look_up(Table::power, sum);
    return fma(power * r, q, power);
  } else {
    return fma(r, q, V::set(1));
  }
}

template <class V>
inline V exp(V x) {
  using C = MathConstants<typename V::T>;
  V n, r;
  const V sum = reduce<V::table>(x, C::exp_low, C::exp_high, n, r);
  return scale_by_power(exp_of_reduced(sum, r), n);
}

// 1 / (1 + exp(-z)) with the shortest chain of dependent operations: 1 + 2^n (1 + q) in one step,
// and arguments out of range are corrected at the end, not clamped at the beginning.
template <class V>
inline V logistic_low_latency(V z) {
  using T = typename V::T;
  using C = MathConstants<T>;
  const V shifter = V::set(C::shifter);
  const V n = fma(z, V::set(T(-1.4426950408889634)), shifter) - shifter;
  V r = fma(n, V::set(-C::ln2_high), V::set(0) - z);
  r = fma(n, V::set(-C::ln2_low), r);
  const V power = scale_by_power(V::set(1), n);
  const V q = fma(polynomial<V>(Expm1Table<T>::q, r), r * r, r);
  const V a = V::set(1) / fma(q, power, power + V::set(1));
  const V limit = V::set(C::logistic_limit);
  const V low = V::select(less(z, V::set(0) - limit), V::set(0), a);
  return V::select(less(limit, z), V::set(1), low);  // NaN stays
}

// exp(x) - 1 for x <= 0, without cancellation near 0.
template <class V>
inline V expm1_of_negative(V x) {
  using T = typename V::T;
  using C = MathConstants<T>;
  V n, r;
  reduce<1>(x, C::exp_low, C::exp_high, n, r);
  const V q = fma(polynomial<V>(Expm1Table<T>::q, r), r * r, r);
  const V power = scale_by_power(V::set(1), n);
  return fma(q, power, power - V::set(1));
}

// tanh(r / 2) / r in r^2 for |r| <= log(2) / 32, with minimax error of tanh(r / 2).
struct HalfTanhTable {
  static constexpr int n = 3;
  static constexpr double q[n] = {0.499999999999995209, -0.0416666665851329472,
                                  0.00416631980349191021};
};

// 1 / (1 + exp(-x)), with full relative accuracy for large -x as well.
template <class V>
inline V logistic(V x) {
  using C = MathConstants<typename V::T>;
  V n, r;
  const V sum = reduce<V::table>(x, C::exp_low, C::logistic_high, n, r);
  if constexpr (V::table == 16) {
    // exp(r) = (1 + t) / (1 - t) with t = tanh(r / 2), which has odd terms only
    const V e = scale_by_power(V::look_up(ExpTable<double, 16>::power, sum), n);
    const V t = r * polynomial<V>(HalfTanhTable::q, r * r);
    const V share = fma(e, t, e);
    return quotient(share, V::set(1) + (share - t));
  } else {
    const V e = scale_by_power(exp_of_reduced(sum, r), n);
    return quotient(e, V::set(1) + e);
  }
}

// x / (1 + exp(-x)), multiplied before the result can become subnormal.
template <class V>
inline V times_logistic(V x) {
  using C = MathConstants<typename V::T>;
  V n, r;
  const V sum = reduce<V::table>(x, C::exp_low, C::logistic_high, n, r);
  const V y = exp_of_reduced(sum, r);
  const V share = quotient(y, V::set(1) + scale_by_power(y, n));
  return scale_by_power(max(V::set(C::exp_low), x) * share, n);
}

// tanh(y) for y >= 0 where it can be looked up: polynomials in y of degree 4 on pieces between
// multiples of 1/16 to 1, namely those on which the exponent and three bits of y + 3/4 are the
// same. Each minimizes the maximum relative error (Remez exchange); its rounded coefficients were
// then varied by a few units to minimize the maximum error of the computed value.
struct TanhTable {
  static constexpr float last = 9.02f;  // beyond it, tanh rounds to 1
  static constexpr float offset = 0.75f;
  static constexpr int index_bit = 20;
  static constexpr int degree = 4;
  static constexpr float c[degree + 1][32] = {
      {-0.140118837f,
       -0.157156229f,
       -0.115266211f,
       -0.0212935638f,
       0.105215818f,
       0.244010165f,
       0.379799932f,
       0.503258884f,
       0.653501809f,
       0.799003363f,
       0.888790786f,
       0.940738261f,
       0.969382644f,
       0.984589279f,
       0.992415011f,
       0.996338546f,
       0.998758614f,
       0.999690652f,
       0.0f,
       0.0f,
       0.0f,
       7.44860472e-07f,
       9.92364221e-06f,
       4.72934626e-05f,
       0.000186742313f,
       0.000364465202f,
       -0.00078743929f,
       -0.00610261597f,
       -0.0187120494f,
       -0.0400847234f,
       -0.0687519535f,
       -0.10047812f},
      {1.55490756f,    1.60260177f,     1.50810802f,     1.32053936f,    1.09550154f,
       0.873088181f,   0.675195992f,    0.510244668f,    0.327532291f,   0.171087697f,
       0.0859511048f,  0.0419036187f,   0.0199395083f,   0.00929795019f, 0.00426161382f,
       0.00192440581f, 0.000595208374f, 0.000134194022f, 0.0f,           0.0f,
       1.0f,           0.999957204f,    0.999671102f,    0.998880446f,   0.996757507f,
       0.994711697f,   1.00361729f,     1.0372746f,      1.10425591f,    1.2018714f,
       1.31664467f,    1.42969656f},
      {-0.847318232f,
       -0.897359192f,
       -0.817361414f,
       -0.676855147f,
       -0.526645482f,
       -0.392922163f,
       -0.284726977f,
       -0.202051461f,
       -0.118675061f,
       -0.0555389337f,
       -0.0252452698f,
       -0.0112316152f,
       -0.00491308141f,
       -0.00211942685f,
       -0.000903593202f,
       -0.000381359452f,
       -0.000107457556f,
       -2.19043686e-05f,
       0.0f,
       0.0f,
       8.09302296e-06f,
       0.000970712339f,
       0.00435618218f,
       0.0106657995f,
       0.0228512958f,
       0.0316905119f,
       0.00582280895f,
       -0.0742546469f,
       -0.207870051f,
       -0.375236958f,
       -0.547693729f,
       -0.698857427f},
      {0.215066984f,    0.238390267f,    0.208264977f,   0.161448941f,
       0.116859116f,    0.0811074674f,   0.0548053458f,  0.0363818817f,
       0.0194615312f,   0.0081270989f,   0.00333303376f, 0.00135042006f,
       0.000542196794f, 0.000216120083f, 8.5626787e-05f, 3.37509809e-05f,
       8.65349557e-06f, 1.59395643e-06f, 0.0f,           0.0f,
       -0.333981499f,   -0.344203323f,   -0.362242907f,  -0.384752512f,
       -0.416020006f,   -0.433007956f,   -0.399546236f,  -0.314703703f,
       -0.196073309f,   -0.0684003681f,  0.0468626246f,  0.136752695f},
      {-0.0210329425f,
       -0.0251075793f,
       -0.0208497737f,
       -0.0149955302f,
       -0.0100286668f,
       -0.00644241832f,
       -0.00404363824f,
       -0.00250352826f,
       -0.00121503102f,
       -0.000451313448f,
       -0.000166617378f,
       -6.13748416e-05f,
       -2.25893e-05f,
       -8.31160469e-06f,
       -3.0578567e-06f,
       -1.12495763e-06f,
       -2.62161223e-07f,
       -4.36166658e-08f,
       0.0f,
       0.0f,
       0.016619008f,
       0.0602538101f,
       0.09679088f,
       0.127079055f,
       0.157351032f,
       0.169603363f,
       0.15333648f,
       0.119559869f,
       0.0800059885f,
       0.043444816f,
       0.0145325409f,
       -0.00552522391f},
  };
};

// tanh(y) = tanh(c + d) = ((1 - e) + (1 + e) t) / ((1 + e) + (1 - e) t) for t = tanh(d), where
// e = exp(-2 c) is a power of 2^(1/8) and |d| <= log(2) / 32. Near 0 the error of e is many times
// as large in 1 - e. Low parts of the table would correct that; they are not needed, as the
// distance of the nodes c is chosen one unit in the last place above log(2) / 16, and the last
// places of the entries so that near 0 each e is as close to exp(-2 c) as possible, and farther
// away 1 - e is exact as well: the entries of every other octave differ.
struct TanhNodes {
  static constexpr double last = 19.1;  // beyond it, tanh rounds to 1
  static constexpr int steps = 8;
  static constexpr double octave = 0.3465735902799727;
  static constexpr int n = 3;
  // (tanh(d) / d - 1) / d^2, with minimax error relative to tanh(d) / d.
  static constexpr double q[n] = {-0.333333333332914045, 0.133333327931582449,
                                  -0.0539484703214722667};
  static constexpr double power[16] = {1.0,
                                       1.0905077326652575,
                                       1.1892071150027208,
                                       1.2968395546510094,
                                       1.414213562373095,
                                       1.5422108254079405,
                                       1.6817928305074288,
                                       1.8340080864093422,
                                       1.0,
                                       1.0905077326652575,
                                       1.189207115002721,
                                       1.2968395546510096,
                                       1.414213562373095,
                                       1.5422108254079407,
                                       1.681792830507429,
                                       1.8340080864093424};
};

template <class V>
inline V hyperbolic_tangent(V x) {
  if constexpr (V::table == 32) {
    using Table = TanhTable;
    const V y = min(V::set(Table::last), abs(x));  // NaN stays
    const V index = bits_from(y + V::set(Table::offset), Table::index_bit);
    V p = V::look_up(Table::c[Table::degree], index);
    for (int k = Table::degree - 1; k >= 0; --k) p = fma(p, y, V::look_up(Table::c[k], index));
    return copysign(p, x);
  } else if constexpr (V::table == 16) {
    using Table = TanhNodes;
    const V y = min(V::set(Table::last), abs(x));  // NaN stays
    const V shifter = V::set(MathConstants<double>::shifter / Table::steps);
    const V sum = fma(y, V::set(-2 * 1.4426950408889634), shifter);
    const V n = sum - shifter;
    const V d = fma(n, V::set(Table::octave), y);
    const V e = scale_by_power(V::look_up(Table::power, sum), n);
    const V square = d * d;
    const V t = fma(d * square, polynomial<V>(Table::q, square), d);
    const V high = V::set(1) + e, low = V::set(1) - e;
    return copysign(quotient(fma(high, t, low), fma(low, t, high)), x);
  } else {
    const V t = expm1_of_negative(abs(x) * V::set(-2));
    return copysign(quotient(V::set(0) - t, t + V::set(2)), x);
  }
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
  const V s = quotient(f, f + V::set(2));
  const V z = s * s;
  // log(1 + f) = 2 s + s z P(z), with 2 s = f - s f
  const V rest = s * (z * polynomial<V>(C::log, z) - f);
  V y = fma(e, V::set(C::ln2_high), f + fma(e, V::set(C::ln2_low), rest));
  const V infinity = V::set(C::infinity);
  y = V::select(less(x, infinity), y, x);
  // 0 gives -infinity, a negative number NaN, and NaN gives NaN.
  const V others = V::select(less(x, V::set(0)), infinity - infinity, x - infinity);
  return V::select(less(V::set(0), x), y, others);
}

// log(1 + y) for 0 <= y <= 1, corrected for the rounding error of 1 + y.
template <class V>
inline V log1p_of_fraction(V y) {
  const V u = V::set(1) + y;
  return log(u) + quotient(y - (u - V::set(1)), u);
}

// The standard normal distribution for z < 0: density 2^floor(n) y / sqrt(2 pi), cdf
// 2^floor(n) tail, both to a few units in the last place. For z > 0 those of -z.
template <class V>
inline void normal_tail(V z, V& n, V& y, V& tail) {
  using T = typename V::T;
  using C = MathConstants<T>;
  const V a = min(V::set(C::tail_end), abs(z));  // both are 0 beyond it; NaN stays
  // exp(-a^2 / 2), corrected for the rounding error of a^2
  const V square = a * a;
  V r;
  reduce<1>(square * V::set(T(-0.5)), C::exp_low, C::exp_high, n, r);
  r = fma(square_rest(a, square), V::set(T(-0.5)), r);
  const V w = r * polynomial<V>(ExpTable<T, 1>::q, r);
  y = V::set(1) + w;
  // p (1 + w) rather than p y: one rounding less
  const V u = quotient(a, a + V::set(C::tail_center)) - V::set(T(0.5));
  const V p = fma(u, polynomial<V>(C::tail, u), V::set(C::tail_first));
  tail = quotient(fma(p, w, p), fma(a, V::set(T(1.5)), V::set(1)));
}

// z times the cdf of the standard normal distribution, multiplied before the result can become
// subnormal.
template <class V>
inline V times_normal_cdf(V z) {
  V n, y, tail;
  normal_tail(z, n, y, tail);
  const V low = max(V::set(-MathConstants<typename V::T>::tail_end), z);
  const auto left = less(z, V::set(0));
  const V t = scale_by_power(V::select(left, low * tail, tail), n);
  return V::select(left, t, z * (V::set(1) - t));
}

template <class V>
inline V times_normal_cdf_derivative(V z) {
  V n, y, tail;
  normal_tail(z, n, y, tail);
  const V t = scale_by_power(tail, n);
  const V cdf = V::select(less(z, V::set(0)), t, V::set(1) - t);
  const V density = scale_by_power(y, n) * V::set(typename V::T(0.39894228040143268));
  return fma(z, density, cdf);
}
