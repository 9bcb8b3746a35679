// Updates with a gradient that is clipped first, for which all of it must be known: the gradient is
// then kept, and the update is not the epilogue of a product.
#pragma once

#include <vector>

#include "../spans.hpp"
#include "../thread_pool.hpp"
#include "step.hpp"

namespace mlpfast {

template <class T>
class ClippedUpdate {
 public:
  explicit ClippedUpdate(const Network<T>& net);

  // Updates the state with the packed gradient, which is changed. Called by every member of a team
  // once the gradient is complete, with begin_step done.
  void run(const Team& team, const Step<T>& step, const WeightUpdate<T>& update, T* gradient);

 private:
  double norm() const;

  const Network<T>& net_;
  const std::vector<Span> spans_;
  std::vector<double> squares_;  // of the gradient in each span
};

}  // namespace mlpfast
