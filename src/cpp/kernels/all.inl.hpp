// Gathers every kernel into the table of the ISA that includes this file.
//
// Included once per ISA inside an anonymous namespace, after a vec_*.hpp that defines VecOf<T>.
// Nothing here may call a function or template of a library that is not forced inline: compiled
// with this ISA's flags it could become the program's copy, and crash an older CPU.
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

#include "narrow.inl.hpp"

#include "tiny.inl.hpp"

template <class T>
using V = typename VecOf<T>::type;
template <class T>
using SmallV = typename SmallVecOf<T>::type;

template <class T>
const Kernels<T> table = {
    V<T>::lanes,
    V<T>::lanes* V<T>::panel_vectors,
    V<T>::lanes* V<T>::tile_vectors,
    gemm<V<T>>,
    gemv<V<T>>,
    max_skinny_n<V<T>>,
    skinny_gemm<V<T>>,
    {activate<V<T>, Identity>, activate<V<T>, Step>, activate<V<T>, Sigmoid>, activate<V<T>, Tanh>,
     activate<V<T>, Relu>, activate<V<T>, LeakyRelu>, activate<V<T>, Elu>, activate<V<T>, Softplus>,
     activate<V<T>, Silu>, activate<V<T>, Gelu>, activate<V<T>, Exp>, softmax<V<T>>},
    {derive<V<T>, Identity>, nullptr, derive<V<T>, Sigmoid>, derive<V<T>, Tanh>, derive<V<T>, Relu>,
     derive<V<T>, LeakyRelu>, derive<V<T>, Elu>, derive<V<T>, Softplus>, derive<V<T>, Silu>,
     derive<V<T>, Gelu>, derive<V<T>, Exp>, softmax_derive<V<T>>},
    {elementwise_loss<V<T>, Mse>, elementwise_loss<V<T>, SquaredError>, elementwise_loss<V<T>, Mae>,
     elementwise_loss<V<T>, Huber>, elementwise_loss<V<T>, Quantile>,
     elementwise_loss<V<T>, BinaryCrossentropy>, categorical_crossentropy<V<T>>,
     elementwise_loss<V<T>, Poisson>, elementwise_loss<V<T>, BinaryLogLoss>,
     categorical_crossentropy<V<T>, true>, elementwise_loss<V<T>, PoissonDeviance>},
    elementwise_loss<V<T>, PoissonFromLogits>,
    row_metrics<V<T>>,
    {update<V<T>, ScaledSum>, update<V<T>, Momentum>, update<V<T>, Adam>, update<V<T>, Rmsprop>},
    square_sum<V<T>>,
    clip<V<T>>,
    column_sums<V<T>>,
    transpose<V<T>>,
    combine<V<T>>,
    unit_product<V<T>>,
    unit_gradient<V<T>>,
    {unit_derive<V<T>, Identity>, nullptr, unit_derive<V<T>, Sigmoid>, unit_derive<V<T>, Tanh>,
     unit_derive<V<T>, Relu>, unit_derive<V<T>, LeakyRelu>, unit_derive<V<T>, Elu>,
     unit_derive<V<T>, Softplus>, unit_derive<V<T>, Silu>, unit_derive<V<T>, Gelu>,
     unit_derive<V<T>, Exp>, nullptr},
    {unit_loss<V<T>, Mse>, unit_loss<V<T>, SquaredError>, unit_loss<V<T>, Mae>,
     unit_loss<V<T>, Huber>, unit_loss<V<T>, Quantile>, unit_loss<V<T>, BinaryCrossentropy>,
     unit_categorical_crossentropy<V<T>>, unit_loss<V<T>, Poisson>, unit_loss<V<T>, BinaryLogLoss>,
     unit_categorical_crossentropy<V<T>, true>, unit_loss<V<T>, PoissonDeviance>},
    unit_loss<V<T>, PoissonFromLogits>,
    unit_metrics<V<T>>,
    unit_softmax<V<T>>,
    unit_softmax_derive<V<T>>,
    drop<V<T>>,
    unit_drop<V<T>>,
    take_rows<V<T>>,
    {gather<V<T>, float>, gather<V<T>, double>, gather<V<T>, uint8_t>},
    SmallV<T>::lanes,
    tiny<SmallV<T>>,
};
