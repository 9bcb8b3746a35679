// Vectors of 256 bits: AVX2 and FMA (Intel since Haswell, AMD since Zen).
// Included inside a namespace: the including file brings the system headers.
#pragma once

struct Vec256f {
  using T = float;
  using Mask = __m256;
  static constexpr bool latency_bound = false;
  static constexpr int lanes = 8;
  static constexpr int panel_vectors = 2;
  static constexpr int tile_vectors = 2;
  static constexpr int max_rows[2] = {12, 6};
  static constexpr int table = 1;  // no look_up

  __m256 v;

  static Vec256f load(const T* p) { return {_mm256_loadu_ps(p)}; }
  static Vec256f load_first(const T* p, int n) {
    return {_mm256_maskload_ps(p, _mm256_castps_si256(first(n)))};
  }
  static Vec256f set(T x) { return {_mm256_set1_ps(x)}; }
  static Vec256f gather(const T* p, ptrdiff_t stride) {
    const __m256i step = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return {_mm256_i32gather_ps(p, _mm256_mullo_epi32(step, _mm256_set1_epi32(int(stride))), 4)};
  }
  static void prefetch(const void* p) { _mm_prefetch(static_cast<const char*>(p), _MM_HINT_T1); }
  void store(T* p) const { _mm256_storeu_ps(p, v); }
  void store_first(T* p, int n) const { _mm256_maskstore_ps(p, _mm256_castps_si256(first(n)), v); }

