// The two layer kernels on plain arrays, for use on their own.
#pragma once

#include "spec.hpp"

namespace mlpfast {

// C-contiguous x (n, n_in), w (n_in, n_out), b (n_out,) or null.
template <class T>
struct LayerArrays {
  const T* x;
  const T* w;
  const T* b;
  ptrdiff_t n, n_in, n_out;
  Activation activation;
};

// out (n, n_out) = activation(x w + b)
template <class T>
void layer_forward(const Kernels<T>& kernels, const LayerArrays<T>& layer, T* out, int threads);

// With delta = grad_a * activation': dx = delta w^T unless dx is null, dw = x^T delta, db = column
// sums of delta. `kept` is the output, or z for silu and gelu.
template <class T>
void layer_backward(const Kernels<T>& kernels, const LayerArrays<T>& layer, const T* kept,
                    const T* grad_a, T* dx, T* dw, T* db, int threads);

}  // namespace mlpfast
