// Squares from spans of a fixed size, added up in their order.
#include "weight_squares.hpp"

#include <algorithm>

namespace mlpfast {
namespace {

constexpr ptrdiff_t kSpan = 2048;

}  // namespace

template <class T>
WeightSquares<T>::WeightSquares(const Network<T>& net) : net_(net) {
  for (size_t l = 0; l < net.depth(); ++l) {
    const Layer& layer = net.layout.layers[l];
    for (ptrdiff_t at = layer.packed_w; at < layer.packed_b; at += kSpan)
      spans_.push_back({at, std::min(kSpan, layer.packed_b - at), l});
  }
  squares_.resize(spans_.size());
}

template <class T>
void WeightSquares<T>::add_up(const Team& team, T* packed) {
  const Range mine = share(ptrdiff_t(spans_.size()), team.index, team.count);
  for (ptrdiff_t i = mine.begin; i < mine.end; ++i)
    squares_[size_t(i)] =
        net_.kernels.square_sum(packed + spans_[size_t(i)].at, nullptr, T(0), spans_[size_t(i)].n);
}

template <class T>
double WeightSquares<T>::sum(size_t layer) const {
  double sum = 0;
  for (size_t i = 0; i < spans_.size(); ++i)
    if (spans_[i].layer == layer) sum += squares_[i];
  return sum;
}

template class WeightSquares<float>;
template class WeightSquares<double>;

}  // namespace mlpfast