  static Mask first(int n) {
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_castsi256_ps(_mm256_cmpgt_epi32(_mm256_set1_epi32(n), lane));
  }
  static Vec256f select(Mask m, Vec256f a, Vec256f b) { return {_mm256_blendv_ps(b.v, a.v, m)}; }
  friend Mask less(Vec256f a, Vec256f b) { return _mm256_cmp_ps(a.v, b.v, _CMP_LT_OQ); }
  friend Vec256f operator+(Vec256f a, Vec256f b) { return {_mm256_add_ps(a.v, b.v)}; }
  friend Vec256f operator-(Vec256f a, Vec256f b) { return {_mm256_sub_ps(a.v, b.v)}; }
  friend Vec256f operator*(Vec256f a, Vec256f b) { return {_mm256_mul_ps(a.v, b.v)}; }
  friend Vec256f operator/(Vec256f a, Vec256f b) { return {_mm256_div_ps(a.v, b.v)}; }
  // a^2 - square, exactly, if square is a^2 rounded.
  friend Vec256f square_rest(Vec256f a, Vec256f square) { return fma(a, a, set(0) - square); }
  friend Vec256f quotient(Vec256f a, Vec256f b) { return a / b; }
  // a b + c, rounded once.
  friend Vec256f fma(Vec256f a, Vec256f b, Vec256f c) { return {_mm256_fmadd_ps(a.v, b.v, c.v)}; }
  // sum += a b in the register of sum: otherwise GCC moves accumulators around and spills them.
  friend void accumulate(Vec256f& sum, Vec256f a, Vec256f b) {
#if defined(__GNUC__) || defined(__clang__)
    __asm__("vfmadd231ps %2, %1, %0" : "+x"(sum.v) : "x"(a.v), "x"(b.v));
#else
    sum = fma(a, b, sum);
#endif
  }
  // The second argument where either is NaN.
  friend Vec256f min(Vec256f a, Vec256f b) { return {_mm256_min_ps(a.v, b.v)}; }
  friend Vec256f max(Vec256f a, Vec256f b) { return {_mm256_max_ps(a.v, b.v)}; }
  friend Vec256f abs(Vec256f a) { return {_mm256_andnot_ps(_mm256_set1_ps(-0.0f), a.v)}; }
  friend Vec256f sqrt(Vec256f a) { return {_mm256_sqrt_ps(a.v)}; }
  friend Vec256f fast_sqrt(Vec256f a) { return sqrt(a); }
  friend Vec256f round(Vec256f a) {
    return {_mm256_round_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
  }
  // |magnitude| with the sign of `sign`.
  friend Vec256f copysign(Vec256f magnitude, Vec256f sign) {
    const __m256 bit = _mm256_set1_ps(-0.0f);
    return {_mm256_or_ps(_mm256_andnot_ps(bit, magnitude.v), _mm256_and_ps(bit, sign.v))};
  }
  // 2^n for an integer n whose result is a normal number.
  static Vec256f power(Vec256f n) {
    return {_mm256_castsi256_ps(
        _mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(n.v), _mm256_set1_epi32(127)), 23))};
  }
  // x 2^n for an integer n of at most 252, with overflow and gradual underflow: in two factors,
  // of which the first must not underflow.
  friend Vec256f scale_by_power(Vec256f x, Vec256f n) {
    const Vec256f half = round(n * set(0.5f));
    return x * power(half) * power(n - half);
  }
  // For x > 0: x = m 2^e with m in [1, 2).
  friend void split(Vec256f x, Vec256f& m, Vec256f& e) {
    const Mask tiny = less(x, set(1.17549435e-38f));
    x = select(tiny, x * set(16777216.0f), x);
    const __m256i bits = _mm256_castps_si256(x.v);
    const __m256i exponent = _mm256_sub_epi32(_mm256_srli_epi32(bits, 23), _mm256_set1_epi32(127));
    e.v = _mm256_cvtepi32_ps(exponent);
    e = select(tiny, e - set(24.0f), e);
    m.v = _mm256_castsi256_ps(_mm256_or_si256(_mm256_and_si256(bits, _mm256_set1_epi32(0x007fffff)),
                                              _mm256_set1_epi32(0x3f800000)));
  }
  friend T sum(Vec256f a) {
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(a.v), _mm256_extractf128_ps(a.v, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_shuffle_ps(s, s, 1)));
  }
  friend T largest(Vec256f a) {
    __m128 s = _mm_max_ps(_mm256_castps256_ps128(a.v), _mm256_extractf128_ps(a.v, 1));
    s = _mm_max_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_max_ss(s, _mm_shuffle_ps(s, s, 1)));
  }
  // Element q is the sum of a[q].
  static Vec256f sums(const Vec256f (&a)[8]) {
    const __m256 b = _mm256_hadd_ps(_mm256_hadd_ps(a[0].v, a[1].v), _mm256_hadd_ps(a[2].v, a[3].v));
    const __m256 c = _mm256_hadd_ps(_mm256_hadd_ps(a[4].v, a[5].v), _mm256_hadd_ps(a[6].v, a[7].v));
    return {_mm256_add_ps(_mm256_permute2f128_ps(b, c, 0x20), _mm256_permute2f128_ps(b, c, 0x31))};
  }
  // out[c] holds element c of every row; row(i) points to four elements of row i.
  template <class Row>
  static void load_quads(Row row, Vec256f (&out)[4]) {
    __m256 t[4];
    for (int i = 0; i < 4; ++i)
      t[i] = _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(row(i))),
                                  _mm_loadu_ps(row(4 + i)), 1);
    const __m256 low_0 = _mm256_unpacklo_ps(t[0], t[1]), high_0 = _mm256_unpackhi_ps(t[0], t[1]);
    const __m256 low_1 = _mm256_unpacklo_ps(t[2], t[3]), high_1 = _mm256_unpackhi_ps(t[2], t[3]);
    out[0].v = _mm256_shuffle_ps(low_0, low_1, 0x44);
    out[1].v = _mm256_shuffle_ps(low_0, low_1, 0xee);
    out[2].v = _mm256_shuffle_ps(high_0, high_1, 0x44);
    out[3].v = _mm256_shuffle_ps(high_0, high_1, 0xee);
  }
};

struct Vec256d {
  using T = double;
  using Mask = __m256d;
  static constexpr bool latency_bound = false;
  static constexpr int lanes = 4;
  static constexpr int panel_vectors = 2;
  static constexpr int tile_vectors = 2;
  static constexpr int max_rows[2] = {12, 6};
  static constexpr int table = 1;  // no look_up

  __m256d v;

