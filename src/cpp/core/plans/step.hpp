// What is to be done with a batch.
#pragma once

#include "../data.hpp"
#include "../network.hpp"
#include "weight_update.hpp"

namespace mlpfast {

template <class T>
struct Step {
  Batch<T> batch;
  // The batch of the next call, or one without rows: a plan may begin to read it. `announced` says
  // whether the last call named this step's batch.
  Batch<T> next;
  bool announced = false;
  State<T> state;
  const WeightUpdate<T>* update = nullptr;  // of the state; null leaves the gradient in the plan
  double lr = 0;
  const double* l2 = nullptr;  // a factor for each layer; null where all are 0
  double l2_share = 1;         // by which all are multiplied
  bool want_metrics = false;
  DropoutStep dropout;  // first_row is 0

  double l2_of(size_t layer) const { return l2 ? l2_share * l2[layer] : 0.0; }
};

}  // namespace mlpfast
