// Four lanes of plain C++ for any CPU; compilers map them to the vectors of the baseline ISA.
// Included inside a namespace: the including file brings the system headers.
#pragma once

template <class T>
struct FloatFormat;
template <>
struct FloatFormat<float> {
  using Bits = int32_t;
  static constexpr int mantissa = 23, bias = 127;
  static constexpr float smallest_normal = 1.17549435e-38f;
  static constexpr float shifter = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer
};
template <>
struct FloatFormat<double> {
  using Bits = int64_t;
  static constexpr int mantissa = 52, bias = 1023;
  static constexpr double smallest_normal = 2.2250738585072014e-308;
  static constexpr double shifter = 6755399441055744.0;
};

template <class Element>
struct Vec4 {
  using T = Element;
  using Format = FloatFormat<T>;
  using Bits = typename Format::Bits;
  struct Mask {
    bool on[4];
  };
  static constexpr bool latency_bound = false;
  static constexpr int lanes = 4;
  static constexpr int panel_vectors = 2;
  static constexpr int tile_vectors = 2;
  static constexpr int max_rows[2] = {4, 4};
  static constexpr int table = 1;  // no look_up

  T v[4];

  template <class F>
  static Vec4 each(F f) {
    Vec4 r;
    for (int i = 0; i < 4; ++i) r.v[i] = f(i);
    return r;
  }
  static Bits bits_of(T x) {
    Bits b;
    std::memcpy(&b, &x, sizeof b);
    return b;
  }
  static T from_bits(Bits b) {
    T x;
    std::memcpy(&x, &b, sizeof x);
    return x;
  }

  static Vec4 load(const T* p) {
    return each([&](int i) { return p[i]; });
  }
  static Vec4 load_first(const T* p, int n) {
    return each([&](int i) { return i < n ? p[i] : T(0); });
  }
  static Vec4 set(T x) {
    return each([&](int) { return x; });
  }
  static Vec4 gather(const T* p, ptrdiff_t stride) {
    return each([&](int i) { return p[i * stride]; });
  }
  static void prefetch(const void* p) {
#if defined(__GNUC__) || defined(__clang__)
    __builtin_prefetch(p, 0, 2);
#else
    (void)p;
#endif
  }
  void store(T* p) const {
    for (int i = 0; i < 4; ++i) p[i] = v[i];
  }
  void store_first(T* p, int n) const {
    for (int i = 0; i < 4 && i < n; ++i) p[i] = v[i];
  }

