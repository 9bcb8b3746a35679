// What a net and an optimizer are: plain data that the Python side has checked.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "../kernels/kernels.hpp"
#include "../kernels/traits.hpp"

namespace mlpfast {

// In the order of REDUCTIONS in spec/losses.py.
enum class Reduction { mean, sum, mean_over_rows };

struct NetSpec {
  std::vector<ptrdiff_t> sizes;         // inputs, hidden layers, outputs
  std::vector<Activation> activations;  // one a layer, the output's last
  Loss loss = Loss::mse;
  double loss_parameter = 0;  // delta of huber, quantile of quantile
  Reduction reduction = Reduction::mean;
  bool bias = true;
  std::vector<double> dropout;  // rates of the inputs of every layer, or empty

  double dropout_of_input(size_t l) const { return dropout.empty() ? 0.0 : dropout[l]; }
  // Whether sample weights scale the loss only: the mean is then over the number of rows.
  bool counts_rows() const { return reduction == Reduction::mean_over_rows; }

  template <class T>
  Slopes<T> slopes() const {
    const Slopes<double> exact = traits(loss).slopes(loss_parameter);
    return {T(exact.low), T(exact.high)};
  }
};

enum class Rule { sgd, adam, adamw, rmsprop };

struct OptimizerSpec {
  Rule rule = Rule::sgd;
  double momentum = 0, beta_1 = 0, beta_2 = 0, epsilon = 0, weight_decay = 0;
  // Variants of the rules.
  bool nesterov = false, scaled_velocity = false, epsilon_hat = false, epsilon_in_root = false;
  double clip_norm = 0, clip_value = 0;  // of the gradient; 0 for none
};

// A half-open range of indices, and the even share of it that one of `count` workers takes.
struct Range {
  ptrdiff_t begin = 0, end = 0;
  ptrdiff_t size() const { return end - begin; }
};

inline Range share(ptrdiff_t n, ptrdiff_t index, ptrdiff_t count) {
  return {n * index / count, n * (index + 1) / count};
}

inline ptrdiff_t round_up(ptrdiff_t n, ptrdiff_t to) { return (n + to - 1) / to * to; }

}  // namespace mlpfast
