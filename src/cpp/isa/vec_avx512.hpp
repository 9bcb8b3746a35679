// Vectors of 512 bits: AVX-512 F, DQ, BW and VL (Intel since Skylake-SP, AMD since Zen 4).
// Included inside a namespace: the including file brings the system headers.
#pragma once

struct Vec512f {
  using T = float;
  using Mask = __mmask16;
  static constexpr int lanes = 16;
  // Register blocks by number of vectors in a row of the panel: 32 registers hold the block, a row
  // of b and a broadcast.
  static constexpr int panel_vectors = 4;
  static constexpr int tile_vectors = 1;
  static constexpr int max_rows[4] = {14, 14, 8, 6};
  static constexpr int table = 32;  // elements that look_up chooses from

  __m512 v;

  static Vec512f load(const T* p) { return {_mm512_loadu_ps(p)}; }
  static Vec512f load_first(const T* p, int n) { return {_mm512_maskz_loadu_ps(first(n), p)}; }
  static Vec512f set(T x) { return {_mm512_set1_ps(x)}; }
  static Vec512f gather(const T* p, ptrdiff_t stride) {
    const __m512i step = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    return {_mm512_i32gather_ps(_mm512_mullo_epi32(step, _mm512_set1_epi32(int(stride))), p, 4)};
  }
  static void prefetch(const void* p) { _mm_prefetch(static_cast<const char*>(p), _MM_HINT_T1); }
  // Of each lane the element of values[table] that the lowest bits of `index` name.
  static Vec512f look_up(const T* values, Vec512f index) {
    return {_mm512_permutex2var_ps(_mm512_loadu_ps(values), _mm512_castps_si512(index.v),
                                   _mm512_loadu_ps(values + 16))};
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
  // sum += a b, in sum's own register: left to itself, GCC moves accumulators around and spills.
  friend void accumulate(Vec512f& sum, Vec512f a, Vec512f b) {
#if defined(__GNUC__) || defined(__clang__)
    __asm__("vfmadd231ps %2, %1, %0" : "+v"(sum.v) : "v"(a.v), "v"(b.v));
#else
    sum = fma(a, b, sum);
#endif
  }
  // a^2 - square, exactly, if square is a^2 rounded.
  friend Vec512f square_rest(Vec512f a, Vec512f square) { return fma(a, a, set(0) - square); }
  // a / b to within a unit in the last place, for b and 1 / b normal numbers: an estimate of 14
  // bits and a Newton step. The instruction that divides takes twice as long.
  friend Vec512f quotient(Vec512f a, Vec512f b) {
    const __m512 y = _mm512_rcp14_ps(b.v), q = _mm512_mul_ps(a.v, y);
    return {_mm512_fmadd_ps(_mm512_fnmadd_ps(b.v, q, a.v), y, q)};
  }
  // The second argument where either is NaN.
  friend Vec512f min(Vec512f a, Vec512f b) { return {_mm512_min_ps(a.v, b.v)}; }
  friend Vec512f max(Vec512f a, Vec512f b) { return {_mm512_max_ps(a.v, b.v)}; }
  friend Vec512f abs(Vec512f a) { return {_mm512_abs_ps(a.v)}; }
  friend Vec512f sqrt(Vec512f a) { return {_mm512_sqrt_ps(a.v)}; }
  // sqrt(a) to within a unit in the last place for a normal number, 0 and NaN; infinity counts as
  // the largest number.
  friend Vec512f fast_sqrt(Vec512f a) {
    // Where a is 0 the estimate is made finite, and the root is a times it.
    const __m512 y = _mm512_rsqrt14_ps(_mm512_max_ps(a.v, _mm512_set1_ps(1.17549435e-38f)));
    const __m512 s = _mm512_mul_ps(a.v, y), half = _mm512_mul_ps(s, _mm512_set1_ps(0.5f));
    const __m512 root = _mm512_fmadd_ps(_mm512_fnmadd_ps(s, y, _mm512_set1_ps(1)), half, s);
    return {_mm512_min_ps(root, _mm512_set1_ps(3.40282347e38f))};
  }
  friend Vec512f round(Vec512f a) {
    return {_mm512_roundscale_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
  }
  // |magnitude| with the sign of `sign`.
  friend Vec512f copysign(Vec512f magnitude, Vec512f sign) {
    return {_mm512_castsi512_ps(
        _mm512_ternarylogic_epi32(_mm512_castps_si512(magnitude.v), _mm512_castps_si512(sign.v),
                                  _mm512_set1_epi32(int(0x80000000u)), 0xD8))};
  }
  // The bits of `a`, moved down by n: an index for look_up.
  friend Vec512f bits_from(Vec512f a, unsigned n) {
    return {_mm512_castsi512_ps(_mm512_srli_epi32(_mm512_castps_si512(a.v), n))};
  }
  // x 2^floor(n), with overflow to infinity and gradual underflow.
  friend Vec512f scale_by_power(Vec512f x, Vec512f n) { return {_mm512_scalef_ps(x.v, n.v)}; }
  // For x > 0: x = m 2^e with m in [1, 2).
  friend void split(Vec512f x, Vec512f& m, Vec512f& e) {
    m.v = _mm512_getmant_ps(x.v, _MM_MANT_NORM_1_2, _MM_MANT_SIGN_src);
    e.v = _mm512_getexp_ps(x.v);
  }
  friend T sum(Vec512f a) { return _mm512_reduce_add_ps(a.v); }
  friend T largest(Vec512f a) { return _mm512_reduce_max_ps(a.v); }
  // Element q is the sum of a[q].
  static Vec512f sums(const Vec512f (&a)[16]) {
    __m512 b[8], c[4];
    for (int i = 0; i < 8; ++i)
      b[i] = _mm512_add_ps(_mm512_unpacklo_ps(a[2 * i].v, a[2 * i + 1].v),
                           _mm512_unpackhi_ps(a[2 * i].v, a[2 * i + 1].v));
    for (int i = 0; i < 4; ++i)
      c[i] = _mm512_add_ps(_mm512_shuffle_ps(b[2 * i], b[2 * i + 1], 0x44),
                           _mm512_shuffle_ps(b[2 * i], b[2 * i + 1], 0xee));
    const __m512 d = _mm512_add_ps(_mm512_shuffle_f32x4(c[0], c[1], 0x44),
                                   _mm512_shuffle_f32x4(c[0], c[1], 0xee));
    const __m512 e = _mm512_add_ps(_mm512_shuffle_f32x4(c[2], c[3], 0x44),
                                   _mm512_shuffle_f32x4(c[2], c[3], 0xee));
    return {_mm512_add_ps(_mm512_shuffle_f32x4(d, e, 0x88), _mm512_shuffle_f32x4(d, e, 0xdd))};
  }
  // out[c] holds element c of every row; row(i) points to four of row i's.
  template <class Row>
  static void load_quads(Row row, Vec512f (&out)[4]) {
    __m512 t[4];
    for (int i = 0; i < 4; ++i) {
      t[i] = _mm512_castps128_ps512(_mm_loadu_ps(row(i)));
      t[i] = _mm512_insertf32x4(t[i], _mm_loadu_ps(row(4 + i)), 1);
      t[i] = _mm512_insertf32x4(t[i], _mm_loadu_ps(row(8 + i)), 2);
      t[i] = _mm512_insertf32x4(t[i], _mm_loadu_ps(row(12 + i)), 3);
    }
    const __m512 low_0 = _mm512_unpacklo_ps(t[0], t[1]), high_0 = _mm512_unpackhi_ps(t[0], t[1]);
    const __m512 low_1 = _mm512_unpacklo_ps(t[2], t[3]), high_1 = _mm512_unpackhi_ps(t[2], t[3]);
    out[0].v = _mm512_shuffle_ps(low_0, low_1, 0x44);
    out[1].v = _mm512_shuffle_ps(low_0, low_1, 0xee);
    out[2].v = _mm512_shuffle_ps(high_0, high_1, 0x44);
    out[3].v = _mm512_shuffle_ps(high_0, high_1, 0xee);
  }
};

struct Vec512d {
  using T = double;
  using Mask = __mmask8;
  static constexpr int lanes = 8;
  static constexpr int panel_vectors = 4;
  static constexpr int tile_vectors = 2;
  static constexpr int max_rows[4] = {14, 14, 8, 6};
  static constexpr int table = 16;

  __m512d v;

  static Vec512d load(const T* p) { return {_mm512_loadu_pd(p)}; }
  static Vec512d load_first(const T* p, int n) { return {_mm512_maskz_loadu_pd(first(n), p)}; }
  static Vec512d set(T x) { return {_mm512_set1_pd(x)}; }
  static Vec512d gather(const T* p, ptrdiff_t stride) {
    const __m512i step = _mm512_setr_epi64(0, 1, 2, 3, 4, 5, 6, 7);
    return {_mm512_i64gather_pd(_mm512_mullo_epi64(step, _mm512_set1_epi64(stride)), p, 8)};
  }
  static void prefetch(const void* p) { _mm_prefetch(static_cast<const char*>(p), _MM_HINT_T1); }
  static Vec512d look_up(const T* values, Vec512d index) {
    return {_mm512_permutex2var_pd(_mm512_loadu_pd(values), _mm512_castpd_si512(index.v),
                                   _mm512_loadu_pd(values + 8))};
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
  // sum += a b, in sum's own register: left to itself, GCC moves accumulators around and spills.
  friend void accumulate(Vec512d& sum, Vec512d a, Vec512d b) {
#if defined(__GNUC__) || defined(__clang__)
    __asm__("vfmadd231pd %2, %1, %0" : "+v"(sum.v) : "v"(a.v), "v"(b.v));
#else
    sum = fma(a, b, sum);
#endif
  }
  friend Vec512d square_rest(Vec512d a, Vec512d square) { return fma(a, a, set(0) - square); }
  friend Vec512d quotient(Vec512d a, Vec512d b) {
    __m512d y = _mm512_rcp14_pd(b.v);
    y = _mm512_fmadd_pd(_mm512_fnmadd_pd(b.v, y, _mm512_set1_pd(1)), y, y);
    const __m512d q = _mm512_mul_pd(a.v, y);
    return {_mm512_fmadd_pd(_mm512_fnmadd_pd(b.v, q, a.v), y, q)};
  }
  friend Vec512d min(Vec512d a, Vec512d b) { return {_mm512_min_pd(a.v, b.v)}; }
  friend Vec512d max(Vec512d a, Vec512d b) { return {_mm512_max_pd(a.v, b.v)}; }
  friend Vec512d abs(Vec512d a) { return {_mm512_abs_pd(a.v)}; }
  friend Vec512d sqrt(Vec512d a) { return {_mm512_sqrt_pd(a.v)}; }
  friend Vec512d fast_sqrt(Vec512d a) {
    const __m512d half = _mm512_set1_pd(0.5);
    __m512d y = _mm512_rsqrt14_pd(_mm512_max_pd(a.v, _mm512_set1_pd(2.2250738585072014e-308)));
    __m512d s = _mm512_mul_pd(a.v, y);
    y = _mm512_mul_pd(y, half);  // 1 / (2 sqrt(a))
    const __m512d e = _mm512_fnmadd_pd(s, y, half);
    s = _mm512_fmadd_pd(s, e, s);
    y = _mm512_fmadd_pd(y, e, y);
    const __m512d root = _mm512_fmadd_pd(_mm512_fnmadd_pd(s, s, a.v), y, s);
    return {_mm512_min_pd(root, _mm512_set1_pd(1.7976931348623157e308))};
  }
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
  // Element q is the sum of a[q].
  static Vec512d sums(const Vec512d (&a)[8]) {
    __m512d b[4];
    for (int i = 0; i < 4; ++i)
      b[i] = _mm512_add_pd(_mm512_unpacklo_pd(a[2 * i].v, a[2 * i + 1].v),
                           _mm512_unpackhi_pd(a[2 * i].v, a[2 * i + 1].v));
    const __m512d c = _mm512_add_pd(_mm512_shuffle_f64x2(b[0], b[1], 0x44),
                                    _mm512_shuffle_f64x2(b[0], b[1], 0xee));
    const __m512d d = _mm512_add_pd(_mm512_shuffle_f64x2(b[2], b[3], 0x44),
                                    _mm512_shuffle_f64x2(b[2], b[3], 0xee));
    return {_mm512_add_pd(_mm512_shuffle_f64x2(c, d, 0x88), _mm512_shuffle_f64x2(c, d, 0xdd))};
  }
  // out[c] holds element c of every row; row(i) points to four of row i's.
  template <class Row>
  static void load_quads(Row row, Vec512d (&out)[4]) {
    __m512d t[4];
    for (int i = 0; i < 4; ++i)
      t[i] = _mm512_insertf64x4(_mm512_castpd256_pd512(_mm256_loadu_pd(row(i))),
                                _mm256_loadu_pd(row(4 + i)), 1);
    const __m512d low_0 = _mm512_unpacklo_pd(t[0], t[1]), high_0 = _mm512_unpackhi_pd(t[0], t[1]);
    const __m512d low_1 = _mm512_unpacklo_pd(t[2], t[3]), high_1 = _mm512_unpackhi_pd(t[2], t[3]);
    const __m512i first = _mm512_setr_epi64(0, 1, 8, 9, 4, 5, 12, 13);
    const __m512i second = _mm512_setr_epi64(2, 3, 10, 11, 6, 7, 14, 15);
    out[0].v = _mm512_permutex2var_pd(low_0, first, low_1);
    out[1].v = _mm512_permutex2var_pd(high_0, first, high_1);
    out[2].v = _mm512_permutex2var_pd(low_0, second, low_1);
    out[3].v = _mm512_permutex2var_pd(high_0, second, high_1);
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