  static Vec256d load(const T* p) { return {_mm256_loadu_pd(p)}; }
  static Vec256d load_first(const T* p, int n) {
    return {_mm256_maskload_pd(p, _mm256_castpd_si256(first(n)))};
  }
  static Vec256d set(T x) { return {_mm256_set1_pd(x)}; }
  static Vec256d gather(const T* p, ptrdiff_t stride) {
    return {_mm256_setr_pd(p[0], p[stride], p[2 * stride], p[3 * stride])};
  }
  static void prefetch(const void* p) { _mm_prefetch(static_cast<const char*>(p), _MM_HINT_T1); }
  void store(T* p) const { _mm256_storeu_pd(p, v); }
  void store_first(T* p, int n) const { _mm256_maskstore_pd(p, _mm256_castpd_si256(first(n)), v); }

  static Mask first(int n) {
    return _mm256_castsi256_pd(
        _mm256_cmpgt_epi64(_mm256_set1_epi64x(n), _mm256_setr_epi64x(0, 1, 2, 3)));
  }
  static Vec256d select(Mask m, Vec256d a, Vec256d b) { return {_mm256_blendv_pd(b.v, a.v, m)}; }
  friend Mask less(Vec256d a, Vec256d b) { return _mm256_cmp_pd(a.v, b.v, _CMP_LT_OQ); }
  friend Vec256d operator+(Vec256d a, Vec256d b) { return {_mm256_add_pd(a.v, b.v)}; }
  friend Vec256d operator-(Vec256d a, Vec256d b) { return {_mm256_sub_pd(a.v, b.v)}; }
  friend Vec256d operator*(Vec256d a, Vec256d b) { return {_mm256_mul_pd(a.v, b.v)}; }
  friend Vec256d operator/(Vec256d a, Vec256d b) { return {_mm256_div_pd(a.v, b.v)}; }
  friend Vec256d square_rest(Vec256d a, Vec256d square) { return fma(a, a, set(0) - square); }
  friend Vec256d quotient(Vec256d a, Vec256d b) { return a / b; }
  friend Vec256d fma(Vec256d a, Vec256d b, Vec256d c) { return {_mm256_fmadd_pd(a.v, b.v, c.v)}; }
  // sum += a b in the register of sum: otherwise GCC moves accumulators around and spills them.
  friend void accumulate(Vec256d& sum, Vec256d a, Vec256d b) {
#if defined(__GNUC__) || defined(__clang__)
    __asm__("vfmadd231pd %2, %1, %0" : "+x"(sum.v) : "x"(a.v), "x"(b.v));
#else
    sum = fma(a, b, sum);
#endif
  }
  friend Vec256d min(Vec256d a, Vec256d b) { return {_mm256_min_pd(a.v, b.v)}; }
  friend Vec256d max(Vec256d a, Vec256d b) { return {_mm256_max_pd(a.v, b.v)}; }
  friend Vec256d abs(Vec256d a) { return {_mm256_andnot_pd(_mm256_set1_pd(-0.0), a.v)}; }
  friend Vec256d sqrt(Vec256d a) { return {_mm256_sqrt_pd(a.v)}; }
  friend Vec256d fast_sqrt(Vec256d a) { return sqrt(a); }
  friend Vec256d round(Vec256d a) {
    return {_mm256_round_pd(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
  }
  friend Vec256d copysign(Vec256d magnitude, Vec256d sign) {
    const __m256d bit = _mm256_set1_pd(-0.0);
    return {_mm256_or_pd(_mm256_andnot_pd(bit, magnitude.v), _mm256_and_pd(bit, sign.v))};
  }
  static Vec256d power(Vec256d n) {
    return {_mm256_castsi256_pd(_mm256_slli_epi64(
        _mm256_add_epi64(_mm256_cvtepi32_epi64(_mm256_cvtpd_epi32(n.v)), _mm256_set1_epi64x(1023)),
        52))};
  }
  friend Vec256d scale_by_power(Vec256d x, Vec256d n) {
    const Vec256d half = round(n * set(0.5));
    return x * power(half) * power(n - half);
  }
  friend void split(Vec256d x, Vec256d& m, Vec256d& e) {
    const Mask tiny = less(x, set(2.2250738585072014e-308));
    x = select(tiny, x * set(18014398509481984.0), x);
    const __m256i bits = _mm256_castpd_si256(x.v);
    // The exponent field as a double: combine it with the exponent of 2^52, then subtract 2^52.
    const __m256i magic = _mm256_set1_epi64x(0x4330000000000000);
    const __m256d field = _mm256_castsi256_pd(_mm256_or_si256(_mm256_srli_epi64(bits, 52), magic));
    e.v = _mm256_sub_pd(field, _mm256_set1_pd(4503599627370496.0 + 1023.0));
    e = select(tiny, e - set(54.0), e);
    m.v = _mm256_castsi256_pd(
        _mm256_or_si256(_mm256_and_si256(bits, _mm256_set1_epi64x(0x000fffffffffffff)),
                        _mm256_set1_epi64x(0x3ff0000000000000)));
  }
  friend T sum(Vec256d a) {
    const __m128d s = _mm_add_pd(_mm256_castpd256_pd128(a.v), _mm256_extractf128_pd(a.v, 1));
    return _mm_cvtsd_f64(_mm_add_sd(s, _mm_unpackhi_pd(s, s)));
  }
  friend T largest(Vec256d a) {
    const __m128d s = _mm_max_pd(_mm256_castpd256_pd128(a.v), _mm256_extractf128_pd(a.v, 1));
    return _mm_cvtsd_f64(_mm_max_sd(s, _mm_unpackhi_pd(s, s)));
  }
  // Element q is the sum of a[q].
  static Vec256d sums(const Vec256d (&a)[4]) {
    const __m256d b = _mm256_hadd_pd(a[0].v, a[1].v), c = _mm256_hadd_pd(a[2].v, a[3].v);
    return {_mm256_add_pd(_mm256_permute2f128_pd(b, c, 0x20), _mm256_permute2f128_pd(b, c, 0x31))};
  }
  // out[c] holds element c of every row; row(i) points to four elements of row i.
  template <class Row>
  static void load_quads(Row row, Vec256d (&out)[4]) {
    const __m256d r0 = _mm256_loadu_pd(row(0)), r1 = _mm256_loadu_pd(row(1));
    const __m256d r2 = _mm256_loadu_pd(row(2)), r3 = _mm256_loadu_pd(row(3));
    const __m256d low_0 = _mm256_unpacklo_pd(r0, r1), high_0 = _mm256_unpackhi_pd(r0, r1);
    const __m256d low_1 = _mm256_unpacklo_pd(r2, r3), high_1 = _mm256_unpackhi_pd(r2, r3);
    out[0].v = _mm256_permute2f128_pd(low_0, low_1, 0x20);
    out[1].v = _mm256_permute2f128_pd(high_0, high_1, 0x20);
    out[2].v = _mm256_permute2f128_pd(low_0, low_1, 0x31);
    out[3].v = _mm256_permute2f128_pd(high_0, high_1, 0x31);
  }
};

// Four lanes of single precision, for small batches, whose rows lie in the lanes.
struct Vec128f {
  using T = float;
  using Mask = __m128;
  static constexpr bool latency_bound = true;
  static constexpr int lanes = 4;
  static constexpr int table = 1;

  __m128 v;

  static Vec128f load(const T* p) { return {_mm_loadu_ps(p)}; }
  static Vec128f set(T x) { return {_mm_set1_ps(x)}; }
  void store(T* p) const { _mm_storeu_ps(p, v); }

  static Vec128f select(Mask m, Vec128f a, Vec128f b) { return {_mm_blendv_ps(b.v, a.v, m)}; }
  friend Mask less(Vec128f a, Vec128f b) { return _mm_cmplt_ps(a.v, b.v); }
  friend Vec128f operator+(Vec128f a, Vec128f b) { return {_mm_add_ps(a.v, b.v)}; }
  friend Vec128f operator-(Vec128f a, Vec128f b) { return {_mm_sub_ps(a.v, b.v)}; }
  friend Vec128f operator*(Vec128f a, Vec128f b) { return {_mm_mul_ps(a.v, b.v)}; }
  friend Vec128f operator/(Vec128f a, Vec128f b) { return {_mm_div_ps(a.v, b.v)}; }
  friend Vec128f fma(Vec128f a, Vec128f b, Vec128f c) { return {_mm_fmadd_ps(a.v, b.v, c.v)}; }
  friend Vec128f square_rest(Vec128f a, Vec128f square) { return fma(a, a, set(0) - square); }
  friend Vec128f quotient(Vec128f a, Vec128f b) { return a / b; }
  friend Vec128f fast_sqrt(Vec128f a) { return sqrt(a); }
  friend Vec128f min(Vec128f a, Vec128f b) { return {_mm_min_ps(a.v, b.v)}; }
  friend Vec128f max(Vec128f a, Vec128f b) { return {_mm_max_ps(a.v, b.v)}; }
  friend Vec128f abs(Vec128f a) { return {_mm_andnot_ps(_mm_set1_ps(-0.0f), a.v)}; }
  friend Vec128f sqrt(Vec128f a) { return {_mm_sqrt_ps(a.v)}; }
  friend Vec128f round(Vec128f a) {
    return {_mm_round_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
  }
  friend Vec128f copysign(Vec128f magnitude, Vec128f sign) {
    const __m128 bit = _mm_set1_ps(-0.0f);
    return {_mm_or_ps(_mm_andnot_ps(bit, magnitude.v), _mm_and_ps(bit, sign.v))};
  }
  friend Vec128f scale_by_power(Vec128f x, Vec128f n) {
    const Vec128f limit = set(126.0f);
    for (int i = 0; i < 3; ++i) {
      const Vec128f part = max(set(-126.0f), min(limit, n));
      const __m128i bits =
          _mm_slli_epi32(_mm_add_epi32(_mm_cvtps_epi32(part.v), _mm_set1_epi32(127)), 23);
      x = x * Vec128f{_mm_castsi128_ps(bits)};
      n = n - part;
    }
    return x;
  }
  friend void split(Vec128f x, Vec128f& m, Vec128f& e) {
    const Mask tiny = less(x, set(1.17549435e-38f));
    x = select(tiny, x * set(16777216.0f), x);
    const __m128i bits = _mm_castps_si128(x.v);
    const __m128i exponent = _mm_sub_epi32(_mm_srli_epi32(bits, 23), _mm_set1_epi32(127));
    e.v = _mm_cvtepi32_ps(exponent);
    e = select(tiny, e - set(24.0f), e);
    m.v = _mm_castsi128_ps(
        _mm_or_si128(_mm_and_si128(bits, _mm_set1_epi32(0x007fffff)), _mm_set1_epi32(0x3f800000)));
  }
  friend T sum(Vec128f a) {
    const __m128 s = _mm_add_ps(a.v, _mm_movehl_ps(a.v, a.v));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_shuffle_ps(s, s, 1)));
  }
  // The sums of four vectors, one in each lane.
  static Vec128f sums(const Vec128f (&a)[4]) {
    const __m128 low = _mm_add_ps(_mm_unpacklo_ps(a[0].v, a[1].v), _mm_unpackhi_ps(a[0].v, a[1].v));
    const __m128 high =
        _mm_add_ps(_mm_unpacklo_ps(a[2].v, a[3].v), _mm_unpackhi_ps(a[2].v, a[3].v));
    return {_mm_add_ps(_mm_movelh_ps(low, high), _mm_movehl_ps(high, low))};
  }
};

template <class T>
struct VecOf;
template <>
struct VecOf<float> {
  using type = Vec256f;
};
template <>
struct VecOf<double> {
  using type = Vec256d;
};

// For small batches, whose rows lie in the lanes.
template <class T>
struct SmallVecOf;
template <>
struct SmallVecOf<float> {
  using type = Vec128f;
};
template <>
struct SmallVecOf<double> {
  using type = Vec256d;
};