  static Mask first(int n) { return {{0 < n, 1 < n, 2 < n, 3 < n}}; }
  static Vec4 select(Mask m, Vec4 a, Vec4 b) {
    return each([&](int i) { return m.on[i] ? a.v[i] : b.v[i]; });
  }
  friend Mask less(Vec4 a, Vec4 b) {
    return {{a.v[0] < b.v[0], a.v[1] < b.v[1], a.v[2] < b.v[2], a.v[3] < b.v[3]}};
  }
  friend Vec4 operator+(Vec4 a, Vec4 b) {
    return each([&](int i) { return a.v[i] + b.v[i]; });
  }
  friend Vec4 operator-(Vec4 a, Vec4 b) {
    return each([&](int i) { return a.v[i] - b.v[i]; });
  }
  friend Vec4 operator*(Vec4 a, Vec4 b) {
    return each([&](int i) { return a.v[i] * b.v[i]; });
  }
  friend Vec4 operator/(Vec4 a, Vec4 b) {
    return each([&](int i) { return a.v[i] / b.v[i]; });
  }
  // a^2 - square, exactly, if square is a^2 rounded: a is split in two halves (Veltkamp, Dekker).
  friend Vec4 square_rest(Vec4 a, Vec4 square) {
    constexpr T splitter = T((Bits(1) << ((Format::mantissa + 2) / 2)) + 1);
    return each([&](int i) {
      const T shifted = a.v[i] * splitter, high = shifted - (shifted - a.v[i]), low = a.v[i] - high;
      return ((high * high - square.v[i]) + T(2) * high * low) + low * low;
    });
  }
  friend Vec4 quotient(Vec4 a, Vec4 b) { return a / b; }
  // a b + c; here rounded twice, as there is no instruction for it.
  friend Vec4 fma(Vec4 a, Vec4 b, Vec4 c) {
    return each([&](int i) { return a.v[i] * b.v[i] + c.v[i]; });
  }
  // sum += a b, rounded once where fma is.
  friend void accumulate(Vec4& sum, Vec4 a, Vec4 b) { sum = fma(a, b, sum); }
  // The second argument where either is NaN.
  friend Vec4 min(Vec4 a, Vec4 b) {
    return each([&](int i) { return a.v[i] < b.v[i] ? a.v[i] : b.v[i]; });
  }
  friend Vec4 max(Vec4 a, Vec4 b) {
    return each([&](int i) { return a.v[i] > b.v[i] ? a.v[i] : b.v[i]; });
  }
  friend Vec4 abs(Vec4 a) {
    constexpr Bits rest = Bits(~(Bits(1) << (8 * sizeof(T) - 1)));
    return each([&](int i) { return from_bits(bits_of(a.v[i]) & rest); });
  }
  friend Vec4 sqrt(Vec4 a) {
    return each([&](int i) { return std::sqrt(a.v[i]); });
  }
  friend Vec4 fast_sqrt(Vec4 a) { return sqrt(a); }
  // For |a| below 2^(mantissa - 1), which is all that is needed.
  friend Vec4 round(Vec4 a) {
    return each([&](int i) { return (a.v[i] + Format::shifter) - Format::shifter; });
  }
  // |magnitude| with the sign of `sign`.
  friend Vec4 copysign(Vec4 magnitude, Vec4 sign) {
    constexpr Bits bit = Bits(Bits(1) << (8 * sizeof(T) - 1));
    return each([&](int i) {
      return from_bits((bits_of(magnitude.v[i]) & Bits(~bit)) | (bits_of(sign.v[i]) & bit));
    });
  }
  // x 2^n for an integer n, with overflow and gradual underflow: in three factors, each a normal
  // number.
  friend Vec4 scale_by_power(Vec4 x, Vec4 n) {
    const T limit = T(Format::bias - 1);
    return each([&](int i) {
      T y = x.v[i], rest = n.v[i];
      for (int j = 0; j < 3; ++j) {
        // NaN fails every comparison and becomes 0; x propagates it.
        const T part = rest > limit ? limit : rest > -limit ? rest : rest <= -limit ? -limit : T(0);
        y *= from_bits((Bits(part) + Format::bias) << Format::mantissa);
        rest -= part;
      }
      return y;
    });
  }
  // For x > 0: x = m 2^e with m in [1, 2).
  friend void split(Vec4 x, Vec4& m, Vec4& e) {
    constexpr Bits low = (Bits(1) << Format::mantissa) - 1;
    for (int i = 0; i < 4; ++i) {
      const bool tiny = x.v[i] < Format::smallest_normal;
      const T scaled =
          tiny ? x.v[i] * from_bits(Bits(Format::bias + 60) << Format::mantissa) : x.v[i];
      const Bits bits = bits_of(scaled);
      e.v[i] = T((bits >> Format::mantissa) - Format::bias - (tiny ? 60 : 0));
      m.v[i] = from_bits((bits & low) | (Bits(Format::bias) << Format::mantissa));
    }
  }
  friend T sum(Vec4 a) { return (a.v[0] + a.v[2]) + (a.v[1] + a.v[3]); }
  friend T largest(Vec4 a) {
    T r = a.v[0];
    for (int i = 1; i < 4; ++i) r = a.v[i] > r ? a.v[i] : r;
    return r;
  }
  // Element q is the sum of a[q].
  static Vec4 sums(const Vec4 (&a)[4]) {
    return each([&](int i) { return sum(a[i]); });
  }
  // out[c] holds element c of every row; row(i) points to four elements of row i.
  template <class Row>
  static void load_quads(Row row, Vec4 (&out)[4]) {
    for (int c = 0; c < 4; ++c) out[c] = each([&](int i) { return row(i)[c]; });
  }
};

template <class T>
struct VecOf {
  using type = Vec4<T>;
};

// For small batches, whose rows lie in the lanes.
template <class T>
struct SmallVecOf : VecOf<T> {};
