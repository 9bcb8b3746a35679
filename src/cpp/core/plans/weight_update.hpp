// The one place where weights are moved.
//
// There are three ways. From a gradient, span by span: clipped or not, every plan can do it. Two
// more are fused with what makes the gradient: a product that adds to the weights themselves, and
// the kernel of the tiny plan, which has the weights to itself for some steps. Nothing else writes
// into a state while it is trained. Where weights are to be stored in a type narrower than that of
// the arithmetic, each way is told here how: `from_gradient` and `store` then write the narrow copy
// beside the exact one, and `adds_products` is false.
#pragma once

#include "../layout.hpp"
#include "../optimizer.hpp"

namespace mlpfast {

// Parameters and moments, packed; m and v may be null.
template <class T>
struct State {
  T* w = nullptr;
  T* m = nullptr;
  T* v = nullptr;
};

template <class T>
struct WeightUpdate {
  const Kernels<T>& kernels;
  const Optimizer<T>& optimizer;  // with begin_step done
  State<T> state;

  // Moves `n` parameters from offset `at` on, with gradient g. The l2 term is for weights, not for
  // biases.
  void from_gradient(ptrdiff_t at, const T* g, ptrdiff_t n, double l2) const {
    optimizer.update(kernels, state.w + at, state.m ? state.m + at : nullptr,
                     state.v ? state.v + at : nullptr, g, n, l2);
  }

  // Whether a step is w += rate * g and nothing else: with the rate in the deltas, the product that
  // makes the gradient may add to the weights instead, at `add_to`.
  bool adds_products(bool has_l2) const { return optimizer.is_scaled_sum() && !has_l2; }
  T* add_to(ptrdiff_t at) const { return state.w + at; }

  // Lends the state, flat, to the kernel that moves the weights itself, and takes it back.
  void load(const Layout& layout, const TinySteps<T>& steps) const {
    unpack(layout, state.w, steps.w);
    if (state.m) unpack(layout, state.m, steps.m);
    if (state.v) unpack(layout, state.v, steps.v);
  }
  void store(const Layout& layout, const TinySteps<T>& steps) const {
    pack(layout, steps.w, state.w);
    if (state.m) pack(layout, steps.m, state.m);
    if (state.v) pack(layout, steps.v, state.v);
  }
};

}  // namespace mlpfast
