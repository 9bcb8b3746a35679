// Sums and moves: column sums, transposition, combining of partial gradients, conversion of input.

template <class V>
void column_sums(const typename V::T* d, ptrdiff_t rows, ptrdiff_t cols, ptrdiff_t ld,
                 typename V::T* sums, bool accumulate) {
  ptrdiff_t j = 0;
  // Four columns of vectors at a time, to hide the latency of the additions.
  for (; j + 4 * V::lanes <= cols; j += 4 * V::lanes) {
    V s[4];
    for (int q = 0; q < 4; ++q) s[q] = accumulate ? V::load(sums + j + q * V::lanes) : V::set(0);
    for (ptrdiff_t i = 0; i < rows; ++i)
      for (int q = 0; q < 4; ++q) s[q] = s[q] + V::load(d + i * ld + j + q * V::lanes);
    for (int q = 0; q < 4; ++q) s[q].store(sums + j + q * V::lanes);
  }
  for (; j < cols; j += V::lanes) {
    V s = accumulate ? V::load(sums + j) : V::set(0);
    for (ptrdiff_t i = 0; i < rows; ++i) s = s + V::load(d + i * ld + j);
    s.store(sums + j);
  }
}

template <class V>
void transpose(const typename V::T* src, ptrdiff_t ld_src, ptrdiff_t rows, ptrdiff_t cols,
               typename V::T* dst, ptrdiff_t ld_dst) {
  for (ptrdiff_t i = 0; i < rows; i += V::lanes) {
    ptrdiff_t j = 0;
    for (; j + 4 <= cols; j += 4) {
      V quad[4];
      V::load_quads([&](int q) { return src + (i + q) * ld_src + j; }, quad);
      for (int c = 0; c < 4; ++c) quad[c].store(dst + (j + c) * ld_dst + i);
    }
    for (; j < cols; ++j) V::gather(src + i * ld_src + j, ld_src).store(dst + j * ld_dst + i);
  }
}

template <class V>
void combine(typename V::T* g, ptrdiff_t n, ptrdiff_t stride, ptrdiff_t count) {
  for (ptrdiff_t i = 0; i < n; i += V::lanes) {
    V s = V::load(g + i);
    for (ptrdiff_t c = 1; c < count; ++c) s = s + V::load(g + c * stride + i);
    s.store(g + i);
  }
}

// Whether the exponent field is full, as it is in infinities and NaN. By bits, so that compilers
// turn the loop below into vectors without being allowed to reorder sums.
inline uint32_t full_exponent(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  return (bits & 0x7f800000u) == 0x7f800000u;
}
inline uint32_t full_exponent(double x) {
  uint64_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  return (bits & 0x7ff0000000000000ull) == 0x7ff0000000000000ull;
}
inline uint32_t full_exponent(uint8_t) { return 0; }

template <class From, class T>
bool convert(const From* src, T* dst, ptrdiff_t n, T scale) {
  uint32_t bad = 0;
  for (ptrdiff_t i = 0; i < n; ++i) {
    bad |= full_exponent(src[i]);
    dst[i] = T(src[i]) * scale;
  }
  return bad == 0;
}
