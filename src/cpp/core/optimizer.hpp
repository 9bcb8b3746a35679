// How a gradient becomes a step: folds hyperparameters into the scalars of the update kernels.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>

#include "spec.hpp"

namespace mlpfast {

// Knows nothing of the net: it updates spans of parameters.
template <class T>
class Optimizer {
 public:
  explicit Optimizer(const OptimizerSpec& spec) : spec_(spec) {}

  bool has_m() const { return kind() != Update::scaled_sum; }
  bool has_v() const { return kind() == Update::adam || kind() == Update::rmsprop; }
  // Whether a step without an l2 term is w += rate * g and nothing else, so that the rate can be
  // folded into the deltas and the product of the backward pass can add to w directly.
  bool is_scaled_sum() const { return kind() == Update::scaled_sum; }
  // Whether the gradient is clipped before it is used: see ClippedUpdate.
  bool clips() const { return spec_.clip_norm > 0 || spec_.clip_value > 0; }
  double clip_norm() const { return spec_.clip_norm; }
  double clip_value() const { return spec_.clip_value; }
  Update kind() const {
    switch (spec_.rule) {
      case Rule::sgd:
        return spec_.momentum == 0 ? Update::scaled_sum : Update::momentum;
      case Rule::rmsprop:
        return Update::rmsprop;
      default:
        return Update::adam;
    }
  }

  // Sets the scalars of step `t`, counted from 1.
  void begin_step(int64_t t, double lr) {
    UpdateSpan<T>& s = scalars_;
    // The learning rate scales the step made from m, or else what m accumulates.
    const double gain = spec_.scaled_velocity ? -lr : 1.0;
    const double step = spec_.scaled_velocity ? 1.0 : -lr;
    s = {};
    s.decay = T(1);
    s.gain = T(gain);
    s.rate = T(-lr);
    switch (kind()) {
      case Update::momentum:
        s.beta_1 = T(spec_.momentum);
        s.rate = T(spec_.nesterov ? step * spec_.momentum : step);
        s.rate_g = T(spec_.nesterov ? -lr : 0.0);
        break;
      case Update::adam: {
        // The bias corrections of m and v, folded into the rate and epsilon.
        raise_powers(t);
        const double root = std::sqrt(1 - power_2_);
        s.rate = T(-lr * root / (1 - power_1_));
        s.epsilon = positive(spec_.epsilon * (spec_.epsilon_hat ? 1.0 : root));
        s.decay = T(1 - lr * spec_.weight_decay);
        s.beta_1 = T(spec_.beta_1);
        s.beta_2 = T(spec_.beta_2);
        s.one_minus_beta_1 = T(1 - spec_.beta_1);
        s.one_minus_beta_2 = T(1 - spec_.beta_2);
        break;
      }
      case Update::rmsprop:
        s.rate = T(step);
        (spec_.epsilon_in_root ? s.inner : s.epsilon) = positive(spec_.epsilon);
        s.beta_1 = T(spec_.momentum);
        s.beta_2 = T(spec_.beta_2);
        s.one_minus_beta_2 = T(1 - spec_.beta_2);
        break;
      default:
        break;
    }
  }

  const UpdateSpan<T>& scalars() const { return scalars_; }

  // m and v may be null where the rule does not use them.
  void update(const Kernels<T>& kernels, T* w, T* m, T* v, const T* g, ptrdiff_t n,
              double l2) const {
    UpdateSpan<T> s = scalars_;
    s.w = w;
    s.m = m;
    s.v = v;
    s.g = g;
    s.n = n;
    s.l2 = T(l2);
    kernels.update[int(kind())](s);
  }

 private:
  static T positive(double x) { return std::max(T(x), std::numeric_limits<T>::min()); }

  // Raises the betas to the power of t. The next step costs two products; starting afresh every 64
  // steps keeps their rounding errors from piling up. The result depends on t alone, not on the
  // steps that were begun before.
  void raise_powers(int64_t t) {
    constexpr int64_t kFresh = 64;
    if (t != t_ + 1 || t % kFresh == 0) {
      t_ = t - t % kFresh;
      power_1_ = std::pow(spec_.beta_1, double(t_));
      power_2_ = std::pow(spec_.beta_2, double(t_));
    }
    for (; t_ < t; ++t_) {
      power_1_ *= spec_.beta_1;
      power_2_ *= spec_.beta_2;
    }
  }

  OptimizerSpec spec_;
  int64_t t_ = -1;  // of the powers
  double power_1_ = 1, power_2_ = 1;
  UpdateSpan<T> scalars_ = {};
};

}  // namespace mlpfast
