// The two layer kernels: a net of one layer, its arrays mostly copied into padded buffers.
#include "layer.hpp"

#include <algorithm>

#include "runner.hpp"

namespace mlpfast {
namespace {

constexpr ptrdiff_t kRowsWorthCopying = 48;

template <class T>
Network<T> net_of(const Kernels<T>& kernels, const LayerArrays<T>& layer) {
  NetSpec spec;
  spec.sizes = {layer.n_in, layer.n_out};
  spec.activations = {layer.activation};
  return Network<T>(spec, kernels);
}

template <class T>
constexpr InputType type_of();
template <>
constexpr InputType type_of<float>() {
  return InputType::f32;
}
template <>
constexpr InputType type_of<double>() {
  return InputType::f64;
}

// The flat parameters of that net.
template <class T>
std::vector<T> flat_of(const LayerArrays<T>& layer) {
  std::vector<T> flat(size_t((layer.n_in + 1) * layer.n_out) + 64 / sizeof(T));
  const ptrdiff_t n_w = layer.n_in * layer.n_out;
  std::copy(layer.w, layer.w + n_w, flat.begin());
  if (layer.b) std::copy(layer.b, layer.b + layer.n_out, flat.begin() + n_w);
  return flat;
}

template <class T>
void copy_rows(const T* from, ptrdiff_t ld_from, T* to, ptrdiff_t ld_to, ptrdiff_t rows,
               ptrdiff_t cols) {
  for (ptrdiff_t i = 0; i < rows; ++i)
    std::copy(from + i * ld_from, from + i * ld_from + cols, to + i * ld_to);
}

}  // namespace

template <class T>
void layer_forward(const Kernels<T>& kernels, const LayerArrays<T>& layer, T* out, int threads) {
  if (layer.n == 0 || layer.n_out == 0) return;
  const Network<T> net = net_of(kernels, layer);
  // For a few rows a copy of w would cost more than the product. It is read where it is, if no row
  // ends within a vector: the last one must not be read beyond.
  if (layer.n < kRowsWorthCopying && layer.n_out % kernels.lanes == 0) {
    Arena arena;
    const auto offsets = net.reserve(arena, layer.n, false);
    arena.commit();
    const Workspace<T> ws = net.bind(arena, offsets, false);
    net.forward(0, {layer.w, layer.b, 1, layer.n_out}, layer.x, layer.n_in, {0, layer.n},
                {0, ptrdiff_t(net.last().panels.size())}, ws);
    copy_rows(ws.layers[0].a, net.last().ld, out, layer.n_out, layer.n, layer.n_out);
    return;
  }
  const std::vector<T> flat = flat_of(layer);
  Data<T> data;
  data.x = reinterpret_cast<const char*>(layer.x);
  data.x_stride = layer.n_in * ptrdiff_t(sizeof(T));
  data.x_type = type_of<T>();
  data.n = layer.n;
  predict(net, flat.data(), data, out, threads);
}

template <class T>
void layer_backward(const Kernels<T>& kernels, const LayerArrays<T>& layer, const T* kept,
                    const T* grad_a, T* dx, T* dw, T* db, int threads) {
  const ptrdiff_t n = layer.n, n_in = layer.n_in, n_out = layer.n_out;
  // As a net of two layers of which only the second matters: its deltas are propagated to the
  // first one's units, which are this layer's inputs.
  NetSpec spec;
  spec.sizes = {1, n_in, n_out};
  spec.activations = {Activation::identity, layer.activation};
  const Network<T> net(spec, kernels);
  const Layer& shape = net.last();
  Arena arena;
  const auto offsets = net.reserve(arena, n, true);
  const ptrdiff_t packed_at = arena.reserve_array<T>(net.layout.packed_size);
  const ptrdiff_t padded_kept_at = arena.reserve_array<T>(n * shape.ld);
  const ptrdiff_t strips_at = arena.reserve_array<T>(shape.in_padded * shape.out_padded);
  const ptrdiff_t gradient_at = arena.reserve_array<T>(net.layout.packed_size);
  arena.commit();
  const Workspace<T> ws = net.bind(arena, offsets, true);
  T* packed = arena.at<T>(packed_at);
  T* padded_kept = arena.at<T>(padded_kept_at);
  T* strips = arena.at<T>(strips_at);
  T* gradient = arena.at<T>(gradient_at);

  std::vector<T> flat(size_t(net.layout.n_params));
  std::copy(layer.w, layer.w + n_in * n_out, flat.begin() + shape.flat_w);
  pack(net.layout, flat.data(), packed);
  const auto& below = ws.layers[0];
  const auto& own = ws.layers[1];
  const ptrdiff_t ld_in = net.layout.layers[0].ld;
  copy_rows(layer.x, n_in, below.a, ld_in, n, n_in);
  copy_rows(kept, n_out, padded_kept, shape.ld, n, n_out);
  copy_rows(grad_a, n_out, own.d, shape.ld, n, n_out);
  if (layer.activation != Activation::identity)
    kernels.derive[int(layer.activation)](padded_kept, own.d, n, n_out, shape.ld);
  // Padded columns may now hold anything; they must not reach the sums.
  for (ptrdiff_t i = 0; i < n; ++i)
    std::fill(own.d + i * shape.ld + n_out, own.d + (i + 1) * shape.ld, T(0));

  run_in_team(n * n_in * n_out > 500000 ? threads : 1, [&](const Team& team) {
    if (dx) {
      const Range mine = share(ptrdiff_t(shape.strips.size()), team.index, team.count);
      for (ptrdiff_t s = mine.begin; s < mine.end; ++s) {
        const Panel& strip = shape.strips[size_t(s)];
        T* transposed = strips + strip.col * shape.out_padded;
        net.transpose_strip(1, packed, strip, transposed);
        net.propagate(1, transposed, {0, n}, strip, ws);
      }
    }
    const Range mine = share(ptrdiff_t(shape.panels.size()), team.index, team.count);
    for (ptrdiff_t p = mine.begin; p < mine.end; ++p) {
      const Panel& panel = shape.panels[size_t(p)];
      net.weight_gradient(1, n, {0, n_in}, panel,
                          gradient + shape.packed_w + panel.col * shape.in_padded, false, ws);
      net.bias_gradient(1, n, panel, gradient + shape.packed_b + panel.col, false, ws);
    }
  });
  if (dx) copy_rows(below.d, ld_in, dx, n_in, n, n_in);
  unpack(net.layout, gradient, flat.data());
  std::copy_n(flat.begin() + shape.flat_w, n_in * n_out, dw);
  std::copy_n(flat.begin() + shape.flat_b, n_out, db);
}

#define MLPFAST_INSTANTIATE(T)                                                                   \
  template void layer_forward(const Kernels<T>&, const LayerArrays<T>&, T*, int);                \
  template void layer_backward(const Kernels<T>&, const LayerArrays<T>&, const T*, const T*, T*, \
                               T*, T*, int);
MLPFAST_INSTANTIATE(float)
MLPFAST_INSTANTIATE(double)

}  // namespace mlpfast
