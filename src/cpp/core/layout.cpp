// Cuts the layers into panels and moves parameters between the two layouts.
#include "layout.hpp"

#include <algorithm>

namespace mlpfast {
namespace {

// Panels of nearly the same width: 80 columns become 48 and 32 rather than 64 and 16.
std::vector<Panel> cut(ptrdiff_t padded, ptrdiff_t tile, ptrdiff_t panel) {
  const ptrdiff_t tiles = (padded + tile - 1) / tile, count = (padded + panel - 1) / panel;
  std::vector<Panel> panels;
  for (ptrdiff_t i = 0; i < count; ++i) {
    const Range r = share(tiles, i, count);
    panels.push_back({r.begin * tile, std::min(r.end * tile, padded) - r.begin * tile});
  }
  return panels;
}

// An odd number of cache lines, so that rows do not fall on the same sets of the cache.
ptrdiff_t leading_dimension(ptrdiff_t n, ptrdiff_t element_bytes) {
  const ptrdiff_t line = 64 / element_bytes;
  return (round_up(n, line) / line | 1) * line;
}

}  // namespace

Layout::Layout(const NetSpec& spec, ptrdiff_t lanes, ptrdiff_t tile, ptrdiff_t panel,
               ptrdiff_t element_bytes) {
  loss_from_logits = from_logits(spec.loss, spec.activations.back());
  ld_input = leading_dimension(spec.sizes[0], element_bytes);
  for (size_t l = 0; l + 1 < spec.sizes.size(); ++l) {
    Layer layer;
    layer.n_in = spec.sizes[l];
    layer.n_out = spec.sizes[l + 1];
    layer.in_padded = round_up(layer.n_in, lanes);
    layer.out_padded = round_up(layer.n_out, lanes);
    layer.flat_w = n_params;
    n_params += layer.n_in * layer.n_out;
    layer.flat_b = spec.bias ? n_params : -1;
    n_params += spec.bias ? layer.n_out : 0;
    layer.packed_w = packed_size;
    packed_size += layer.in_padded * layer.out_padded;
    layer.packed_b = packed_size;
    packed_size += layer.out_padded;
    layer.ld = leading_dimension(layer.n_out, element_bytes);
    layer.panels = cut(layer.out_padded, tile, panel);
    layer.strips = cut(layer.in_padded, tile, panel);
    layer.activation = spec.activations[l];
    const ActivationTraits& activation = traits(layer.activation);
    layer.keeps_z = activation.keeps_z || (l + 2 == spec.sizes.size() && loss_from_logits);
    layer.drops = l + 2 < spec.sizes.size() && spec.dropout_of_input(l + 1) > 0;
    // Dropout keeps the sign of an output or sets it to 0, and then there is no gradient.
    layer.keeps_undropped = layer.drops && !layer.keeps_z && !activation.derives_by_sign;
    layer.keeps_z = layer.keeps_z || layer.keeps_undropped;
    layers.push_back(layer);
  }
}

template <class T>
void pack_panel(const Layer& layer, const Panel& panel, const T* flat, T* to) {
  const ptrdiff_t n = std::min(panel.width, layer.n_out - panel.col);
  const T* from = flat + layer.flat_w + panel.col;
  for (ptrdiff_t k = 0; k < layer.n_in; ++k, from += layer.n_out, to += panel.width) {
    for (ptrdiff_t j = 0; j < n; ++j) to[j] = from[j];
    for (ptrdiff_t j = n; j < panel.width; ++j) to[j] = T(0);
  }
}

template <class T>
void pack(const Layout& layout, const T* flat, T* packed, ptrdiff_t index, ptrdiff_t count) {
  for (const Layer& layer : layout.layers) {
    const Range mine = share(ptrdiff_t(layer.panels.size()), index, count);
    for (ptrdiff_t p = mine.begin; p < mine.end; ++p) {
      const Panel& panel = layer.panels[size_t(p)];
      pack_panel(layer, panel, flat, packed + layer.packed_w + panel.col * layer.in_padded);
    }
    if (index > 0) continue;
    T* bias = packed + layer.packed_b;
    for (ptrdiff_t j = 0; j < layer.out_padded; ++j)
      bias[j] = layer.flat_b >= 0 && j < layer.n_out ? flat[layer.flat_b + j] : T(0);
  }
}

template <class T>
void unpack(const Layout& layout, const T* packed, T* flat, ptrdiff_t index, ptrdiff_t count) {
  for (const Layer& layer : layout.layers) {
    const Range mine = share(layer.n_in, index, count);
    for (const Panel& panel : layer.panels) {
      const ptrdiff_t n = std::min(panel.width, layer.n_out - panel.col);
      const T* rows = packed + layer.packed_w + panel.col * layer.in_padded;
      for (ptrdiff_t k = mine.begin; k < mine.end; ++k)
        std::copy_n(rows + k * panel.width, n, flat + layer.flat_w + k * layer.n_out + panel.col);
    }
    if (layer.flat_b >= 0 && index == 0)
      std::copy_n(packed + layer.packed_b, layer.n_out, flat + layer.flat_b);
  }
}

template <class T>
bool all_finite(const T* values, ptrdiff_t n) {
  constexpr ptrdiff_t kWidth = 16;  // independent sums, which compilers turn into vectors
  T sums[kWidth] = {};
  ptrdiff_t i = 0;
  for (; i + kWidth <= n; i += kWidth)
    for (ptrdiff_t j = 0; j < kWidth; ++j) sums[j] += values[i + j] - values[i + j];  // 0, or NaN
  for (; i < n; ++i) sums[0] += values[i] - values[i];
  for (ptrdiff_t j = 1; j < kWidth; ++j) sums[0] += sums[j];
  return sums[0] == T(0);
}

template void pack_panel(const Layer&, const Panel&, const float*, float*);
template void pack_panel(const Layer&, const Panel&, const double*, double*);
template void pack(const Layout&, const float*, float*, ptrdiff_t, ptrdiff_t);
template void pack(const Layout&, const double*, double*, ptrdiff_t, ptrdiff_t);
template void unpack(const Layout&, const float*, float*, ptrdiff_t, ptrdiff_t);
template void unpack(const Layout&, const double*, double*, ptrdiff_t, ptrdiff_t);
template bool all_finite(const float*, ptrdiff_t);
template bool all_finite(const double*, ptrdiff_t);

}  // namespace mlpfast
