// Operations on whole arrays: column sums, transposition, sums of partial gradients, and the
// conversion of input.

template <class V>
void column_sums(const typename V::T* d, ptrdiff_t rows, ptrdiff_t cols, ptrdiff_t ld,
                 ptrdiff_t block, typename V::T* sums, bool accumulate) {
  constexpr int tiles = V::tile_vectors >= 4 ? 1 : 4 / V::tile_vectors;
  constexpr int vectors = tiles * V::tile_vectors;  // independent sums hide the latency
  while (cols >= vectors * V::lanes) {
    V s[vectors];
    for (int q = 0; q < vectors; ++q) s[q] = accumulate ? V::load(sums + q * V::lanes) : V::set(0);
    for (ptrdiff_t i = 0; i < rows; ++i)
      for (int q = 0; q < vectors; ++q) s[q] = s[q] + V::load(d + i * ld + vector_at<V>(q, block));
    for (int q = 0; q < vectors; ++q) s[q].store(sums + q * V::lanes);
    d += tiles * block;
    sums += vectors * V::lanes;
    cols -= vectors * V::lanes;
  }
  for (int q = 0; q * V::lanes < cols; ++q) {
    V s = accumulate ? V::load(sums + q * V::lanes) : V::set(0);
    for (ptrdiff_t i = 0; i < rows; ++i) s = s + V::load(d + i * ld + vector_at<V>(q, block));
    s.store(sums + q * V::lanes);
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

// Whether all bits of the exponent are set, as in infinities and NaN. On bits, so that compilers
// can vectorize the loop below without reordering sums.
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

// One row of N elements, N known or at most a tile; returns whether any is not finite.
template <class From, class T>
inline uint32_t convert(const From* src, T* dst, ptrdiff_t n, T scale) {
  uint32_t bad = 0;
  for (ptrdiff_t i = 0; i < n; ++i) {
    bad |= full_exponent(src[i]);
    dst[i] = T(src[i]) * scale;
  }
  return bad;
}

// A row into tiles `block` apart; returns whether all elements are finite.
template <class V, class From>
inline bool convert_row(const From* src, typename V::T* dst, ptrdiff_t n, ptrdiff_t block,
                        typename V::T scale) {
  using T = typename V::T;
  uint32_t bad = 0;
  if constexpr (std::is_same_v<From, T>) {
    const V factor = V::set(scale);
    V differences = V::set(0);  // x - x of each element x: NaN if it is not finite
    for (; n >= tile_of<V>; n -= tile_of<V>, src += tile_of<V>, dst += block)
      for (int j = 0; j < V::tile_vectors; ++j) {
        const V x = V::load(src + j * V::lanes);
        differences = differences + (x - x);
        (x * factor).store(dst + j * V::lanes);
      }
    bad = !(sum(differences) == T(0));
  } else {
    for (; n >= tile_of<V>; n -= tile_of<V>, src += tile_of<V>, dst += block)
      bad |= convert(src, dst, tile_of<V>, scale);
  }
  return (bad | convert(src, dst, n, scale)) == 0;
}

template <class V, class From>
ptrdiff_t gather(const Gather<typename V::T>& g) {
  ptrdiff_t first_bad = -1;
  for (ptrdiff_t i = 0; i < g.rows; ++i) {
    const ptrdiff_t row = g.order ? ptrdiff_t(g.order[i]) : i;
    const From* src = reinterpret_cast<const From*>(g.x + row * g.stride);
    if (!convert_row<V>(src, g.to + i * g.ld, g.cols, g.block, g.scale) && first_bad < 0)
      first_bad = i;
  }
  return first_bad;
}
