// The sum of the squares of each layer's weights, without the biases: what l2 terms are made of.
#pragma once

#include <vector>

#include "../spans.hpp"
#include "../thread_pool.hpp"

namespace mlpfast {

template <class T>
class WeightSquares {
 public:
  explicit WeightSquares(const Network<T>& net);

  // Adds up this member's share of the packed parameters, which are only read.
  void add_up(const Team& team, T* packed);
  // Valid for all members after a sync that follows `add_up`.
  double sum(size_t layer) const;

 private:
  const Network<T>& net_;
  std::vector<Span> spans_;
  std::vector<double> squares_;  // of the weights in each span
};

}  // namespace mlpfast
