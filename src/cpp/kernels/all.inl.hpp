// Gathers every kernel into the table of the ISA that includes this file.
//
// Included once per ISA inside an anonymous namespace, after a vec_*.hpp that defines VecOf<T>.
// Nothing here may call a function or template of a library that is not forced inline: compiled
// with this ISA's flags it could become the program's copy, and crash an older CPU.
#include "vecmath.inl.hpp"

#include "gemm.inl.hpp"

#include "gemv.inl.hpp"

#include "activations.inl.hpp"

#include "losses.inl.hpp"

#include "optimizers.inl.hpp"

#include "moves.inl.hpp"

#include "tiny.inl.hpp"

template <class T>
using V = typename VecOf<T>::type;
template <class T>
using SmallV = typename SmallVecOf<T>::type;

template <class T>
const Kernels<T> table = {
    V<T>::lanes,
    V<T>::lanes* V<T>::panel_vectors,
    gemm<V<T>>,
    gemv<V<T>>,
    {activate<V<T>, Identity>, activate<V<T>, Step>, activate<V<T>, Sigmoid>, activate<V<T>, Tanh>,
     activate<V<T>, Relu>, activate<V<T>, LeakyRelu>, activate<V<T>, Elu>, activate<V<T>, Softplus>,
     activate<V<T>, Silu>, activate<V<T>, Gelu>, activate<V<T>, Exp>, softmax<V<T>>},
    {derive<V<T>, Identity>, nullptr, derive<V<T>, Sigmoid>, derive<V<T>, Tanh>, derive<V<T>, Relu>,
     derive<V<T>, LeakyRelu>, derive<V<T>, Elu>, derive<V<T>, Softplus>, derive<V<T>, Silu>,
     derive<V<T>, Gelu>, derive<V<T>, Exp>, softmax_derive<V<T>>},
    {elementwise_loss<V<T>, Mse>, elementwise_loss<V<T>, SquaredError>, elementwise_loss<V<T>, Mae>,
     elementwise_loss<V<T>, Huber>, elementwise_loss<V<T>, BinaryCrossentropy>,
     categorical_crossentropy<V<T>>, elementwise_loss<V<T>, Poisson>},
    elementwise_loss<V<T>, PoissonFromLogits>,
    {update<V<T>, ScaledSum<V<T>>>, update<V<T>, Momentum<V<T>>>, update<V<T>, Adam<V<T>>>,
     update<V<T>, Rmsprop<V<T>>>},
    column_sums<V<T>>,
    transpose<V<T>>,
    combine<V<T>>,
    convert<float, T>,
    convert<double, T>,
    convert<uint8_t, T>,
    SmallV<T>::lanes,
    tiny<SmallV<T>>,
};
