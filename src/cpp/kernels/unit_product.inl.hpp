// Products of unit-major blocks, in which the rows lie in the lanes and a layer may have any number
// of units, and the conversion of rows into such blocks.

// One register block: MR units by NV vectors of rows. With ByUnits, w is contiguous along the
// units, otherwise along the inputs; the other stride is ldw.
template <class V, int MR, int NV, bool ByUnits>
void unit_block(const typename V::T* w, ptrdiff_t ldw, const typename V::T* x, ptrdiff_t ld,
                ptrdiff_t inputs, typename V::T* z, const typename V::T* bias, bool onto) {
  V acc[MR][NV];
  MLPFAST_UNROLL(16)
  for (int i = 0; i < MR; ++i) {
    const V b = V::set(bias ? bias[i] : typename V::T(0));
    MLPFAST_UNROLL(4)
    for (int j = 0; j < NV; ++j) acc[i][j] = b;
  }
  MLPFAST_UNROLL(4)
  for (ptrdiff_t p = 0; p < inputs; ++p) {
    V row[NV];
    MLPFAST_UNROLL(4)
    for (int j = 0; j < NV; ++j) row[j] = V::load(x + p * ld + j * V::lanes);
    MLPFAST_UNROLL(16)
    for (int i = 0; i < MR; ++i) {
      const V a = V::set(ByUnits ? w[p * ldw + i] : w[i * ldw + p]);
      MLPFAST_UNROLL(4)
      for (int j = 0; j < NV; ++j) accumulate(acc[i][j], a, row[j]);
    }
  }
  // z is read at the end, so that its addresses need not be kept in registers in between.
  if (onto) {
    MLPFAST_UNROLL(16)
    for (int i = 0; i < MR; ++i) {
      MLPFAST_UNROLL(4)
      for (int j = 0; j < NV; ++j) acc[i][j] = V::load(z + i * ld + j * V::lanes) + acc[i][j];
    }
  }
  MLPFAST_UNROLL(16)
  for (int i = 0; i < MR; ++i, z += ld) {
    MLPFAST_UNROLL(4)
    for (int j = 0; j < NV; ++j) acc[i][j].store(z + j * V::lanes);
  }
}

template <class V>
using UnitBlock = void (*)(const typename V::T*, ptrdiff_t, const typename V::T*, ptrdiff_t,
                           ptrdiff_t, typename V::T*, const typename V::T*, bool);

template <class V, int NV, bool ByUnits>
struct UnitBlocks {
  template <int... Is>
  struct Of {
    static constexpr UnitBlock<V> blocks[sizeof...(Is)] = {unit_block<V, Is + 1, NV, ByUnits>...};
  };
};

template <class V, int NV, bool ByUnits>
inline const UnitBlock<V>* unit_row_blocks() {
  return CountUp<V::max_rows[NV - 1]>::template In<UnitBlocks<V, NV, ByUnits>>::blocks;
}

template <class V, bool ByUnits>
inline const UnitBlock<V>* unit_blocks_for(ptrdiff_t vectors) {
  if constexpr (V::panel_vectors >= 4)
    if (vectors == 4) return unit_row_blocks<V, 4, ByUnits>();
  if constexpr (V::panel_vectors >= 3)
    if (vectors == 3) return unit_row_blocks<V, 3, ByUnits>();
  if (vectors == 2) return unit_row_blocks<V, 2, ByUnits>();
  return unit_row_blocks<V, 1, ByUnits>();
}

template <class V>
void unit_product(const UnitProduct<typename V::T>& g) {
  using T = typename V::T;
  const bool by_units = g.w_unit == 1;
  const ptrdiff_t ldw = by_units ? g.w_input : g.w_unit;
  const ptrdiff_t vectors = g.rows / V::lanes;
  const ptrdiff_t chunks = (vectors + V::panel_vectors - 1) / V::panel_vectors;
  for (ptrdiff_t chunk = 0; chunk < chunks; ++chunk) {
    const ptrdiff_t begin = vectors * chunk / chunks;
    const ptrdiff_t width = vectors * (chunk + 1) / chunks - begin;
    const UnitBlock<V>* blocks =
        by_units ? unit_blocks_for<V, true>(width) : unit_blocks_for<V, false>(width);
    const ptrdiff_t most = V::max_rows[width - 1];
    // As even as possible: `thick` blocks of one unit more than the others, which have `rest`.
    const ptrdiff_t count = (g.units + most - 1) / most;
    const ptrdiff_t rest = g.units / count, thick = g.units - rest * count;
    const ptrdiff_t step = kResidentBytes / ptrdiff_t(sizeof(T)) / (width * V::lanes);
    ptrdiff_t p = 0;
    do {
      const ptrdiff_t inputs = g.inputs - p < step + step / 2 ? g.inputs - p : step;
      const T* w = g.w + p * g.w_input;
      const T* x = g.x + p * g.ld + begin * V::lanes;
      T* z = g.z + begin * V::lanes;
      const T* bias = g.accumulate || p > 0 ? nullptr : g.bias;
      for (ptrdiff_t i = 0; i < count; ++i) {
        const ptrdiff_t units = rest + (i < thick);
        blocks[units - 1](w, ldw, x, g.ld, inputs, z, bias, g.accumulate || p > 0);
        w += units * g.w_unit;
        z += units * g.ld;
        if (bias) bias += units;
      }
      p += inputs;
    } while (p < g.inputs);
  }
}

