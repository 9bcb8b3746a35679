// The plan for small nets on a few rows a batch: many steps in one call of a kernel.
//
// Such a step is shorter than the way through a plan and its kernels. So the rows of some steps are
// gathered first, or once for all where every step has the same, and the kernel makes the steps
// with the rows in the lanes of its vectors. One thread does it all.
#pragma once

#include <atomic>
#include <vector>

#include "../optimizer.hpp"
#include "../run.hpp"
#include "plan.hpp"

namespace mlpfast {

template <class T>
class TinyPlan {
 public:
  // Whether it is the plan for batches of that many rows.
  static bool suits(const Network<T>& net, ptrdiff_t rows);

  // For batches of up to `rows` rows, trained by `optimizer`, or by none, for gradients alone.
  TinyPlan(const Network<T>& net, ptrdiff_t rows, const Optimizer<T>* optimizer);

  bool fits(ptrdiff_t rows) const { return row_vectors(rows) == steps_.row_vectors; }

  // Trains the packed state; `t` counts the steps.
  void train(const RunArgs<T>& args, ptrdiff_t epochs, Optimizer<T>& optimizer, int64_t& t,
             const State<T>& state, RunResult& result);

  // Writes the gradient of the loss on all rows, flat as the parameters. Only the loss and the
  // weight of the totals are set. Returns false for a row of x that is not finite.
  bool gradient(const Data<T>& data, const T* flat, T* grad, Totals& totals);

 private:
  // Steps that the kernel makes in one call; their rows are gathered before.
  static constexpr ptrdiff_t kSteps = 64;

  int row_vectors(ptrdiff_t rows) const;
  ptrdiff_t gather(const Batch<T>& batch, T* to, double& weight);
  void set_l2(const RunArgs<T>& args);
  void set_scalars(size_t k, Optimizer<T>& optimizer, int64_t t, double lr);

  const Network<T>& net_;
  ptrdiff_t stride_;  // rows that the lanes of a unit hold
  Arena arena_;
  T *row_, *batches_, *l2_;
  std::vector<TinyLayer<T>> layers_;
  std::vector<TinyTerm<T>> terms_;
  std::vector<UpdateSpan<T>> scalars_;
  std::vector<double> rates_;  // learning rates that the scalars are for
  std::vector<double> totals_, weights_;
  TinySteps<T> steps_ = {};
};

}  // namespace mlpfast
