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
#if defined(__GNUC__) || defined(__clang__)
#define MLPFAST_INLINE_LAMBDA __attribute__((always_inline))
#else
#define MLPFAST_INLINE_LAMBDA
#endif

// Bytes of b in a transposed product that stay in the first-level cache while the row blocks pass
// over them. In the other products b is contiguous and arrives in time from the second level.
constexpr ptrdiff_t kResidentBytes = 32768;
// Unrolled steps over k: more gained nothing, and lost some as the code grew.
constexpr int kUnroll = 4;

// The operands of a register block; see Gemm.
template <class T>
struct BlockArgs {
  const T* a;
  ptrdiff_t lda, a_block;
  const T* b;
  ptrdiff_t ldb, b_block;
  T* c;
  ptrdiff_t ldc, c_block;
  const T* init;  // initial values of the accumulators
  ptrdiff_t ld_init, init_block;
  ptrdiff_t k;
  // The line to prefetch in the first kPrefetchSteps steps over k, and its distance to that of the
  // next steps; spread out, so that they do not delay what the product itself needs from the
  // second-level cache.
  const char* prefetch;
  ptrdiff_t prefetch_step;
};
constexpr int kPrefetchSteps = 2 * kUnroll;
constexpr ptrdiff_t kLine = 64;

template <class V>
constexpr ptrdiff_t tile_of = V::lanes* V::tile_vectors;

// The offset of vector j of a row.
template <class V>
constexpr ptrdiff_t vector_at(int j, ptrdiff_t block) {
  return (j / V::tile_vectors) * block + (j % V::tile_vectors) * V::lanes;
}

// How a product reads a and b. The strides of the tiled ones are constants, which leaves the inner
// loop without address arithmetic, which would take issue slots from the multiply-adds.
enum class Access {
  rows,           // a row-major
  columns,        // a transposed
  tiled_rows,     // a tiled; the rows of b are contiguous
  tiled_columns,  // a tiled, transposed; b tiled
};

// One register block: MR rows by NV vectors of c, kept in MR * NV accumulators.
template <class V, int MR, int NV, Access access>
void gemm_block(const BlockArgs<typename V::T>& g) {
  using T = typename V::T;
  constexpr bool tiled = access == Access::tiled_rows || access == Access::tiled_columns;
  constexpr bool by_rows = access == Access::rows || access == Access::tiled_rows;
  const ptrdiff_t lda = tiled ? tile_of<V> : g.lda;
  const ptrdiff_t ldb = access == Access::tiled_rows      ? ptrdiff_t(NV) * V::lanes
                        : access == Access::tiled_columns ? tile_of<V>
                                                          : g.ldb;
  const ptrdiff_t b_block = access == Access::tiled_rows ? tile_of<V> : g.b_block;
  const ptrdiff_t a_row = by_rows ? lda : 1, a_col = by_rows ? 1 : lda;
  V acc[MR][NV];
  MLPFAST_UNROLL(16)
  for (int i = 0; i < MR; ++i) {
    MLPFAST_UNROLL(4)
    for (int j = 0; j < NV; ++j)
      acc[i][j] = V::load(g.init + i * g.ld_init + vector_at<V>(j, g.init_block));
  }
  const T* a = g.a;
  const T* b = g.b;
  const auto steps = [&](ptrdiff_t n) MLPFAST_INLINE_LAMBDA {
    MLPFAST_UNROLL(4)
    for (ptrdiff_t p = 0; p < n; ++p) {
      V row[NV];
      MLPFAST_UNROLL(4)
      for (int j = 0; j < NV; ++j) row[j] = V::load(b + p * ldb + vector_at<V>(j, b_block));
      MLPFAST_UNROLL(16)
      for (int i = 0; i < MR; ++i) {
        const V x = V::set(a[i * a_row + p * a_col]);
        MLPFAST_UNROLL(4)
        for (int j = 0; j < NV; ++j) accumulate(acc[i][j], x, row[j]);
      }
    }
  };
  if constexpr (tiled) {
    // The k of tiled_rows jumps from tile to tile, whose width is a multiple of kUnroll.
    ptrdiff_t k = g.k;
    const ptrdiff_t jump = by_rows ? g.a_block - tile_of<V> : 0;
    while (k > 0) {
      const ptrdiff_t n = by_rows && k > tile_of<V> ? tile_of<V> : k;
      ptrdiff_t left = n;
      if constexpr (!by_rows) {
        const char* line = g.prefetch;
        for (; left >= kPrefetchSteps; left -= kPrefetchSteps) {
          V::prefetch(line);
          line += g.prefetch_step;
          steps(kUnroll);
          a += kUnroll * a_col;
          b += kUnroll * ldb;
          steps(kUnroll);
          a += kUnroll * a_col;
          b += kUnroll * ldb;
        }
      }
      for (; left >= kUnroll; left -= kUnroll) {
        steps(kUnroll);
        a += kUnroll * a_col;
        b += kUnroll * ldb;
      }
      for (; left > 0; --left) {
        steps(1);
        a += a_col;
        b += ldb;
      }
      a += jump;
      k -= n;
    }
  } else {
    steps(g.k);
  }
  MLPFAST_UNROLL(16)
  for (int i = 0; i < MR; ++i) {
    MLPFAST_UNROLL(4)
    for (int j = 0; j < NV; ++j) acc[i][j].store(g.c + i * g.ldc + vector_at<V>(j, g.c_block));
  }
}

