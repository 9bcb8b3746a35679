// Passes over blocks of rows that are held unit-major, with the rows in the lanes of vectors: how
// rows are read, the products of a layer or of a part of it, and the loss.
#pragma once

#include <algorithm>

#include "../data.hpp"
#include "../network.hpp"
#include "../totals.hpp"

namespace mlpfast {

// Inputs, targets and weights of some rows.
template <class T>
struct UnitMajorRows {
  T* x;       // (n_in, ld)
  T* target;  // (n_out, ld)
  T* weight;  // (rows,) sample weights
  static ptrdiff_t size(const NetSpec& spec, ptrdiff_t ld) {
    return (spec.sizes.front() + spec.sizes.back() + 1) * ld;
  }
  // Places the three arrays in `size` elements of memory.
  static UnitMajorRows in(T* memory, const NetSpec& spec, ptrdiff_t ld) {
    T* target = memory + spec.sizes.front() * ld;
    return {memory, target, target + spec.sizes.back() * ld};
  }
};

// Scratch memory to read rows with.
template <class T>
struct RowReader {
  const T** rows;  // addresses of the rows of x, then of y, `most` each
  T* read;         // converted rows of x (most, ld_input)
  ptrdiff_t most;
  // Reads some rows of the batch, and repeats the last up to `all`; returns the first that is not
  // finite, or -1.
  ptrdiff_t gather(const Network<T>& net, const Batch<T>& batch, Range part, ptrdiff_t all,
                   const UnitMajorRows<T>& to, ptrdiff_t ld) const;
};

// A layer of the net, all of its inputs and units or some: its products with unit-major blocks.
template <class T>
struct UnitMajorLayer {
  const Network<T>& net;
  const Layer& layer;
  Range inputs;
  Range units;   // begin a tile; padding included
  ptrdiff_t ld;  // of the blocks, which begin with the first input or unit

  // Calls f(at, width, units) for the units that are neighbours in a panel: their weights for the
  // first input begin at offset `at`, those for the next ones follow `width` apart.
  template <class F>
  void for_each_piece(F f) const {
    for (const Panel& panel : layer.panels) {
      const Range piece = {std::max(units.begin, panel.col),
                           std::min(units.end, panel.col + panel.width)};
      if (piece.begin < piece.end)
        f(layer.packed_w + panel.col * layer.in_padded + inputs.begin * panel.width + piece.begin -
              panel.col,
          panel.width, piece);
    }
  }
  // Whether the loss takes this layer's pre-activations.
  bool gives_logits() const {
    return net.layout.loss_from_logits && &layer == &net.layout.layers.back();
  }
  // How many are not padding.
  ptrdiff_t count(Range some) const { return std::min(some.end, layer.n_out) - some.begin; }
  ptrdiff_t count() const { return count(units); }

  // Computes pre-activations z (units, ld) from the inputs x (inputs, ld).
  void forward(const T* w, const T* x, T* z, ptrdiff_t rows, bool with_bias) const;
  // Outputs a of the pre-activations z, both (units, ld); `rows` is padded. All units are needed
  // where the activation takes whole rows. A softmax is left to a loss that takes the logits.
  void activate(const T* z, T* a, ptrdiff_t rows) const;
  // Turns the gradient with respect to the outputs into deltas d (units, ld), which it is already
  // where the loss takes the logits. Their sums over the rows, the gradient with respect to the
  // biases, are written or added to `sums` unless that is null. `kept` is z or a, see Layer.
  void derive(const T* kept, T* d, ptrdiff_t rows, T* sums, bool accumulate = false) const;
  // The gradient with respect to the inputs, dx (inputs, ld), from the deltas d (units, ld).
  void backward(const T* w, const T* d, T* dx, ptrdiff_t rows) const;
  // The deltas as `gradient` may take them: (rows, units), padding included.
  void transpose(const T* d, T* by_row, ptrdiff_t rows) const;
  // The gradient with respect to the weights, into `gradients` as these are packed. From transposed
  // deltas, or if `by_row` is null, with rows in the lanes; for the rest see UnitGradient.
  void gradient(const T* x, const T* d, const T* by_row, T* gradients, ptrdiff_t rows,
                bool first = true, bool last = true, T* partial = nullptr) const;
};

// Which of the two ways to compute a weight gradient takes fewer instructions: whether it is the
// one with rows in the lanes. That adds up a vector at the end of each sum: three instructions, or
// one if the vector is kept for the next block. The other fills vectors with outputs and has to
// transpose the deltas, a third of an instruction each.
bool row_lanes_are_cheaper(const Layer& layer, ptrdiff_t rows, ptrdiff_t lanes, bool keeps);

// The loss of some rows and the deltas of the output layer. z holds the logits if the loss takes
// them.
template <class T>
Totals unit_loss(const Network<T>& net, const UnitMajorRows<T>& in, const T* z, T* a, T* d,
                 bool has_weights, bool want_metrics, ptrdiff_t rows, ptrdiff_t ld, T scale);

}  // namespace mlpfast
