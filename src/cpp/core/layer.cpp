// The two layer kernels: a net of one layer, its arrays mostly copied into padded buffers.
#include "layer.hpp"

#include <algorithm>

#include "passes/row_major.hpp"
#include "runner.hpp"
#include "thread_pool.hpp"

namespace mlpfast {
namespace {

constexpr ptrdiff_t kRowsWorthCopying = 48;
// Rows that the backward kernel takes at a time: its copies stay this small.
constexpr ptrdiff_t kBackwardRows = 512;

template <class T>
Network<T> net_of(const Kernels<T>& kernels, const LayerArrays<T>& layer) {
  NetSpec spec;
  spec.sizes = {layer.n_in, layer.n_out};
  spec.activations = {layer.activation};
  return Network<T>(spec, kernels);
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

// The rows of w that belong to a strip of inputs, as columns: to[j * width + i] = w[col + i][j].
template <class T>
void transpose_rows(const Kernels<T>& kernels, const LayerArrays<T>& layer, const Panel& strip,
                    T* to) {
  // The kernel reads whole vectors of rows; rows beyond the end of w stay 0.
  const ptrdiff_t there = std::min(strip.width, layer.n_in - strip.col);
  const ptrdiff_t whole = there / kernels.lanes * kernels.lanes;
  const T* from = layer.w + strip.col * layer.n_out;
  kernels.transpose(from, layer.n_out, whole, layer.n_out, to, strip.width);
  for (ptrdiff_t i = whole; i < there; ++i)
    for (ptrdiff_t j = 0; j < layer.n_out; ++j) to[j * strip.width + i] = from[i * layer.n_out + j];
}

}  // namespace

template <class T>
void layer_forward(const Kernels<T>& kernels, const LayerArrays<T>& layer, T* out, int threads) {
  if (layer.n == 0 || layer.n_out == 0) return;
  const Network<T> net = net_of(kernels, layer);
  // For a few rows a copy of w would cost more than the product. w is read in place if its rows are
  // whole vectors: nothing behind the last row may be read.
  if (layer.n < kRowsWorthCopying && layer.n_out % kernels.lanes == 0) {
    Arena arena;
    const auto offsets = RowMajorPass<T>::reserve(net, arena, layer.n, false);
    arena.commit();
    const RowMajorPass<T> pass(net, arena, offsets, layer.n, false);
    pass.forward(0, {layer.w, layer.b, 1, layer.n_out}, layer.x, row_major(net, layer.n_in),
                 {0, layer.n}, {0, ptrdiff_t(net.last().panels.size())});
    copy_rows(pass.layers[0].a, net.last().ld, out, layer.n_out, layer.n, layer.n_out);
    return;
  }
  const std::vector<T> flat = flat_of(layer);
  Data<T> data;
  data.x = reinterpret_cast<const char*>(layer.x);
  data.x_stride = layer.n_in * ptrdiff_t(sizeof(T));
  data.x_type = own_type<T>();
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
  const ptrdiff_t block = std::clamp<ptrdiff_t>(n, 1, kBackwardRows);
  Arena arena;
  const auto offsets = RowMajorPass<T>::reserve(net, arena, block, true);
  const ptrdiff_t strips_at = arena.reserve_array<T>(dx ? shape.in_padded * shape.out_padded : 0);
  const ptrdiff_t gradient_at = arena.reserve_array<T>(net.layout.packed_size);
  arena.commit();
  const RowMajorPass<T> pass(net, arena, offsets, block, true);
  const auto& below = pass.layers[0];
  const auto& own = pass.layers[1];
  T* strips = arena.at<T>(strips_at);
  T* gradient = arena.at<T>(gradient_at);
  const ptrdiff_t ld_in = net.layout.layers[0].ld;

  if (dx)
    for (const Panel& strip : shape.strips)
      transpose_rows(kernels, layer, strip, strips + strip.col * shape.out_padded);
  for (ptrdiff_t begin = 0; begin < n; begin += block) {
    const ptrdiff_t rows = std::min(block, n - begin);
    copy_rows(layer.x + begin * n_in, n_in, below.a, ld_in, rows, n_in);
    copy_rows(kept + begin * n_out, n_out, own.a, shape.ld, rows, n_out);
    copy_rows(grad_a + begin * n_out, n_out, own.d, shape.ld, rows, n_out);
    if (layer.activation != Activation::identity)
      kernels.derive[int(layer.activation)](own.a, own.d, rows, n_out, shape.ld);
    // The padding may hold anything by now and must not enter the sums.
    for (ptrdiff_t i = 0; i < rows; ++i)
      std::fill(own.d + i * shape.ld + n_out, own.d + (i + 1) * shape.ld, T(0));

    run_in_team(rows * n_in * n_out > 500000 ? threads : 1, [&](const Team& team) {
      Range mine = share(dx ? ptrdiff_t(shape.strips.size()) : 0, team.index, team.count);
      for (ptrdiff_t s = mine.begin; s < mine.end; ++s) {
        const Panel& strip = shape.strips[size_t(s)];
        pass.propagate(1, strips + strip.col * shape.out_padded, {0, rows}, strip);
      }
      mine = share(ptrdiff_t(shape.panels.size()), team.index, team.count);
      for (ptrdiff_t p = mine.begin; p < mine.end; ++p) {
        const Panel& panel = shape.panels[size_t(p)];
        pass.weight_gradient(1, rows, {0, n_in}, panel,
                             gradient + shape.packed_w + panel.col * shape.in_padded, begin > 0);
        pass.bias_gradient(1, rows, panel, gradient + shape.packed_b + panel.col, begin > 0);
      }
    });
    if (dx) copy_rows(below.d, ld_in, dx + begin * n_in, n_in, rows, n_in);
  }
  std::vector<T> flat(size_t(net.layout.n_params));
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
