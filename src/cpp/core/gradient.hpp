// The gradient of the loss on fixed rows, for parameters that change from call to call.
#pragma once

#include <atomic>
#include <memory>

#include "plans/plan.hpp"

namespace mlpfast {

template <class T>
class Gradient {
 public:
  // The net and what `data` points to must not change while this lives. `repeated`: there will be
  // many calls, so that the converted rows are kept from one to the next.
  Gradient(const Network<T>& net, const Data<T>& data, int threads, bool repeated);

  // Writes the flat gradient of the reduced loss and returns that loss. Throws std::runtime_error
  // while another thread is in here.
  double compute(const T* flat, T* grad);

 private:
  const Network<T>& net_;
  const Data<T> data_;
  PlanRequest request_;
  std::unique_ptr<Plan<T>> plan_;
  std::atomic_flag busy_ = ATOMIC_FLAG_INIT;
};

}  // namespace mlpfast
