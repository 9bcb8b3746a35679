// Gathers every kernel into the table of the ISA that includes this file.
//
// Included once per ISA inside an anonymous namespace, after a vec_*.hpp that defines VecOf<T>.
// Nothing here may call a library function or template that is not forced inline: compiled with the
// flags of this ISA, it could become the copy that the whole program uses, and crash an older CPU.
#include "vecmath.inl.hpp"

#include "pair.inl.hpp"

#include "gemm.inl.hpp"

#include "gemv.inl.hpp"

#include "skinny_gemm.inl.hpp"

#include "activations.inl.hpp"

#include "losses.inl.hpp"

#include "optimizers.inl.hpp"

#include "layout_ops.inl.hpp"

#include "dropout.inl.hpp"

#include "unit_product.inl.hpp"

#include "unit_major.inl.hpp"

#include "tiny.inl.hpp"

template <class T>
using V = typename VecOf<T>::type;
template <class T>
using SmallV = typename SmallVecOf<T>::type;

// The entries of the table for an operation; null if it has no such kernel.
template <class V, class F>
constexpr auto activate_kernel() {
  if constexpr (F::whole_rows)
    return softmax<V>;
  else
    return activate<V, F>;
}
template <class V, class F>
constexpr auto derive_kernel() {
  if constexpr (F::whole_rows)
    return softmax_derive<V>;
  else if constexpr (F::has_gradient)
    return derive<V, F>;
  else
    return nullptr;
}
template <class V, class F>
constexpr auto unit_activate_kernel() {
  if constexpr (F::whole_rows)
    return unit_softmax<V>;
  else
    return activate<V, F>;
}
template <class V, class F>
constexpr auto unit_derive_kernel() {
  if constexpr (F::whole_rows)
    return unit_derive_softmax<V>;
  else if constexpr (F::has_gradient)
    return unit_derive<V, F>;
  else
    return nullptr;
}
template <class V, class L, bool logits>
constexpr auto loss_kernel() {
  if constexpr (!has_form<L>(logits))
    return nullptr;
  else if constexpr (L::whole_rows)
    return categorical_crossentropy<V, L>;
  else
    return elementwise_loss<V, L, logits>;
}
template <class V, class L, bool logits>
constexpr auto unit_loss_kernel() {
  if constexpr (!has_form<L>(logits))
    return nullptr;
  else
    return unit_loss<V, L, logits>;
}
#define MLPFAST_ACTIVATE(name, F) activate_kernel<V<T>, F>(),
#define MLPFAST_DERIVE(name, F) derive_kernel<V<T>, F>(),
#define MLPFAST_UNIT_ACTIVATE(name, F) unit_activate_kernel<V<T>, F>(),
#define MLPFAST_UNIT_DERIVE(name, F) unit_derive_kernel<V<T>, F>(),
#define MLPFAST_LOSS(name, L) {loss_kernel<V<T>, L, false>(), loss_kernel<V<T>, L, true>()},
#define MLPFAST_UNIT_LOSS(name, L) \
  {unit_loss_kernel<V<T>, L, false>(), unit_loss_kernel<V<T>, L, true>()},
#define MLPFAST_UPDATE(name, U) update<V<T>, U>,

template <class T>
const Kernels<T> table = {
    V<T>::lanes,
    V<T>::lanes* V<T>::panel_vectors,
    V<T>::lanes* V<T>::tile_vectors,
    gemm<V<T>>,
    gemv<V<T>>,
    max_skinny_n<V<T>>,
    skinny_gemm<V<T>>,
    {MLPFAST_ACTIVATIONS(MLPFAST_ACTIVATE)},
    {MLPFAST_ACTIVATIONS(MLPFAST_DERIVE)},
    {MLPFAST_LOSSES(MLPFAST_LOSS)},
    row_metrics<V<T>>,
    {MLPFAST_UPDATES(MLPFAST_UPDATE)},
    square_sum<V<T>>,
    clip<V<T>>,
    column_sums<V<T>>,
    transpose<V<T>>,
    combine<V<T>>,
    unit_product<V<T>>,
    unit_gradient<V<T>>,
    {MLPFAST_ACTIVATIONS(MLPFAST_UNIT_ACTIVATE)},
    {MLPFAST_ACTIVATIONS(MLPFAST_UNIT_DERIVE)},
    {MLPFAST_LOSSES(MLPFAST_UNIT_LOSS)},
    unit_metrics<V<T>>,
    drop<V<T>>,
    unit_drop<V<T>>,
    take_rows<V<T>>,
    {gather<V<T>, float>, gather<V<T>, double>, gather<V<T>, uint8_t>},
    SmallV<T>::lanes,
    tiny<SmallV<T>>,
};

#undef MLPFAST_ACTIVATE
#undef MLPFAST_DERIVE
#undef MLPFAST_UNIT_ACTIVATE
#undef MLPFAST_UNIT_DERIVE
#undef MLPFAST_LOSS
#undef MLPFAST_UNIT_LOSS
#undef MLPFAST_UPDATE
