// Products with few columns and many rows: the rows lie in the lanes, as a vector of columns would
// be mostly padding. The rows are transposed in registers. Every element is one chain of fused
// multiply-adds over k in ascending order, as in gemm: the two agree bitwise.

// With more columns, the transposition costs more than the padding.
template <class V>
constexpr int max_skinny_n = V::lanes / 4;

template <class V, int N>
void skinny_gemm_of(const Gemm<typename V::T>& g) {
  using T = typename V::T;
  constexpr ptrdiff_t tile = tile_of<V>;
  const bool tiled = g.a_block != tile;
  for (ptrdiff_t i = 0; i < g.m; i += V::lanes) {
    // The last vector overlaps the one before rather than extend beyond the rows.
    const ptrdiff_t first = i + V::lanes <= g.m ? i : g.m - V::lanes;
    const T* a = g.a + first * g.lda;
    const T* b = g.b;
    V acc[N];
    for (int j = 0; j < N; ++j) acc[j] = V::set(g.bias ? g.bias[j] : T(0));
    for (ptrdiff_t p = 0; p < g.k; p += 4) {
      // So does the last quad of a row, unless it is in a tile, which is readable as a whole.
      const ptrdiff_t from = p + 4 <= g.k || tiled ? p : g.k - 4;
      const T* at = a + from / tile * g.a_block + from % tile;
      V quad[4];
      V::load_quads([&](int q) MLPFAST_INLINE_LAMBDA { return at + q * g.lda; }, quad);
      MLPFAST_UNROLL(4)
      for (int c = 0; c < 4; ++c) {
        if (from + c < p || from + c >= g.k) continue;
        MLPFAST_UNROLL(4)
        for (int j = 0; j < N; ++j) accumulate(acc[j], V::set(b[j]), quad[c]);
        b += g.ldb;
      }
    }
    T z[N][V::lanes];
    for (int j = 0; j < N; ++j) acc[j].store(z[j]);
    for (ptrdiff_t q = 0; q < V::lanes; ++q) {
      T* c = g.c + (first + q) * g.ldc;
      V::set(0).store(c);
      for (int j = 0; j < N; ++j) c[j] = z[j][q];
    }
  }
}

template <class V>
void skinny_gemm(const Gemm<typename V::T>& g) {
  if constexpr (max_skinny_n<V> >= 4) {
    if (g.n == 4) return skinny_gemm_of<V, 4>(g);
    if (g.n == 3) return skinny_gemm_of<V, 3>(g);
  }
  if constexpr (max_skinny_n<V> >= 2)
    if (g.n == 2) return skinny_gemm_of<V, 2>(g);
  skinny_gemm_of<V, 1>(g);
}