template <class V>
using GemmBlock = void (*)(const BlockArgs<typename V::T>&);

template <class V, int NV, Access access>
struct GemmRow {
  template <int... Is>
  struct Of {
    static constexpr GemmBlock<V> blocks[sizeof...(Is)] = {gemm_block<V, Is + 1, NV, access>...};
  };
};

template <int N, int... Is>
struct CountUp : CountUp<N - 1, N - 1, Is...> {};
template <int... Is>
struct CountUp<0, Is...> {
  template <class Row>
  using In = typename Row::template Of<Is...>;
};

template <class V, int NV, Access access>
inline const GemmBlock<V>* gemm_row_blocks() {
  return CountUp<V::max_rows[NV - 1]>::template In<GemmRow<V, NV, access>>::blocks;
}

template <class V, Access access>
inline const GemmBlock<V>* gemm_blocks_for(ptrdiff_t vectors) {
  if constexpr (V::panel_vectors >= 4)
    if (vectors == 4) return gemm_row_blocks<V, 4, access>();
  if constexpr (V::panel_vectors >= 3)
    if (vectors == 3) return gemm_row_blocks<V, 3, access>();
  if (vectors == 2) return gemm_row_blocks<V, 2, access>();
  return gemm_row_blocks<V, 1, access>();
}

template <class V>
inline const GemmBlock<V>* gemm_blocks(const Gemm<typename V::T>& g) {
  const ptrdiff_t vectors = g.n / V::lanes;
  if (g.a_transposed)
    return g.lda == tile_of<V> && g.ldb == tile_of<V>
               ? gemm_blocks_for<V, Access::tiled_columns>(vectors)
               : gemm_blocks_for<V, Access::columns>(vectors);
  return g.lda == tile_of<V> && g.ldb == g.n ? gemm_blocks_for<V, Access::tiled_rows>(vectors)
                                             : gemm_blocks_for<V, Access::rows>(vectors);
}

template <class V>
constexpr typename V::T zero_row[V::lanes * V::panel_vectors] = {};

// Returns the next lines to prefetch, about `bytes` of them, and advances past them.
inline const char* next_lines(Prefetch& p, ptrdiff_t bytes) {
  const ptrdiff_t row = p.order ? ptrdiff_t(p.order[p.row]) : p.row;
  const char* at = p.x + row * p.stride + p.at;
  p.at += bytes;
  if (p.at >= p.bytes) {
    p.at = 0;
    ++p.row;
  }
  return at;
}

template <class V>
void gemm(const Gemm<typename V::T>& g) {
  using T = typename V::T;
  const GemmBlock<V>* blocks = gemm_blocks<V>(g);
  const ptrdiff_t most = V::max_rows[g.n / V::lanes - 1];
  const ptrdiff_t k_step = g.a_transposed ? kResidentBytes / ptrdiff_t(sizeof(T)) / g.n : g.k;
  // Rows of c that are contiguous in a: those of a tile, or all.
  const ptrdiff_t together = g.a_transposed ? tile_of<V> : g.m;
  BlockArgs<T> args;
  args.lda = g.lda;
  args.a_block = g.a_block;
  args.ldb = g.ldb;
  args.b_block = g.b_block;
  args.ldc = g.ldc;
  args.c_block = g.c_block;
  args.prefetch = reinterpret_cast<const char*>(zero_row<V>);
  args.prefetch_step = g.prefetch ? kLine : 0;
  ptrdiff_t p = 0;
  do {
    args.k = g.k - p < k_step + k_step / 2 ? g.k - p : k_step;
    args.b = g.b + p * g.ldb;
    args.c = g.c;
    const bool onto_c = g.accumulate || p > 0;
    args.init = onto_c ? g.c : g.bias ? g.bias : zero_row<V>;
    args.ld_init = onto_c ? g.ldc : 0;
    args.init_block = onto_c ? g.c_block : tile_of<V>;
    const T* a = g.a + (g.a_transposed ? p * g.lda : 0);
    for (ptrdiff_t first = 0; first < g.m; first += together, a += g.a_block) {
      args.a = a;
      // Blocks of sizes as even as possible, so that none has too few rows to hide the latency.
      ptrdiff_t left = g.m - first < together ? g.m - first : together;
      for (ptrdiff_t i = (left + most - 1) / most; i > 0; --i) {
        const ptrdiff_t rows = (left + i - 1) / i;
        if (g.prefetch && g.prefetch->row < g.prefetch->rows)
          args.prefetch = next_lines(*g.prefetch, args.k / kPrefetchSteps * kLine);
        blocks[rows - 1](args);
        args.a += g.a_transposed ? rows : rows * g.lda;
        args.init += rows * args.ld_init;
        args.c += rows * g.ldc;
        left -= rows;
      }
    }
    p += args.k;
  } while (p < g.k);
}
