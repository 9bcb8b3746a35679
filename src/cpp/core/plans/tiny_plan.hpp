// The plan for small nets on a few rows a batch: many steps in one call of a kernel.
//
// Such a step is shorter than the calls of another plan's kernels. So the rows of some steps are
// gathered first, or once for all where every step has the same, and one kernel makes the steps
// with the rows in the lanes of its vectors. One thread does it all.
#pragma once

#include <atomic>
#include <vector>

#include "plan.hpp"

namespace mlpfast {

template <class T>
class TinyPlan final : public Plan<T> {
 public:
  // Unless the choice is `fused`, the plan only computes gradients.
  TinyPlan(const Network<T>& net, const PlanChoice& choice);
  // Fills in how the plan cuts up its work: the rows of a batch are padded to some vectors.
  static void partition(const Network<T>& net, PlanChoice& choice);

  void train(const RunArgs<T>& args, ptrdiff_t epochs, Training<T>& training,
             RunResult& result) override;
  bool gradient(const Data<T>& data, const T* flat, T* grad, Totals& totals) override;

 private:
  // Steps that the kernel makes in one call; their rows are gathered before.
  static constexpr ptrdiff_t kSteps = 64;

  ptrdiff_t gather(const Batch<T>& batch, T* to, double& weight);
  void set_l2(const RunArgs<T>& args);
  void set_scalars(size_t k, Optimizer<T>& optimizer, int64_t t, double lr);

  ptrdiff_t stride_;  // rows that the lanes of a unit hold
  T *row_, *batches_, *l2_;
  std::vector<TinyLayer<T>> layers_;
  std::vector<TinyTerm<T>> terms_;
  std::vector<UpdateSpan<T>> scalars_;
  std::vector<double> rates_;  // learning rates that the scalars are for
  std::vector<double> totals_, weights_;
  TinySteps<T> steps_ = {};
};

}  // namespace mlpfast
