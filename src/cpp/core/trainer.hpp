// Epochs of mini-batch training in one call: parameters stay packed from the first to the last.
#pragma once

#include <atomic>
#include <memory>

#include "plans/plan.hpp"

namespace mlpfast {

template <class T>
class Trainer {
 public:
  Trainer(std::shared_ptr<const Network<T>> net, const OptimizerSpec& optimizer);

  // Trains `flat` (n_params). Throws std::runtime_error while another thread is in here. After
  // `diverged` or `bad_input` it holds the parameters from before the failing epoch, and the
  // moments are undefined.
  RunResult run(const RunArgs<T>& args, T* flat);

  // The plan for such a run.
  PlanChoice choose(const RunArgs<T>& args) const;
  // That of the last run, or null.
  const Plan<T>* plan() const { return plan_.get(); }

  int64_t steps() const { return steps_; }
  bool has_m() const { return state_.m != nullptr; }
  bool has_v() const { return state_.v != nullptr; }
  void get_moments(T* m, T* v) const;
  void set_moments(int64_t steps, const T* m, const T* v);

 private:
  RunResult run_epochs(const RunArgs<T>& args, ptrdiff_t epochs, T* saved);

  std::shared_ptr<const Network<T>> net_;
  Optimizer<T> optimizer_;
  Arena arena_;
  State<T> state_;
  int64_t steps_ = 0;
  std::unique_ptr<Plan<T>> plan_;
  std::atomic_flag busy_ = ATOMIC_FLAG_INIT;
};

}  // namespace mlpfast
