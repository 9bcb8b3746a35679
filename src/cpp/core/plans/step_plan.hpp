// The plans that work step by step: what a step is, and the loop over epochs and batches.
#pragma once

#include <atomic>

#include "clipped_update.hpp"
#include "plan.hpp"
#include "step.hpp"
#include "weight_squares.hpp"

namespace mlpfast {

template <class T>
class StepPlan : public Plan<T> {
 public:
  void train(const RunArgs<T>& args, ptrdiff_t epochs, Training<T>& training,
             RunResult& result) final;
  bool gradient(const Data<T>& data, const T* flat, T* grad, Totals& totals) final;

 protected:
  using Plan<T>::Plan;

  // Threads that are worth waking for the work of a step.
  static int team_for(const Network<T>& net, ptrdiff_t rows, int threads);

  // Called by every member of a team of at most choice().team, all with the same step.
  virtual void step(const Team& team, const Step<T>& step) = 0;

  // Of the last step. `totals_` and `bad_row_`, the first row of x that is not finite or -1, are
  // for member 0 at once, and for all after a sync, as is the packed gradient.
  Totals totals_;
  ptrdiff_t bad_row_ = -1;
  T* gradients_ = nullptr;

 private:
  // A run of epochs that a team makes.
  struct Run {
    const RunArgs<T>& args;
    ptrdiff_t epochs;
    Training<T>& training;
    RunResult& result;
    // Both are written before a sync and read by all after it. There are two because one member may
    // still be reading the first while another writes the second.
    std::atomic<bool> go_on{true}, finite{true};
  };
  void train_in_team(const Team& team, Run& run);
  bool save(const Team& team, Run& run) const;
  double penalty(const Step<T>& step, double weight) const;

  std::unique_ptr<ClippedUpdate<T>> clipped_;  // where gradients are clipped, else null
  std::unique_ptr<WeightSquares<T>> squares_;  // where the l2 term is reported, else null
  Arena packed_;                               // weights that a gradient is computed for
  int have_read_ = 0;  // members of a team that have read the rows of that gradient
};

}  // namespace mlpfast
