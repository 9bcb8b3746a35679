// A net as the core sees it: specification, kernels, layout, and what follows from them.
#pragma once

#include "layout.hpp"

namespace mlpfast {

// Identifies the dropout of a step. A net with dropout is for training only.
struct DropoutStep {
  uint32_t key[2] = {0, 0};  // see DropoutKey
  ptrdiff_t first_row = 0;   // number in the batch of the first row of a block
};

template <class T>
class Network {
 public:
  Network(const NetSpec& spec, const Kernels<T>& kernels);

  const NetSpec spec;
  const Kernels<T>& kernels;
  const Layout layout;

  size_t depth() const { return layout.layers.size(); }
  const Layer& last() const { return layout.layers.back(); }
  // Floating-point operations of one row: forward alone, and forward and backward.
  double flops_forward() const;
  double flops_training() const;
  // Bytes of the row-major buffers of one row in a pass that only runs forward.
  ptrdiff_t row_bytes() const;
  // How many rows of `units` units stay in the second-level cache beside weights and outputs.
  ptrdiff_t rows_in_cache(ptrdiff_t units) const;

  // Whether the activation of layer l needs whole rows: a softmax does.
  bool whole_rows(size_t l) const { return traits(layout.layers[l].activation).whole_rows; }

  bool drops_inputs() const { return spec.dropout_of_input(0) > 0; }
  // The arguments that drop inputs of layer l in a step, without the arrays.
  Dropout<T> dropout_of_input(size_t l, const DropoutStep& step) const;
};

}  // namespace mlpfast
