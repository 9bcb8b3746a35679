// Vectors of 128 bits: Advanced SIMD, which every 64-bit ARM CPU has.
// Included inside a namespace: the including file brings the system headers.
#pragma once

struct Vec128f {
  using T = float;
  using Mask = uint32x4_t;
  static constexpr bool latency_bound = false;
  static constexpr int lanes = 4;
  static constexpr int panel_vectors = 3;
  static constexpr int tile_vectors = 3;
  static constexpr int max_rows[3] = {12, 12, 8};
  static constexpr int table = 1;  // no look_up

  float32x4_t v;

  static Vec128f load(const T* p) { return {vld1q_f32(p)}; }
  static Vec128f load_first(const T* p, int n) {
    T copy[4] = {0, 0, 0, 0};
    for (int i = 0; i < 4 && i < n; ++i) copy[i] = p[i];
    return load(copy);
  }
  static Vec128f set(T x) { return {vdupq_n_f32(x)}; }
  static Vec128f gather(const T* p, ptrdiff_t stride) {
    const T copy[4] = {p[0], p[stride], p[2 * stride], p[3 * stride]};
    return load(copy);
  }
  static void prefetch(const void* p) {
#if defined(__GNUC__) || defined(__clang__)
    __builtin_prefetch(p, 0, 2);
#else
    (void)p;
#endif
  }
  void store(T* p) const { vst1q_f32(p, v); }
  void store_first(T* p, int n) const {
    T copy[4];
    store(copy);
    for (int i = 0; i < 4 && i < n; ++i) p[i] = copy[i];
  }

  static Mask first(int n) {
    const int32_t lane[4] = {0, 1, 2, 3};
    return vcgtq_s32(vdupq_n_s32(n), vld1q_s32(lane));
  }
  static Vec128f select(Mask m, Vec128f a, Vec128f b) { return {vbslq_f32(m, a.v, b.v)}; }
  friend Mask less(Vec128f a, Vec128f b) { return vcltq_f32(a.v, b.v); }
  friend Vec128f operator+(Vec128f a, Vec128f b) { return {vaddq_f32(a.v, b.v)}; }
  friend Vec128f operator-(Vec128f a, Vec128f b) { return {vsubq_f32(a.v, b.v)}; }
  friend Vec128f operator*(Vec128f a, Vec128f b) { return {vmulq_f32(a.v, b.v)}; }
  friend Vec128f operator/(Vec128f a, Vec128f b) { return {vdivq_f32(a.v, b.v)}; }
  // a^2 - square, exactly, if square is a^2 rounded.
  friend Vec128f square_rest(Vec128f a, Vec128f square) { return fma(a, a, set(0) - square); }
  friend Vec128f quotient(Vec128f a, Vec128f b) { return a / b; }
  // a b + c, rounded once.
  friend Vec128f fma(Vec128f a, Vec128f b, Vec128f c) { return {vfmaq_f32(c.v, a.v, b.v)}; }
  // sum += a b, rounded once where fma is.
  friend void accumulate(Vec128f& sum, Vec128f a, Vec128f b) { sum = fma(a, b, sum); }
  // NaN where either is NaN.
  friend Vec128f min(Vec128f a, Vec128f b) { return {vminq_f32(a.v, b.v)}; }
  friend Vec128f max(Vec128f a, Vec128f b) { return {vmaxq_f32(a.v, b.v)}; }
  friend Vec128f abs(Vec128f a) { return {vabsq_f32(a.v)}; }
  friend Vec128f sqrt(Vec128f a) { return {vsqrtq_f32(a.v)}; }
  friend Vec128f fast_sqrt(Vec128f a) { return sqrt(a); }
  friend Vec128f round(Vec128f a) { return {vrndnq_f32(a.v)}; }
  // |magnitude| with the sign of `sign`.
  friend Vec128f copysign(Vec128f magnitude, Vec128f sign) {
    return {vbslq_f32(vdupq_n_u32(0x80000000u), sign.v, magnitude.v)};
  }
  // 2^n for an integer n whose result is a normal number.
  static Vec128f power(Vec128f n) {
    return {
        vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(vcvtnq_s32_f32(n.v), vdupq_n_s32(127)), 23))};
  }
  // x 2^n for an integer n of at most 252, with overflow and gradual underflow: in two factors,
  // of which the first must not underflow.
  friend Vec128f scale_by_power(Vec128f x, Vec128f n) {
    const Vec128f half = round(n * set(0.5f));
    return x * power(half) * power(n - half);
  }
  // For x > 0: x = m 2^e with m in [1, 2).
  friend void split(Vec128f x, Vec128f& m, Vec128f& e) {
    const Mask tiny = less(x, set(1.17549435e-38f));
    x = select(tiny, x * set(16777216.0f), x);
    const uint32x4_t bits = vreinterpretq_u32_f32(x.v);
    const int32x4_t exponent =
        vsubq_s32(vreinterpretq_s32_u32(vshrq_n_u32(bits, 23)), vdupq_n_s32(127));
    e.v = vcvtq_f32_s32(exponent);
    e = select(tiny, e - set(24.0f), e);
    m.v = vreinterpretq_f32_u32(
        vorrq_u32(vandq_u32(bits, vdupq_n_u32(0x007fffffu)), vdupq_n_u32(0x3f800000u)));
  }
  friend T sum(Vec128f a) { return vaddvq_f32(a.v); }
  friend T largest(Vec128f a) { return vmaxvq_f32(a.v); }
  // Element q is the sum of a[q].
  static Vec128f sums(const Vec128f (&a)[4]) {
    return {vpaddq_f32(vpaddq_f32(a[0].v, a[1].v), vpaddq_f32(a[2].v, a[3].v))};
  }
  // out[c] holds element c of every row; row(i) points to four elements of row i.
  template <class Row>
  static void load_quads(Row row, Vec128f (&out)[4]) {
    const float32x4_t r0 = vld1q_f32(row(0)), r1 = vld1q_f32(row(1));
    const float32x4_t r2 = vld1q_f32(row(2)), r3 = vld1q_f32(row(3));
    const float32x4_t low_0 = vzip1q_f32(r0, r2), low_1 = vzip1q_f32(r1, r3);
    const float32x4_t high_0 = vzip2q_f32(r0, r2), high_1 = vzip2q_f32(r1, r3);
    out[0].v = vzip1q_f32(low_0, low_1);
    out[1].v = vzip2q_f32(low_0, low_1);
    out[2].v = vzip1q_f32(high_0, high_1);
    out[3].v = vzip2q_f32(high_0, high_1);
  }
};

