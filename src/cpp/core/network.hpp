// The passes through the net on a block of rows: forward, loss, and backward layer by layer.
//
// Every function computes a part of one phase: some rows, some panels. Who computes which part
// never changes a bit of the result, see Gemm.
#pragma once

#include "arena.hpp"
#include "data.hpp"
#include "layout.hpp"

namespace mlpfast {

// Sums over rows, weighted; the order is that of TOTALS in base.py.
struct Totals {
  double loss = 0, weight = 0, correct = 0, squared_error = 0, absolute_error = 0;
  void add(const Totals& o);
};

// Where the units of a block of rows lie, row-major or tiled; see Gemm.
struct Places {
  ptrdiff_t ld, block, tile;
  ptrdiff_t at(ptrdiff_t row, ptrdiff_t col) const {
    return row * ld + col / tile * block + col % tile;
  }
  bool tiled() const { return block != tile; }
};

// What is dropped in a step, for a net with dropout: such a net is for training alone.
struct Dropping {
  uint32_t step[2] = {0, 0};  // see DropoutKey
  ptrdiff_t first_row = 0;    // number in the batch of a workspace's first row
};

// Buffers for a block of rows on their way through the net.
template <class T>
struct Workspace {
  struct Buffers {
    T* a;  // outputs
    T* z;  // pre-activations where they are kept, else the same as a
    T* d;  // deltas; null for a workspace that only runs forward
    Places places;
  };
  T* x;  // inputs
  Places x_places;
  T* target;          // (rows, ld of the last layer)
  T* weight;          // (rows,) sample weights
  T* row_scale;       // (rows,) factors on the deltas
  double* row_loss;   // (rows,)
  RowTotals* totals;  // (rows,)
  Dropping dropping;
  std::vector<Buffers> layers;
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
  // Bytes of a workspace for one row that only runs forward.
  ptrdiff_t row_bytes() const;

  // Bytes of the tiled inputs of `rows` rows.
  ptrdiff_t input_bytes(ptrdiff_t rows) const {
    const Places at = places(layout.ld_input, rows, true);
    return (spec.sizes.front() + at.tile - 1) / at.tile * at.block * ptrdiff_t(sizeof(T));
  }
  // Reserves a workspace for `rows` rows; `bind` gives its pointers once the arena is committed.
  // `tiled` is for long products: inputs and hidden layers are tiled then, but for those that want
  // whole rows.
  std::vector<ptrdiff_t> reserve(Arena& arena, ptrdiff_t rows, bool training,
                                 bool tiled = false) const;
  Workspace<T> bind(const Arena& arena, const std::vector<ptrdiff_t>& offsets, ptrdiff_t rows,
                    bool training, bool tiled = false) const;

  bool drops_inputs() const { return spec.dropout_of_input(0) > 0; }
  // What drops inputs of layer l in a step; the place is left to be filled in.
  Dropout<T> dropout_of_input(size_t l, const Dropping& dropping) const;

  // Reads the given rows of a batch into the workspace, row i to place i - base; returns the first
  // that is not finite, or -1. The factor on a row's deltas becomes its weight times `scale`.
  ptrdiff_t gather(const Batch<T>& batch, Range rows, ptrdiff_t base, T scale,
                   const Workspace<T>& ws) const {
    gather_targets(batch, rows, base, scale, ws);
    return gather_inputs(batch, rows, base, ws);
  }
  // The same for the inputs alone, and for all but the inputs.
  ptrdiff_t gather_inputs(const Batch<T>& batch, Range rows, ptrdiff_t base,
                          const Workspace<T>& ws) const;
  void gather_targets(const Batch<T>& batch, Range rows, ptrdiff_t base, T scale,
                      const Workspace<T>& ws) const;

  // Output of layer l for some rows and panels; `in` may be the caller's own array. Where the
  // activation wants whole rows and these are not all panels, it is left to `activate_whole_rows`.
  void forward(size_t l, const WeightView<T>& w, const T* in, const Places& in_places, Range rows,
               Range panels, const Workspace<T>& ws) const;
  void activate_whole_rows(size_t l, Range rows, const Workspace<T>& ws) const;
  // The first `rows` rows through all layers; weights_of(layer) gives the view.
  template <class WeightsOf>
  void forward_all(WeightsOf weights_of, const T* x, const Places& x_places, ptrdiff_t rows,
                   const Workspace<T>& ws) const {
    for (size_t l = 0; l < depth(); ++l) {
      const Layer& layer = layout.layers[l];
      forward(l, weights_of(layer), l ? input_of(l, ws) : x, l ? places_of_input(l, ws) : x_places,
              {0, rows}, {0, ptrdiff_t(layer.panels.size())}, ws);
    }
  }
  // Where the elements of a row-major array lie.
  Places row_major(ptrdiff_t ld) const { return {ld, kernels.tile, kernels.tile}; }
  // A softmax wants whole rows.
  bool whole_rows(size_t l) const { return layout.layers[l].activation == Activation::softmax; }

  // Row totals, and the deltas of the last layer unless the workspace has none.
  void loss(Range rows, bool want_metrics, const Workspace<T>& ws) const;
  // Weighted sums of the row totals, in ascending order.
  Totals sum_totals(Range rows, const Workspace<T>& ws) const;

  // Deltas of layer l - 1 for some rows and one strip of its units, from those of layer l and the
  // transposed strip (n_out rows of the strip's width). Where layer l - 1 wants whole rows, its
  // derivative is left to `derive_whole_rows`, once every strip is there.
  void propagate(size_t l, const T* transposed, Range rows, const Panel& strip,
                 const Workspace<T>& ws) const;
  void derive_whole_rows(size_t l, Range rows, const Workspace<T>& ws) const;
  void transpose_strip(size_t l, const T* packed, const Panel& strip, T* to) const;

  // out (inputs.size(), panel.width) = or += x^T delta over the first `rows` rows.
  void weight_gradient(size_t l, ptrdiff_t rows, Range inputs, const Panel& panel, T* out,
                       bool accumulate, const Workspace<T>& ws, Ahead* ahead = nullptr) const;
  void bias_gradient(size_t l, ptrdiff_t rows, const Panel& panel, T* out, bool accumulate,
                     const Workspace<T>& ws) const;

  // The input of layer l's product within a workspace.
  const T* input_of(size_t l, const Workspace<T>& ws) const {
    return l ? ws.layers[l - 1].a : ws.x;
  }
  // Rows of so many units that stay in the second-level cache.
  ptrdiff_t rows_in_cache(ptrdiff_t units) const;

  const Places& places_of_input(size_t l, const Workspace<T>& ws) const {
    return l ? ws.layers[l - 1].places : ws.x_places;
  }

 private:
  void drop(size_t l, const T* from, T* to, const Places& places, Range rows, Panel cols,
            const Dropping& dropping) const;
  Places places(ptrdiff_t ld, ptrdiff_t rows, bool tiled) const;
  Places places_of_layer(size_t l, ptrdiff_t rows, bool tiled) const;
};

}  // namespace mlpfast
