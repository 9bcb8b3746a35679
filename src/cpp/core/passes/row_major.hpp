// The passes through the net on a row-major block of rows: forward, loss, and backward layer by
// layer.
//
// Every function computes a part of one phase: some rows, some panels. Which thread computes which
// part never changes a bit of the result, see Gemm.
#pragma once

#include "../arena.hpp"
#include "../data.hpp"
#include "../network.hpp"
#include "../totals.hpp"

namespace mlpfast {

// How a matrix of units is laid out within a block of rows, row-major or tiled; see Gemm.
struct BlockLayout {
  ptrdiff_t ld, block, tile;
  // The offset of an element.
  ptrdiff_t at(ptrdiff_t row, ptrdiff_t col) const {
    return row * ld + col / tile * block + col % tile;
  }
  bool tiled() const { return block != tile; }
};

// The layout of a row-major array with this leading dimension.
template <class T>
BlockLayout row_major(const Network<T>& net, ptrdiff_t ld) {
  return {ld, net.kernels.tile, net.kernels.tile};
}

// A net and the buffers of a block of rows on their way through it.
template <class T>
struct RowMajorPass {
  // Reserves the buffers of a block of `rows` rows; a pass gets their pointers once the arena is
  // committed. With `tiled`, for long products, inputs and hidden layers are tiled, except the
  // layers whose activation needs whole rows.
  static std::vector<ptrdiff_t> reserve(const Network<T>& net, Arena& arena, ptrdiff_t rows,
                                        bool training, bool tiled = false);
  RowMajorPass(const Network<T>& net, const Arena& arena, const std::vector<ptrdiff_t>& offsets,
               ptrdiff_t rows, bool training, bool tiled = false);
  // Bytes of the tiled inputs of `rows` rows.
  static ptrdiff_t tiled_input_bytes(const Network<T>& net, ptrdiff_t rows);

  struct Buffers {
    T* a;  // outputs
    T* z;  // pre-activations where they are kept, else the same as a
    T* d;  // deltas; null for a pass that only runs forward
    BlockLayout layout;
  };
  const Network<T>& net;
  T* x;  // inputs
  BlockLayout x_layout;
  T* target;          // (rows, ld of the last layer)
  T* weight;          // (rows,) sample weights
  T* row_scale;       // (rows,) factors on the deltas
  double* row_loss;   // (rows,)
  RowTotals* totals;  // (rows,)
  DropoutStep dropout;
  std::vector<Buffers> layers;

  // Reads the given rows of a batch into the buffers, row i to row i - base; returns the first that
  // is not finite, or -1. The factor on a row's deltas becomes its weight times `scale`.
  ptrdiff_t gather(const Batch<T>& batch, Range rows, ptrdiff_t base, T scale) const {
    gather_targets(batch, rows, base, scale);
    return gather_inputs(batch, rows, base);
  }
  // The same for the inputs only, and for all but the inputs.
  ptrdiff_t gather_inputs(const Batch<T>& batch, Range rows, ptrdiff_t base) const;
  void gather_targets(const Batch<T>& batch, Range rows, ptrdiff_t base, T scale) const;

  // Output of layer l for some rows and panels; `in` may be the caller's own array. Where the
  // activation needs whole rows and these are not all panels, it is left to `activate_whole_rows`.
  void forward(size_t l, const WeightView<T>& w, const T* in, const BlockLayout& in_layout,
               Range rows, Range panels) const;
  void activate_whole_rows(size_t l, Range rows) const;
  // The first `rows` rows through all layers; weights_of(layer) gives the view.
  template <class WeightsOf>
  void forward_all(WeightsOf weights_of, const T* in, const BlockLayout& in_layout,
                   ptrdiff_t rows) const {
    for (size_t l = 0; l < net.depth(); ++l) {
      const Layer& layer = net.layout.layers[l];
      forward(l, weights_of(layer), l ? input_of(l) : in, l ? layout_of_input(l) : in_layout,
              {0, rows}, {0, ptrdiff_t(layer.panels.size())});
    }
  }
  // The input of layer l's product within the buffers, and its layout.
  const T* input_of(size_t l) const { return l ? layers[l - 1].a : x; }
  const BlockLayout& layout_of_input(size_t l) const { return l ? layers[l - 1].layout : x_layout; }

  // Row totals, and the deltas of the last layer unless the pass has none.
  void loss(Range rows, bool want_metrics) const;
  // Weighted sums of the row totals, in ascending order.
  Totals sum_totals(Range rows) const;

  // Deltas of layer l - 1 for some rows and one strip of its units, from those of layer l and the
  // transposed strip (n_out rows of the strip's width). Where layer l - 1 needs whole rows, its
  // derivative is left to `derive_whole_rows`, once every strip is done.
  void propagate(size_t l, const T* transposed, Range rows, const Panel& strip) const;
  void derive_whole_rows(size_t l, Range rows) const;
  void transpose_strip(size_t l, const T* packed, const Panel& strip, T* to) const;

  // out (inputs.size(), panel.width) = or += x^T delta over the first `rows` rows.
  void weight_gradient(size_t l, ptrdiff_t rows, Range inputs, const Panel& panel, T* out,
                       bool accumulate, Prefetch* prefetch = nullptr) const;
  void bias_gradient(size_t l, ptrdiff_t rows, const Panel& panel, T* out, bool accumulate) const;

 private:
  // Drops some of the inputs of layer l.
  void drop(size_t l, const T* from, T* to, const BlockLayout& layout, Range rows,
            Panel cols) const;
};

}  // namespace mlpfast
