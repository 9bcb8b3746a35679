// Vectors of 512 bits: AVX-512 F, DQ, BW and VL (Intel since Skylake-SP, AMD since Zen 4).
// Included inside a namespace: the including file brings the system headers.
#pragma once

struct Vec512f {
  using T = float;
  using Mask = __mmask16;
  // Whether latency matters more than throughput where this type is used.
  static constexpr bool latency_bound = false;
  static constexpr int lanes = 16;
  // Register blocks by number of vectors in a row of the panel: 32 registers hold the block, a row
  // of b and a broadcast.
  static constexpr int panel_vectors = 4;
  static constexpr int tile_vectors = 1;
  static constexpr int max_rows[4] = {14, 14, 8, 6};
  static constexpr int table = 32;  // elements that look_up selects from

  __m512 v;

  static Vec512f load(const T* p) { return {_mm512_loadu_ps(p)}; }
  static Vec512f load_first(const T* p, int n) { return {_mm512_maskz_loadu_ps(first(n), p)}; }
  static Vec512f set(T x) { return {_mm512_set1_ps(x)}; }
  static Vec512f gather(const T* p, ptrdiff_t stride) {
    const __m512i step = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    return {_mm512_i32gather_ps(_mm512_mullo_epi32(step, _mm512_set1_epi32(int(stride))), p, 4)};
  }
  static void prefetch(const void* p) { _mm_prefetch(static_cast<const char*>(p), _MM_HINT_T1); }
  // In each lane, the element of values[table] that the lowest bits of `index` select.
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
  // sum += a b in the register of sum: otherwise GCC moves accumulators around and spills them.
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
  // bits and a Newton step. The division instruction takes twice as long.
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
    // Where a is 0, the estimate is replaced by a finite number, as the root is a times it.
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
  // The bits of `a`, shifted right by n: an index for look_up.
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
  // out[c] holds element c of every row; row(i) points to four elements of row i.
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
  static constexpr bool latency_bound = false;
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
  // sum += a b in the register of sum: otherwise GCC moves accumulators around and spills them.
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
  // out[c] holds element c of every row; row(i) points to four elements of row i.
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

// Four lanes, for small batches: the same instructions at half or a quarter of the width.
struct Vec128f {
  using T = float;
  using Mask = __mmask8;
  static constexpr bool latency_bound = true;
  static constexpr int lanes = 4;
  static constexpr int table = 1;

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
  friend Vec128f square_rest(Vec128f a, Vec128f square) { return fma(a, a, set(0) - square); }
  friend Vec128f quotient(Vec128f a, Vec128f b) { return a / b; }
  friend Vec128f fast_sqrt(Vec128f a) { return sqrt(a); }
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
  static constexpr bool latency_bound = true;
  static constexpr int lanes = 4;
  static constexpr int table = 1;

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
  friend Vec256d square_rest(Vec256d a, Vec256d square) { return fma(a, a, set(0) - square); }
  friend Vec256d quotient(Vec256d a, Vec256d b) { return a / b; }
  friend Vec256d fast_sqrt(Vec256d a) { return sqrt(a); }
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
