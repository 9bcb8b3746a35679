// Sums over rows: the loss of a pass, and the metrics that are reported with it.
#pragma once

#include <initializer_list>

namespace mlpfast {

// Weighted; in the order of TOTALS in backends/base.py.
struct Totals {
  double loss = 0, weight = 0, correct = 0, squared_error = 0, absolute_error = 0, penalty = 0;

  void add(const Totals& o) {
    loss += o.loss;
    weight += o.weight;
    correct += o.correct;
    squared_error += o.squared_error;
    absolute_error += o.absolute_error;
    penalty += o.penalty;
  }
  void scale(double factor) {
    for (double* value : {&loss, &weight, &correct, &squared_error, &absolute_error, &penalty})
      *value *= factor;
  }
};

}  // namespace mlpfast
