// The product of one row with the weights of a layer, read from the flat buffer.
//
// It is bound by reading the weights once. A wide panel reads long pieces of each row of w, so that
// they arrive at the bandwidth of the cache. Every output is one chain of fused multiply-adds over
// the inputs in ascending order, as in gemm: the two agree bitwise.

template <class V, int NV>
inline void gemv_panel(const typename V::T* x, const typename V::T* w, ptrdiff_t ldw,
                       const typename V::T* bias, ptrdiff_t k, typename V::T* z) {
  V acc[NV];
  MLPFAST_UNROLL(16)
  for (int j = 0; j < NV; ++j) acc[j] = bias ? V::load(bias + j * V::lanes) : V::set(0);
  MLPFAST_UNROLL(4)
  for (ptrdiff_t p = 0; p < k; ++p, w += ldw) {
    const V value = V::set(x[p]);
    MLPFAST_UNROLL(16)
    for (int j = 0; j < NV; ++j) acc[j] = fma(value, V::load(w + j * V::lanes), acc[j]);
  }
  MLPFAST_UNROLL(16)
  for (int j = 0; j < NV; ++j) acc[j].store(z + j * V::lanes);
}

template <class V>
void gemv(const typename V::T* x, const typename V::T* w, ptrdiff_t ldw, const typename V::T* bias,
          ptrdiff_t k, ptrdiff_t n, typename V::T* z) {
  constexpr int wide = V::panel_vectors >= 3 ? 16 : 8;  // accumulators: half the registers
  ptrdiff_t j = 0;
  const auto from = [&] { return bias ? bias + j : nullptr; };
  for (; j + wide * V::lanes <= n; j += wide * V::lanes)
    gemv_panel<V, wide>(x, w + j, ldw, from(), k, z + j);
  if constexpr (wide > 8)
    if (j + 8 * V::lanes <= n) {
      gemv_panel<V, 8>(x, w + j, ldw, from(), k, z + j);
      j += 8 * V::lanes;
    }
  for (; j + 4 * V::lanes <= n; j += 4 * V::lanes)
    gemv_panel<V, 4>(x, w + j, ldw, from(), k, z + j);
  if (j + 2 * V::lanes <= n) {
    gemv_panel<V, 2>(x, w + j, ldw, from(), k, z + j);
    j += 2 * V::lanes;
  }
  if (j < n) gemv_panel<V, 1>(x, w + j, ldw, from(), k, z + j);
}