struct Vec128d {
  using T = double;
  using Mask = uint64x2_t;
  static constexpr bool latency_bound = false;
  static constexpr int lanes = 2;
  static constexpr int panel_vectors = 3;
  static constexpr int tile_vectors = 3;
  static constexpr int max_rows[3] = {12, 12, 8};
  static constexpr int table = 1;  // no look_up

  float64x2_t v;

  static Vec128d load(const T* p) { return {vld1q_f64(p)}; }
  static Vec128d load_first(const T* p, int n) {
    const T copy[2] = {n > 0 ? p[0] : 0.0, n > 1 ? p[1] : 0.0};
    return load(copy);
  }
  static Vec128d set(T x) { return {vdupq_n_f64(x)}; }
  static Vec128d gather(const T* p, ptrdiff_t stride) {
    const T copy[2] = {p[0], p[stride]};
    return load(copy);
  }
  static void prefetch(const void* p) {
#if defined(__GNUC__) || defined(__clang__)
    __builtin_prefetch(p, 0, 2);
#else
    (void)p;
#endif
  }
  void store(T* p) const { vst1q_f64(p, v); }
  void store_first(T* p, int n) const {
    if (n > 0) p[0] = vgetq_lane_f64(v, 0);
    if (n > 1) p[1] = vgetq_lane_f64(v, 1);
  }

