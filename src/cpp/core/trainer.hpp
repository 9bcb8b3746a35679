// Epochs of mini-batch training in one call: parameters stay packed from the first to the last.
#pragma once

#include <atomic>
#include <functional>
#include <memory>

#include "plan.hpp"

namespace mlpfast {

enum class Status { ok, interrupted, diverged, bad_input };

// Says from outside whether to go on.
struct Poll {
  const volatile uint8_t* stop = nullptr;  // anybody may set it
  std::function<bool()> check;             // called now and then; true ends the run
};

template <class T>
struct RunArgs {
  Data<T> data;
  const int64_t* orders = nullptr;  // (epochs, data.n), or null
  const double* learning_rates = nullptr;
  ptrdiff_t epochs = 0, batch_size = 1;
  double l2 = 0;
  bool want_metrics = false;
  int threads = 1;
  Poll poll;
};

struct RunResult {
  Status status = Status::ok;
  ptrdiff_t bad_row = -1;
  std::vector<Totals> totals;  // of the epochs that were done, and of an interrupted one
};

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

  std::shared_ptr<const Network<T>> net_;
  Optimizer<T> optimizer_;
  Arena arena_;
  State<T> state_;
  int64_t steps_ = 0;
  std::unique_ptr<Plan<T>> plan_;
  std::atomic_flag busy_ = ATOMIC_FLAG_INIT;
  bool go_on_ = true;  // written by member 0 before a sync, read by all after it
};

}  // namespace mlpfast
