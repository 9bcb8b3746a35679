// Vectors of 512 bits: AVX-512 F, DQ, BW and VL (Intel since Skylake-SP, AMD since Zen 4).
// Included inside a namespace: the including file brings the system headers.
#pragma once

struct Vec512f {
  using T = float;
  using Mask = __mmask16;
  // Whether it is used where the latency of operations counts more than their number.
  static constexpr bool waits = false;
  static constexpr int lanes = 16;
  // Register blocks by number of vectors in a row of the panel: 32 registers hold the block, a row
  // of b and a broadcast.
  static constexpr int panel_vectors = 4;
  static constexpr int max_rows[4] = {14, 14, 8, 6};

  __m512 v;

  static Vec512f load(const T* p) { return {_mm512_loadu_ps(p)}; }
  static Vec512f load_first(const T* p, int n) { return {_mm512_maskz_loadu_ps(first(n), p)}; }
  static Vec512f set(T x) { return {_mm512_set1_ps(x)}; }
  static Vec512f gather(const T* p, ptrdiff_t stride) {
    const __m512i step = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    return {_mm512_i32gather_ps(_mm512_mullo_epi32(step, _mm512_set1_epi32(int(stride))), p, 4)};
  }
  void store(T* p) const { _mm512_storeu_ps(p, v); }
  void store_first(T* p, int n) const { _mm512_mask_storeu_ps(p, first(n), v); }