  static Mask first(int n) {
    const int64_t lane[2] = {0, 1};
    return vcgtq_s64(vdupq_n_s64(n), vld1q_s64(lane));
  }
  static Vec128d select(Mask m, Vec128d a, Vec128d b) { return {vbslq_f64(m, a.v, b.v)}; }
  friend Mask less(Vec128d a, Vec128d b) { return vcltq_f64(a.v, b.v); }
  friend Vec128d operator+(Vec128d a, Vec128d b) { return {vaddq_f64(a.v, b.v)}; }
  friend Vec128d operator-(Vec128d a, Vec128d b) { return {vsubq_f64(a.v, b.v)}; }
  friend Vec128d operator*(Vec128d a, Vec128d b) { return {vmulq_f64(a.v, b.v)}; }
  friend Vec128d operator/(Vec128d a, Vec128d b) { return {vdivq_f64(a.v, b.v)}; }
  friend Vec128d square_rest(Vec128d a, Vec128d square) { return fma(a, a, set(0) - square); }
  friend Vec128d quotient(Vec128d a, Vec128d b) { return a / b; }
  friend Vec128d fma(Vec128d a, Vec128d b, Vec128d c) { return {vfmaq_f64(c.v, a.v, b.v)}; }
  // sum += a b, rounded once where fma is.
  friend void accumulate(Vec128d& sum, Vec128d a, Vec128d b) { sum = fma(a, b, sum); }
  friend Vec128d min(Vec128d a, Vec128d b) { return {vminq_f64(a.v, b.v)}; }
  friend Vec128d max(Vec128d a, Vec128d b) { return {vmaxq_f64(a.v, b.v)}; }
  friend Vec128d abs(Vec128d a) { return {vabsq_f64(a.v)}; }
  friend Vec128d sqrt(Vec128d a) { return {vsqrtq_f64(a.v)}; }
  friend Vec128d fast_sqrt(Vec128d a) { return sqrt(a); }
  friend Vec128d round(Vec128d a) { return {vrndnq_f64(a.v)}; }
  friend Vec128d copysign(Vec128d magnitude, Vec128d sign) {
    return {vbslq_f64(vdupq_n_u64(0x8000000000000000ull), sign.v, magnitude.v)};
  }
  static Vec128d power(Vec128d n) {
    return {
        vreinterpretq_f64_s64(vshlq_n_s64(vaddq_s64(vcvtnq_s64_f64(n.v), vdupq_n_s64(1023)), 52))};
  }
  friend Vec128d scale_by_power(Vec128d x, Vec128d n) {
    const Vec128d half = round(n * set(0.5));
    return x * power(half) * power(n - half);
  }
  friend void split(Vec128d x, Vec128d& m, Vec128d& e) {
    const Mask tiny = less(x, set(2.2250738585072014e-308));
    x = select(tiny, x * set(18014398509481984.0), x);
    const uint64x2_t bits = vreinterpretq_u64_f64(x.v);
    const int64x2_t exponent =
        vsubq_s64(vreinterpretq_s64_u64(vshrq_n_u64(bits, 52)), vdupq_n_s64(1023));
    e.v = vcvtq_f64_s64(exponent);
    e = select(tiny, e - set(54.0), e);
    m.v = vreinterpretq_f64_u64(vorrq_u64(vandq_u64(bits, vdupq_n_u64(0x000fffffffffffffull)),
                                          vdupq_n_u64(0x3ff0000000000000ull)));
  }
  friend T sum(Vec128d a) { return vaddvq_f64(a.v); }
  friend T largest(Vec128d a) { return vmaxvq_f64(a.v); }
  // Element q is the sum of a[q].
  static Vec128d sums(const Vec128d (&a)[2]) { return {vpaddq_f64(a[0].v, a[1].v)}; }
  // out[c] holds element c of every row; row(i) points to four elements of row i.
  template <class Row>
  static void load_quads(Row row, Vec128d (&out)[4]) {
    for (int half = 0; half < 2; ++half) {
      const float64x2_t r0 = vld1q_f64(row(0) + 2 * half), r1 = vld1q_f64(row(1) + 2 * half);
      out[2 * half].v = vzip1q_f64(r0, r1);
      out[2 * half + 1].v = vzip2q_f64(r0, r1);
    }
  }
};

template <class T>
struct VecOf;
template <>
struct VecOf<float> {
  using type = Vec128f;
};
template <>
struct VecOf<double> {
  using type = Vec128d;
};

// For small batches, whose rows lie in the lanes.
template <class T>
struct SmallVecOf : VecOf<T> {};
