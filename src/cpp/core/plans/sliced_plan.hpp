// The plan for nets with one hidden layer and few parameters, on batches of a few hundred rows: the
// hidden units are shared out.
//
// The units are cut into slices, a number that does not depend on the threads. Who has a slice
// computes its outputs for all rows and what they add to the logits of the output layer; after one
// barrier, each thread adds these up, computes the deltas of the output layer for itself, goes back
// through its slices, and updates their weights, which no other thread reads. So no weight and no
// gradient goes from one core to another: where these share no cache that is most of the time of a
// small step.
//
// As in the narrow plan, the rows lie in the lanes of vectors.
#pragma once

#include <vector>

#include "../passes/unit_major.hpp"
#include "step_plan.hpp"

namespace mlpfast {

template <class T>
class SlicedPlan final : public StepPlan<T> {
 public:
  SlicedPlan(const Network<T>& net, const PlanChoice& choice);
  // Fills in how the plan cuts up its work.
  static void partition(const Network<T>& net, int threads, PlanChoice& choice);

 private:
  void step(const Team& team, const Step<T>& step) override;

  // Some hidden units, and their buffers.
  struct Slice {
    UnitMajorLayer<T> in, out;  // their weights on both sides
    T *z, *a, *d;               // (units, ld); z and a may be the same
    T* part;                    // what they add to the logits, (n_out, ld)
  };
  // Private buffers of a thread.
  struct Member {
    UnitMajorRows<T> in;
    RowReader<T> reader;
    T *z, *a, *d;  // of the output layer, (n_out, ld); z and a may be the same
    T* by_row;     // deltas of a slice or of the output layer (rows, units)
  };
  void prefetch_slice(const State<T>& state, const Slice& slice) const;
  void forward(const T* w, const Slice& slice, ptrdiff_t rows, const Member& me) const;
  void add_up(const Member& me) const;
  Totals loss(const Step<T>& step, ptrdiff_t n, ptrdiff_t rows, bool leads, const Member& me) const;
  void backward(const T* w, const Slice& slice, ptrdiff_t rows, const Member& me) const;
  void update_slice(const Step<T>& step, const Slice& slice) const;

  const Layer& hidden() const { return this->net_.layout.layers[0]; }
  const Layer& output() const { return this->net_.layout.layers[1]; }

  ptrdiff_t ld_;
  bool hidden_over_rows_, output_over_rows_;  // how the weight gradients are computed
  std::vector<Slice> slices_;
  std::vector<Member> members_;
};

}  // namespace mlpfast
