// The matrix product of all three passes: register blocks of the output, k innermost.
//
// forward  z  = x w + b:   a = x rows,        b = panel of w
// dx       dx = delta w^T: a = delta rows,    b = panel of the transposed w
// dw       dw = x^T delta: a = x columns,     b = columns of delta

#if defined(__GNUC__) && !defined(__clang__)
#define MLPFAST_UNROLL(n) _Pragma(MLPFAST_STRING(GCC unroll n))
#define MLPFAST_STRING(x) #x
#elif defined(__clang__)
#define MLPFAST_UNROLL(n) _Pragma(MLPFAST_STRING(unroll n))
#define MLPFAST_STRING(x) #x
#else
#define MLPFAST_UNROLL(n)
#endif

// Bytes of b that stay in the L1 cache while the row blocks pass over them; a third is left to a.
constexpr ptrdiff_t kResidentBytes = 32768;

// One register block: MR rows by NV vectors of c, kept in MR * NV accumulators that begin with the
// rows at `init`, `ld_init` apart. With ByRows, a runs along its rows (a_col is 1), else along its
// columns (a_row is 1); the other stride is lda.
template <class V, int MR, int NV, bool ByRows>
void gemm_block(const typename V::T* a, ptrdiff_t lda, const typename V::T* b, ptrdiff_t ldb,
                ptrdiff_t k, typename V::T* c, ptrdiff_t ldc, const typename V::T* init,
                ptrdiff_t ld_init) {
  V acc[MR][NV];
  MLPFAST_UNROLL(16)
  for (int i = 0; i < MR; ++i) {
    MLPFAST_UNROLL(4)
    for (int j = 0; j < NV; ++j) acc[i][j] = V::load(init + i * ld_init + j * V::lanes);
  }
  MLPFAST_UNROLL(4)
  for (ptrdiff_t p = 0; p < k; ++p) {
    V row[NV];
    MLPFAST_UNROLL(4)
    for (int j = 0; j < NV; ++j) row[j] = V::load(b + p * ldb + j * V::lanes);
    MLPFAST_UNROLL(16)
    for (int i = 0; i < MR; ++i) {
      const V x = V::set(ByRows ? a[i * lda + p] : a[p * lda + i]);
      MLPFAST_UNROLL(4)
      for (int j = 0; j < NV; ++j) acc[i][j] = fma(x, row[j], acc[i][j]);
    }
  }
  MLPFAST_UNROLL(16)
  for (int i = 0; i < MR; ++i) {
    MLPFAST_UNROLL(4)
    for (int j = 0; j < NV; ++j) acc[i][j].store(c + i * ldc + j * V::lanes);
  }
}

template <class V>
using GemmBlock = void (*)(const typename V::T*, ptrdiff_t, const typename V::T*, ptrdiff_t,
                           ptrdiff_t, typename V::T*, ptrdiff_t, const typename V::T*, ptrdiff_t);

template <class V, int NV, bool ByRows>
struct GemmRow {
  template <int... Is>
  struct Of {
    static constexpr GemmBlock<V> blocks[sizeof...(Is)] = {gemm_block<V, Is + 1, NV, ByRows>...};
  };
};

template <int N, int... Is>
struct CountUp : CountUp<N - 1, N - 1, Is...> {};
template <int... Is>
struct CountUp<0, Is...> {
  template <class Row>
  using In = typename Row::template Of<Is...>;
};

template <class V, int NV, bool ByRows>
inline const GemmBlock<V>* gemm_row_blocks() {
  return CountUp<V::max_rows[NV - 1]>::template In<GemmRow<V, NV, ByRows>>::blocks;
}

template <class V, bool ByRows>
inline const GemmBlock<V>* gemm_blocks_for(ptrdiff_t vectors) {
  if constexpr (V::panel_vectors >= 4)
    if (vectors == 4) return gemm_row_blocks<V, 4, ByRows>();
  if constexpr (V::panel_vectors >= 3)
    if (vectors == 3) return gemm_row_blocks<V, 3, ByRows>();
  if (vectors == 2) return gemm_row_blocks<V, 2, ByRows>();
  return gemm_row_blocks<V, 1, ByRows>();
}

template <class V>
constexpr typename V::T zero_row[V::lanes * V::panel_vectors] = {};

template <class V>
void gemm(const Gemm<typename V::T>& g) {
  using T = typename V::T;
  const ptrdiff_t vectors = g.n / V::lanes;
  const bool by_rows = g.a_col == 1;
  const GemmBlock<V>* blocks =
      by_rows ? gemm_blocks_for<V, true>(vectors) : gemm_blocks_for<V, false>(vectors);
  const ptrdiff_t lda = by_rows ? g.a_row : g.a_col;
  // Rows in blocks that are as even as can be, so that none is too thin to hide the latency.
  const ptrdiff_t most = V::max_rows[vectors - 1];
  const ptrdiff_t count = (g.m + most - 1) / most;
  const ptrdiff_t k_step = kResidentBytes / ptrdiff_t(sizeof(T)) / g.n;
  ptrdiff_t p = 0;
  do {
    const ptrdiff_t k = g.k - p < k_step + k_step / 2 ? g.k - p : k_step;
    const T* b = g.b + p * g.ldb;
    const T* a = g.a + p * g.a_col;
    T* c = g.c;
    const bool onto_c = g.accumulate || p > 0;
    const T* init = onto_c ? c : g.bias ? g.bias : zero_row<V>;
    const ptrdiff_t ld_init = onto_c ? g.ldc : 0;
    ptrdiff_t left = g.m;
    for (ptrdiff_t i = count; i > 0; --i) {
      const ptrdiff_t rows = (left + i - 1) / i;
      blocks[rows - 1](a, lda, b, g.ldb, k, c, g.ldc, init, ld_init);
      a += rows * g.a_row;
      init += rows * ld_init;
      c += rows * g.ldc;
      left -= rows;
    }
    p += k;
  } while (p < g.k);
}