  static Mask first(int n) { return n >= 16 ? Mask(0xffff) : Mask((1u << n) - 1u); }
  static Vec512f select(Mask m, Vec512f a, Vec512f b) {
    return {_mm512_mask_blend_ps(m, b.v, a.v)};
  }
  friend Mask less(Vec512f a, Vec512f b) { return _mm512_cmp_ps_mask(a.v, b.v, _CMP_LT_OQ); }
  friend Vec512f operator+(Vec512f a, Vec512f b) { return {_mm512_add_ps(a.v, b.v)}; }
  friend Vec512f operator-(Vec512f a, Vec512f b) { return {_mm512_sub_ps(a.v, b.v)}; }
  friend Vec512f operator*(Vec512f a, Vec512f b) { return {_mm512_mul_ps(a.v, b.v)}; }
  friend Vec512f operator/(Vec512f a, Vec512f b) { return {_mm512_div_ps(a.v, b.v)}; }
  // a b + c, rounded once.
  friend Vec512f fma(Vec512f a, Vec512f b, Vec512f c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
  // The second argument where either is NaN.
  friend Vec512f min(Vec512f a, Vec512f b) { return {_mm512_min_ps(a.v, b.v)}; }
  friend Vec512f max(Vec512f a, Vec512f b) { return {_mm512_max_ps(a.v, b.v)}; }
  friend Vec512f abs(Vec512f a) { return {_mm512_abs_ps(a.v)}; }
  friend Vec512f sqrt(Vec512f a) { return {_mm512_sqrt_ps(a.v)}; }
  friend Vec512f round(Vec512f a) {
    return {_mm512_roundscale_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
  }
  // |magnitude| with the sign of `sign`.
  friend Vec512f copysign(Vec512f magnitude, Vec512f sign) {
    return {_mm512_castsi512_ps(
        _mm512_ternarylogic_epi32(_mm512_castps_si512(magnitude.v), _mm512_castps_si512(sign.v),
                                  _mm512_set1_epi32(int(0x80000000u)), 0xD8))};
  }
  // x 2^n for a whole n, with overflow to infinity and gradual underflow.
  friend Vec512f scale_by_power(Vec512f x, Vec512f n) { return {_mm512_scalef_ps(x.v, n.v)}; }
  // For x > 0: x = m 2^e with m in [1, 2).
  friend void split(Vec512f x, Vec512f& m, Vec512f& e) {
    m.v = _mm512_getmant_ps(x.v, _MM_MANT_NORM_1_2, _MM_MANT_SIGN_src);
    e.v = _mm512_getexp_ps(x.v);
  }
  friend T sum(Vec512f a) { return _mm512_reduce_add_ps(a.v); }
  friend T largest(Vec512f a) { return _mm512_reduce_max_ps(a.v); }
};

struct Vec512d {
  using T = double;
  using Mask = __mmask8;
  static constexpr bool waits = false;
  static constexpr int lanes = 8;
  static constexpr int panel_vectors = 4;
  static constexpr int max_rows[4] = {14, 14, 8, 6};

  __m512d v;

  static Vec512d load(const T* p) { return {_mm512_loadu_pd(p)}; }
  static Vec512d load_first(const T* p, int n) { return {_mm512_maskz_loadu_pd(first(n), p)}; }
  static Vec512d set(T x) { return {_mm512_set1_pd(x)}; }
  static Vec512d gather(const T* p, ptrdiff_t stride) {
    const __m512i step = _mm512_setr_epi64(0, 1, 2, 3, 4, 5, 6, 7);
    return {_mm512_i64gather_pd(_mm512_mullo_epi64(step, _mm512_set1_epi64(stride)), p, 8)};
  }
  void store(T* p) const { _mm512_storeu_pd(p, v); }
  void store_first(T* p, int n) const { _mm512_mask_storeu_pd(p, first(n), v); }

  static Mask first(int n) { return n >= 8 ? Mask(0xff) : Mask((1u << n) - 1u); }
  static Vec512d select(Mask m, Vec512d a, Vec512d b) {
    return {_mm512_mask_blend_pd(m, b.v, a.v)};
  }
  friend Mask less(Vec512d a, Vec512d b) { return _mm512_cmp_pd_mask(a.v, b.v, _CMP_LT_OQ); }
  friend Vec512d operator+(Vec512d a, Vec512d b) { return {_mm512_add_pd(a.v, b.v)}; }
  friend Vec512d operator-(Vec512d a, Vec512d b) { return {_mm512_sub_pd(a.v, b.v)}; }
  friend Vec512d operator*(Vec512d a, Vec512d b) { return {_mm512_mul_pd(a.v, b.v)}; }
  friend Vec512d operator/(Vec512d a, Vec512d b) { return {_mm512_div_pd(a.v, b.v)}; }
  friend Vec512d fma(Vec512d a, Vec512d b, Vec512d c) { return {_mm512_fmadd_pd(a.v, b.v, c.v)}; }
  friend Vec512d min(Vec512d a, Vec512d b) { return {_mm512_min_pd(a.v, b.v)}; }
  friend Vec512d max(Vec512d a, Vec512d b) { return {_mm512_max_pd(a.v, b.v)}; }
  friend Vec512d abs(Vec512d a) { return {_mm512_abs_pd(a.v)}; }
  friend Vec512d sqrt(Vec512d a) { return {_mm512_sqrt_pd(a.v)}; }
  friend Vec512d round(Vec512d a) {
    return {_mm512_roundscale_pd(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
  }
  friend Vec512d copysign(Vec512d magnitude, Vec512d sign) {
    return {_mm512_castsi512_pd(
        _mm512_ternarylogic_epi64(_mm512_castpd_si512(magnitude.v), _mm512_castpd_si512(sign.v),
                                  _mm512_set1_epi64(int64_t(0x8000000000000000ull)), 0xD8))};
  }
  friend Vec512d scale_by_power(Vec512d x, Vec512d n) { return {_mm512_scalef_pd(x.v, n.v)}; }
  friend void split(Vec512d x, Vec512d& m, Vec512d& e) {
    m.v = _mm512_getmant_pd(x.v, _MM_MANT_NORM_1_2, _MM_MANT_SIGN_src);
    e.v = _mm512_getexp_pd(x.v);
  }
  friend T sum(Vec512d a) { return _mm512_reduce_add_pd(a.v); }
  friend T largest(Vec512d a) { return _mm512_reduce_max_pd(a.v); }
};

// Four lanes, for a few rows in the lanes: the same instructions at half or a quarter of the width.
struct Vec128f {
  using T = float;
  using Mask = __mmask8;
  static constexpr bool waits = true;
  static constexpr int lanes = 4;

  __m128 v;

  static Vec128f load(const T* p) { return {_mm_loadu_ps(p)}; }
  static Vec128f set(T x) { return {_mm_set1_ps(x)}; }
  void store(T* p) const { _mm_storeu_ps(p, v); }

  static Vec128f select(Mask m, Vec128f a, Vec128f b) { return {_mm_mask_blend_ps(m, b.v, a.v)}; }
  friend Mask less(Vec128f a, Vec128f b) { return _mm_cmp_ps_mask(a.v, b.v, _CMP_LT_OQ); }
  friend Vec128f operator+(Vec128f a, Vec128f b) { return {_mm_add_ps(a.v, b.v)}; }
  friend Vec128f operator-(Vec128f a, Vec128f b) { return {_mm_sub_ps(a.v, b.v)}; }
  friend Vec128f operator*(Vec128f a, Vec128f b) { return {_mm_mul_ps(a.v, b.v)}; }
  friend Vec128f operator/(Vec128f a, Vec128f b) { return {_mm_div_ps(a.v, b.v)}; }
  friend Vec128f fma(Vec128f a, Vec128f b, Vec128f c) { return {_mm_fmadd_ps(a.v, b.v, c.v)}; }
  friend Vec128f min(Vec128f a, Vec128f b) { return {_mm_min_ps(a.v, b.v)}; }
  friend Vec128f max(Vec128f a, Vec128f b) { return {_mm_max_ps(a.v, b.v)}; }
  friend Vec128f abs(Vec128f a) { return {_mm_andnot_ps(_mm_set1_ps(-0.0f), a.v)}; }
  friend Vec128f sqrt(Vec128f a) { return {_mm_sqrt_ps(a.v)}; }
  friend Vec128f round(Vec128f a) {
    return {_mm_roundscale_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
  }
  friend Vec128f copysign(Vec128f magnitude, Vec128f sign) {
    const __m128 bit = _mm_set1_ps(-0.0f);
    return {_mm_or_ps(_mm_andnot_ps(bit, magnitude.v), _mm_and_ps(bit, sign.v))};
  }
  friend Vec128f scale_by_power(Vec128f x, Vec128f n) { return {_mm_scalef_ps(x.v, n.v)}; }
  friend void split(Vec128f x, Vec128f& m, Vec128f& e) {
    m.v = _mm_getmant_ps(x.v, _MM_MANT_NORM_1_2, _MM_MANT_SIGN_src);
    e.v = _mm_getexp_ps(x.v);
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

struct Vec256d {
  using T = double;
  using Mask = __mmask8;
  static constexpr bool waits = true;
  static constexpr int lanes = 4;

  __m256d v;

  static Vec256d load(const T* p) { return {_mm256_loadu_pd(p)}; }
  static Vec256d set(T x) { return {_mm256_set1_pd(x)}; }
  void store(T* p) const { _mm256_storeu_pd(p, v); }

  static Vec256d select(Mask m, Vec256d a, Vec256d b) {
    return {_mm256_mask_blend_pd(m, b.v, a.v)};
  }
  friend Mask less(Vec256d a, Vec256d b) { return _mm256_cmp_pd_mask(a.v, b.v, _CMP_LT_OQ); }
  friend Vec256d operator+(Vec256d a, Vec256d b) { return {_mm256_add_pd(a.v, b.v)}; }
  friend Vec256d operator-(Vec256d a, Vec256d b) { return {_mm256_sub_pd(a.v, b.v)}; }
  friend Vec256d operator*(Vec256d a, Vec256d b) { return {_mm256_mul_pd(a.v, b.v)}; }
  friend Vec256d operator/(Vec256d a, Vec256d b) { return {_mm256_div_pd(a.v, b.v)}; }
  friend Vec256d fma(Vec256d a, Vec256d b, Vec256d c) { return {_mm256_fmadd_pd(a.v, b.v, c.v)}; }
  friend Vec256d min(Vec256d a, Vec256d b) { return {_mm256_min_pd(a.v, b.v)}; }
  friend Vec256d max(Vec256d a, Vec256d b) { return {_mm256_max_pd(a.v, b.v)}; }
  friend Vec256d abs(Vec256d a) { return {_mm256_andnot_pd(_mm256_set1_pd(-0.0), a.v)}; }
  friend Vec256d sqrt(Vec256d a) { return {_mm256_sqrt_pd(a.v)}; }
  friend Vec256d round(Vec256d a) {
    return {_mm256_roundscale_pd(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
  }
  friend Vec256d copysign(Vec256d magnitude, Vec256d sign) {
    const __m256d bit = _mm256_set1_pd(-0.0);
    return {_mm256_or_pd(_mm256_andnot_pd(bit, magnitude.v), _mm256_and_pd(bit, sign.v))};
  }
  friend Vec256d scale_by_power(Vec256d x, Vec256d n) { return {_mm256_scalef_pd(x.v, n.v)}; }
  friend void split(Vec256d x, Vec256d& m, Vec256d& e) {
    m.v = _mm256_getmant_pd(x.v, _MM_MANT_NORM_1_2, _MM_MANT_SIGN_src);
    e.v = _mm256_getexp_pd(x.v);
  }
  friend T sum(Vec256d a) {
    const __m128d s = _mm_add_pd(_mm256_castpd256_pd128(a.v), _mm256_extractf128_pd(a.v, 1));
    return _mm_cvtsd_f64(_mm_add_sd(s, _mm_unpackhi_pd(s, s)));
  }
  // The sums of four vectors, one in each lane.
  static Vec256d sums(const Vec256d (&a)[4]) {
    const __m256d low =
        _mm256_add_pd(_mm256_unpacklo_pd(a[0].v, a[1].v), _mm256_unpackhi_pd(a[0].v, a[1].v));
    const __m256d high =
        _mm256_add_pd(_mm256_unpacklo_pd(a[2].v, a[3].v), _mm256_unpackhi_pd(a[2].v, a[3].v));
    return {
        _mm256_add_pd(_mm256_blend_pd(low, high, 0b1100), _mm256_permute2f128_pd(low, high, 0x21))};
  }
};

template <class T>
struct VecOf;
template <>
struct VecOf<float> {
  using type = Vec512f;
};
template <>
struct VecOf<double> {
  using type = Vec512d;
};

// A few lanes: where the rows of a batch of few lie in them.
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
