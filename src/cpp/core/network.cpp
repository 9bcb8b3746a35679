// What follows from the specification: sizes, work, and what fits into the cache.
#include "network.hpp"

#include <algorithm>

namespace mlpfast {
namespace {

// A large second-level cache. Where it is smaller, the third level keeps up: a product uses each
// element that it fetches 64 times. Smaller parts would mean transposing weights more often.
constexpr ptrdiff_t kCachedBytes = 2097152;

}  // namespace

template <class T>
Network<T>::Network(const NetSpec& s, const Kernels<T>& k)
    : spec(s), kernels(k), layout(s, k.lanes, k.tile, k.panel, ptrdiff_t(sizeof(T))) {}

template <class T>
double Network<T>::flops_forward() const {
  double flops = 0;
  for (const Layer& layer : layout.layers) flops += 2.0 * double(layer.n_in * layer.n_out);
  return flops;
}

template <class T>
double Network<T>::flops_training() const {
  const Layer& first = layout.layers.front();
  return 3.0 * flops_forward() - 2.0 * double(first.n_in * first.n_out);
}

template <class T>
ptrdiff_t Network<T>::row_bytes() const {
  ptrdiff_t elements = layout.ld_input;
  for (const Layer& layer : layout.layers) elements += layer.ld * (1 + layer.keeps_z);
  return elements * ptrdiff_t(sizeof(T));
}

template <class T>
ptrdiff_t Network<T>::rows_in_cache(ptrdiff_t units) const {
  return std::max<ptrdiff_t>(kCachedBytes / ptrdiff_t(sizeof(T)) / units, 64);
}

template <class T>
Dropout<T> Network<T>::dropout_of_input(size_t l, const DropoutStep& step) const {
  const double rate = spec.dropout[l];
  Dropout<T> d{};
  d.key = {{step.key[0], step.key[1]}, uint32_t(l), uint32_t(rate * 4294967296.0)};
  d.scale = T(1.0 / (1.0 - rate));
  d.row = step.first_row;
  return d;
}

template class Network<float>;
template class Network<double>;

}  // namespace mlpfast