// Sums of products over the rows, for TJ outputs and as many inputs as fill a vector; if there are
// fewer, the last input is repeated.
template <class V, int TJ, bool Full>
void unit_gradient_tile(const UnitGradient<typename V::T>& g, ptrdiff_t i0, ptrdiff_t j0,
                        typename V::T* partial) {
  using T = typename V::T;
  constexpr int TI = V::lanes / TJ;
  const ptrdiff_t here = Full ? TI : g.inputs - i0, ld = g.ld;
  const T* x = g.x + i0 * ld;
  const T* d = g.d + j0 * ld;
  V acc[V::lanes];
  const bool fresh = g.first || !partial;
  MLPFAST_UNROLL(16)
  for (int q = 0; q < V::lanes; ++q) acc[q] = fresh ? V::set(0) : V::load(partial + q * V::lanes);
  for (ptrdiff_t r = g.rows; r > 0; r -= V::lanes, x += V::lanes, d += V::lanes) {
    V dj[TJ];
    MLPFAST_UNROLL(4)
    for (int j = 0; j < TJ; ++j) dj[j] = V::load(d + j * ld);
    MLPFAST_UNROLL(16)
    for (int i = 0; i < TI; ++i) {
      const V xi = V::load(x + (Full || i < here ? i : here - 1) * ld);
      MLPFAST_UNROLL(4)
      for (int j = 0; j < TJ; ++j) accumulate(acc[i * TJ + j], xi, dj[j]);
    }
  }
  T local[V::lanes * V::lanes];
  T* kept = partial ? partial : local;
  MLPFAST_UNROLL(16)
  for (int q = 0; q < V::lanes; ++q) acc[q].store(kept + q * V::lanes);
  if (partial && !g.last) return;
  V sums[V::lanes];
  for (int q = 0; q < V::lanes; ++q) sums[q] = V::load(kept + q * V::lanes);
  T total[V::lanes];
  V::sums(sums).store(total);
  const bool onto = !partial && !g.first;
  T* out = g.out + i0 * g.ld_out + j0;
  for (ptrdiff_t i = 0; i < here; ++i)
    for (int j = 0; j < TJ; ++j)
      out[i * g.ld_out + j] = (onto ? out[i * g.ld_out + j] : T(0)) + total[i * TJ + j];
}

template <class V, int TJ>
inline void unit_gradient_columns(const UnitGradient<typename V::T>& g, ptrdiff_t j,
                                  typename V::T*& partial) {
  constexpr int TI = V::lanes / TJ;
  for (ptrdiff_t i = 0; i < g.inputs; i += TI) {
    if (i + TI <= g.inputs)
      unit_gradient_tile<V, TJ, true>(g, i, j, partial);
    else
      unit_gradient_tile<V, TJ, false>(g, i, j, partial);
    if (partial) partial += V::lanes * V::lanes;
  }
}

template <class V>
void unit_gradient(const UnitGradient<typename V::T>& g) {
  constexpr int most = V::lanes >= 16 ? 4 : V::lanes >= 4 ? 2 : 1;
  typename V::T* partial = g.partial;
  ptrdiff_t j = 0;
  for (; j + most <= g.outputs; j += most) unit_gradient_columns<V, most>(g, j, partial);
  for (; j < g.outputs; ++j) unit_gradient_columns<V, 1>(g, j, partial);
}

template <class V>
bool take_rows(const typename V::T* const* rows, ptrdiff_t n, ptrdiff_t cols, typename V::T* to,
               ptrdiff_t ld) {
  using T = typename V::T;
  V zeros = V::set(0);  // NaN if any element is not finite
  T others = T(0);
  for (ptrdiff_t i = 0; i < n; i += V::lanes) {
    if (cols < 4) {
      for (int q = 0; q < V::lanes; ++q)
        for (ptrdiff_t j = 0; j < cols; ++j) {
          to[j * ld + i + q] = rows[i + q][j];
          others += rows[i + q][j] - rows[i + q][j];
        }
      continue;
    }
    // The last quad overlaps the one before rather than extend beyond the row.
    for (ptrdiff_t j = 0; j < cols; j += 4) {
      const ptrdiff_t from = j + 4 <= cols ? j : cols - 4;
      V quad[4];
      V::load_quads([&](int q) { return rows[i + q] + from; }, quad);
      for (int c = 0; c < 4; ++c) {
        quad[c].store(to + (from + c) * ld + i);
        zeros = zeros + (quad[c] - quad[c]);
      }
    }
  }
  return sum(zeros) + others == T(0);
}
