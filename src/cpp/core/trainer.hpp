// Epochs of mini-batch training in one call: parameters stay packed from the first to the last.
#pragma once

#include <atomic>
#include <memory>

#include "clipped_update.hpp"
#include "plans/plan.hpp"
#include "plans/tiny_plan.hpp"
#include "run.hpp"
#include "weight_squares.hpp"

namespace mlpfast {

template <class T>
class Trainer {
 public:
  Trainer(std::shared_ptr<const Network<T>> net, const OptimizerSpec& optimizer);

  // Trains `flat` (n_params). Throws std::runtime_error while another thread is in here. After
  // `diverged` or `bad_input` it holds the parameters from before the epoch in question; the
  // moments are then not to be relied on.
  RunResult run(const RunArgs<T>& args, T* flat);

  int64_t steps() const { return steps_; }
  bool has_m() const { return state_.m != nullptr; }
  bool has_v() const { return state_.v != nullptr; }
  void get_moments(T* m, T* v) const;
  void set_moments(int64_t steps, const T* m, const T* v);

 private:
  RunResult run_epochs(const RunArgs<T>& args, ptrdiff_t epochs);
  void train(const Team& team, const RunArgs<T>& args, ptrdiff_t epochs, RunResult& result);
  bool save(const Team& team);
  double penalty(const Step<T>& step, double weight) const;

  std::shared_ptr<const Network<T>> net_;
  Optimizer<T> optimizer_;
  std::unique_ptr<ClippedUpdate<T>> clipped_;  // or null
  std::unique_ptr<WeightSquares<T>> squares_;  // where the l2 term is reported, else null
  Arena arena_;
  State<T> state_;
  int64_t steps_ = 0;
  // Of the two plans one is in use, whichever suits the batches of a run.
  std::unique_ptr<Plan<T>> plan_;
  std::unique_ptr<TinyPlan<T>> tiny_;
  bool repeats_ = false;  // whether plan_ was made for steps that all have the same batch
  std::atomic_flag busy_ = ATOMIC_FLAG_INIT;
  // Both are written before a sync, read by all after it. What a member may still be reading of the
  // one, another must not yet write: hence two.
  std::atomic<bool> go_on_{true}, finite_{true};
  T* saved_ = nullptr;  // takes the weights after each epoch of a large net, or null
};

}  // namespace mlpfast
