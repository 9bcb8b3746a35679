// What the net is to the core: its specification, its kernels, its layout, and what follows from
// them.
#pragma once

#include "layout.hpp"

namespace mlpfast {

// What tells the dropout of one step from that of another, for a net with dropout: such a net is
// for training alone.
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
  // Rows of so many units that stay in the second-level cache, beside weights and outputs.
  ptrdiff_t rows_in_cache(ptrdiff_t units) const;

  // Whether the activation of layer l needs whole rows: a softmax does.
  bool whole_rows(size_t l) const { return traits(layout.layers[l].activation).whole_rows; }

  bool drops_inputs() const { return spec.dropout_of_input(0) > 0; }
  // What drops inputs of layer l in a step; the arrays are left to be filled in.
  Dropout<T> dropout_of_input(size_t l, const DropoutStep& step) const;
};

}  // namespace mlpfast
