// How the gradient of a batch is computed and turned into a step: the interface of the plans.
//
// A plan is made for a net, a batch size and a number of threads. Which one it is and how it cuts
// up the work depends on the first two alone, so that the threads do not change the result.
#pragma once

#include <memory>

#include "../arena.hpp"
#include "../data.hpp"
#include "../network.hpp"
#include "../optimizer.hpp"
#include "../thread_pool.hpp"
#include "../totals.hpp"

namespace mlpfast {

// Parameters and moments, packed; m and v may be null.
template <class T>
struct State {
  T* w = nullptr;
  T* m = nullptr;
  T* v = nullptr;
};

// For less work in a step, the barriers cost more than another thread brings.
constexpr double kStepFlopsWorthAThread = 3e6;

// What is to be done with a batch.
template <class T>
struct Step {
  Batch<T> batch;
  // The batch of the next call, or one without rows: a plan may begin to read it. `announced` says
  // whether the last call named this step's batch.
  Batch<T> next;
  bool announced = false;
  State<T> state;
  // Updates the state, with begin_step done; null leaves the gradient in Plan::gradient().
  const Optimizer<T>* optimizer = nullptr;
  double lr = 0;
  const double* l2 = nullptr;  // a factor for each layer; null where all are 0
  double l2_share = 1;         // by which all are multiplied
  bool want_metrics = false;
  DropoutStep dropout;  // first_row is 0

  double l2_of(size_t layer) const { return l2 ? l2_share * l2[layer] : 0.0; }
};

template <class T>
class Plan {
 public:
  virtual ~Plan() = default;

  // Called by every member of a team of at most team_size(), all with the same step.
  virtual void step(const Team& team, const Step<T>& step) = 0;

  bool fits(ptrdiff_t rows, int threads) const { return rows == rows_ && threads == threads_; }
  // Threads that are worth waking for a batch of the planned size.
  int team_size() const { return team_size_; }
  // Whether they are worth it wherever they run.
  Reach reach() const { return reach_; }

  // Of the last step. `totals` and `bad_row`, the first row of x that is not finite or -1, are for
  // member 0 at once, and for all after a sync, as is the packed gradient.
  const Totals& totals() const { return totals_; }
  ptrdiff_t bad_row() const { return bad_row_; }
  T* gradient() const { return gradients_; }

 protected:
  Plan(const Network<T>& net, ptrdiff_t rows, int threads);

  // One update of `n` parameters from offset `at` on, with gradient g. The l2 term is for weights,
  // not for biases.
  static void update(const Network<T>& net, const Step<T>& step, ptrdiff_t at, const T* g,
                     ptrdiff_t n, double l2);

  const Network<T>& net_;
  const ptrdiff_t rows_;
  const int threads_;
  int team_size_;
  Reach reach_ = Reach::any;
  Arena arena_;
  T* gradients_ = nullptr;
  Totals totals_;
  ptrdiff_t bad_row_ = -1;
};

// `fused`: every step will have an optimizer, so that a gradient need not be kept. `repeated`: the
// steps of a run all have the same batch, so that what was read of it may be kept.
template <class T>
std::unique_ptr<Plan<T>> make_plan(const Network<T>& net, ptrdiff_t rows, int threads, bool fused,
                                   bool repeated = false);

}  // namespace mlpfast
