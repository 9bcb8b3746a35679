// The products of a layer with blocks of rows that are held unit-major: forward, backward, and the
// gradient of the weights, over all of its inputs and units or some.
#pragma once

#include <algorithm>

#include "network.hpp"

namespace mlpfast {

template <class T>
struct LayerPart {
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
  // Those that are not padding.
  ptrdiff_t count(Range some) const { return std::min(some.end, layer.n_out) - some.begin; }
  ptrdiff_t count() const { return count(units); }

  // What the inputs x (inputs, ld) give the units z (units, ld).
  void forward(const T* w, const T* x, T* z, ptrdiff_t rows, bool with_bias) const;
  // The gradient by the inputs, dx (inputs, ld), from the deltas d (units, ld).
  void backward(const T* w, const T* d, T* dx, ptrdiff_t rows) const;
  // The deltas as `gradient` may want them: (rows, units), padding included.
  void turn(const T* d, T* by_row, ptrdiff_t rows) const;
  // The gradient of the weights, into `gradients` as it is packed. With the deltas turned, or if
  // `by_row` is null, with rows in the lanes; for the rest see UnitGradient.
  void gradient(const T* x, const T* d, const T* by_row, T* gradients, ptrdiff_t rows,
                bool first = true, bool last = true, T* partial = nullptr) const;
};

// Of the two ways to a weight gradient, whether the one with rows in the lanes takes fewer
// instructions: it adds up a vector at the end of each sum, three instructions, or one if the
// vector is kept for the next block; the other fills vectors with outputs and has to transpose the
// deltas, a third of an instruction each.
bool sums_over_rows_are_shorter(const Layer& layer, ptrdiff_t rows, ptrdiff_t lanes, bool keeps);

}  // namespace mlpfast
