// A forward pass with buffers of its own.
#include "predictor.hpp"

namespace mlpfast {

template <class T>
Predictor<T>::Predictor(std::shared_ptr<const Network<T>> net) : net_(std::move(net)) {
  const auto offsets = RowMajorPass<T>::reserve(*net_, arena_, kMaxRows, false);
  arena_.commit();
  pass_.emplace(*net_, arena_, offsets, kMaxRows, false);
}

template <class T>
bool Predictor<T>::run(const T* flat, const T* x, ptrdiff_t n, T* out) {
  if (busy_.test_and_set(std::memory_order_acquire)) return false;
  const Network<T>& net = *net_;
  const ptrdiff_t n_in = net.spec.sizes.front(), n_out = net.spec.sizes.back();
  if (n == 1)
    run_row(flat, x);
  else
    pass_->forward_all([&](const Layer& layer) { return flat_view(layer, flat); }, x,
                       row_major(net, n_in), n);
  copy_rows(pass_->layers.back().a, net.last().ld, out, n_out, n, n_out);
  busy_.clear(std::memory_order_release);
  return true;
}

template <class T>
void Predictor<T>::run_row(const T* flat, const T* x) const {
  const Kernels<T>& kernels = net_->kernels;
  for (size_t l = 0; l < net_->depth(); ++l) {
    const Layer& layer = net_->layout.layers[l];
    const WeightView<T> view = flat_view(layer, flat);
    const auto& buffers = pass_->layers[l];
    kernels.gemv(x, view.w, view.ldb, view.bias, layer.n_in, layer.out_padded, buffers.z);
    if (layer.activation != Activation::identity)
      kernels.activate[int(layer.activation)](buffers.z, buffers.a, 1, layer.n_out, layer.ld);
    x = buffers.a;
  }
}

template class Predictor<float>;
template class Predictor<double>;

}  // namespace mlpfast
