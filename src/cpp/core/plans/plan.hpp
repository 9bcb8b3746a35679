// How a net is trained for some epochs, or its gradient computed: the interface of the plans.
#pragma once

#include "../arena.hpp"
#include "../run.hpp"
#include "choose_plan.hpp"
#include "weight_update.hpp"

namespace mlpfast {

// What a run of epochs changes.
template <class T>
struct Training {
  Optimizer<T>& optimizer;
  int64_t& steps;  // made so far
  State<T> state;
  T* saved = nullptr;  // takes the flat weights after each epoch but the last, or null
};

// Made for a net and a choice, neither of which changes.
template <class T>
class Plan {
 public:
  virtual ~Plan() = default;
  const PlanChoice& choice() const { return choice_; }

  // Trains some epochs. They end with the first batch that has a row of x that is not finite, or a
  // loss, where that is checked: the state is then undefined.
  virtual void train(const RunArgs<T>& args, ptrdiff_t epochs, Training<T>& training,
                     RunResult& result) = 0;

  // Writes the gradient of the reduced loss on all rows, flat as the parameters; the totals have at
  // least the loss and the weight. A plan for `repeated` steps is called with the same data again
  // and again. False, with nothing written, where rows that are not finite are left to a plan that
  // works step by step.
  virtual bool gradient(const Data<T>& data, const T* flat, T* grad, Totals& totals) = 0;

 protected:
  Plan(const Network<T>& net, const PlanChoice& choice) : net_(net), choice_(choice) {}

  const Network<T>& net_;
  const PlanChoice choice_;
  Arena arena_;
};

}  // namespace mlpfast
