// Where W and b lie: in the caller's flat buffer, and packed into panels for the kernels.
//
// Flat: layer by layer W (n_in, n_out) row-major, then b. Packed: the columns of W are cut into
// panels of a few vectors; a panel of width v is stored as rows of v neighbouring elements, n_in of
// them and zeros up to a multiple of the lanes. So the kernels stream through memory, and a
// power-of-two n_out does not make its columns collide in the cache.
#pragma once

#include <vector>

#include "spec.hpp"

namespace mlpfast {

struct Panel {
  ptrdiff_t col, width;  // col begins a tile, width is padded
};

struct Layer {
  ptrdiff_t n_in, n_out;
  ptrdiff_t in_padded, out_padded;
  ptrdiff_t flat_w, flat_b;      // offsets; flat_b is -1 without biases
  ptrdiff_t packed_w, packed_b;  // offsets; packed biases are zero where there are none
  ptrdiff_t ld;                  // leading dimension of buffers of this layer's units
  std::vector<Panel> panels;     // over the outputs
  std::vector<Panel> strips;     // over the inputs, for the transposed copy
  Activation activation;
  bool keeps_z;  // the backward pass or the loss needs the pre-activation
  // Training drops some outputs; the derivative then needs the outputs from before, which are kept
  // in place of the pre-activations.
  bool drops = false, keeps_undropped = false;
};

struct Layout {
  std::vector<Layer> layers;
  ptrdiff_t ld_input = 0;
  ptrdiff_t n_params = 0;
  ptrdiff_t packed_size = 0;
  bool loss_from_logits = false;

  Layout(const NetSpec& spec, ptrdiff_t lanes, ptrdiff_t tile, ptrdiff_t panel,
         ptrdiff_t element_bytes);
};

// Weights as the kernels read them, packed or straight from the flat buffer.
template <class T>
struct WeightView {
  const T* w;
  const T* bias;         // padded and readable, or null
  ptrdiff_t col_stride;  // panel at column c begins at w + c * col_stride
  ptrdiff_t ldb;         // rows of a panel lie this far apart; 0: the panel's width
};

template <class T>
WeightView<T> packed_view(const Layer& layer, const T* packed) {
  return {packed + layer.packed_w, packed + layer.packed_b, layer.in_padded, 0};
}

// The last vector of a row reaches into the next row or into the slack behind the buffer.
template <class T>
WeightView<T> flat_view(const Layer& layer, const T* flat) {
  return {flat + layer.flat_w, layer.flat_b < 0 ? nullptr : flat + layer.flat_b, 1, layer.n_out};
}

// One panel of W, with zeros in its padding.
template <class T>
void pack_panel(const Layer& layer, const Panel& panel, const T* flat, T* to);
// All parameters, or the share of one of `count` threads.
template <class T>
void pack(const Layout& layout, const T* flat, T* packed, ptrdiff_t index = 0, ptrdiff_t count = 1);
template <class T>
void unpack(const Layout& layout, const T* packed, T* flat, ptrdiff_t index = 0,
            ptrdiff_t count = 1);
template <class T>
bool all_finite(const T* values, ptrdiff_t n);

}  // namespace mlpfast
