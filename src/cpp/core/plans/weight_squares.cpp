// Squares from spans of a fixed size, added up in their order.
#include "weight_squares.hpp"

#include <algorithm>

namespace mlpfast {

template <class T>
WeightSquares<T>::WeightSquares(const Network<T>& net) : net_(net), spans_(spans_of(net)) {
  const auto is_bias = [](const Span& span) { return !span.is_weight; };
  spans_.erase(std::remove_if(spans_.begin(), spans_.end(), is_bias), spans_.end());
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
