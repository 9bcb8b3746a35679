// A forward pass with a workspace of its own.
#include "predictor.hpp"

namespace mlpfast {

template <class T>
Predictor<T>::Predictor(std::shared_ptr<const Network<T>> net) : net_(std::move(net)) {
  const auto offsets = net_->reserve(arena_, kMaxRows, false);
  arena_.commit();
  ws_ = net_->bind(arena_, offsets, false);
}

template <class T>
bool Predictor<T>::run(const T* flat, const T* x, ptrdiff_t n, T* out) {
  if (busy_.test_and_set(std::memory_order_acquire)) return false;
  const Network<T>& net = *net_;
  for (size_t l = 0; l < net.depth(); ++l) {
    const Layer& layer = net.layout.layers[l];
    net.forward(l, flat_view(layer, flat), l ? net.input_of(l, ws_) : x,
                l ? net.ld_input_of(l) : layer.n_in, {0, n}, {0, ptrdiff_t(layer.panels.size())},
                ws_);
  }
  const ptrdiff_t n_out = net.last().n_out, ld = net.last().ld;
  for (ptrdiff_t i = 0; i < n; ++i)
    for (ptrdiff_t j = 0; j < n_out; ++j) out[i * n_out + j] = ws_.layers.back().a[i * ld + j];
  busy_.clear(std::memory_order_release);
  return true;
}

template class Predictor<float>;
template class Predictor<double>;

}  // namespace mlpfast
