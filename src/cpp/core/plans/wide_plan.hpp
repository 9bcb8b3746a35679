// The plan for nets with many parameters: the threads share every layer.
//
// The whole batch goes through a layer before the next one; each thread computes some rows or
// panels of a phase's output, with a barrier in between. The optimizer's update is the
// epilogue of the weight gradient's product.
#pragma once

#include <vector>

#include "../passes/row_major.hpp"
#include "step_plan.hpp"

namespace mlpfast {

template <class T>
class WidePlan final : public StepPlan<T> {
 public:
  WidePlan(const Network<T>& net, const PlanChoice& choice);
  // Fills in how the plan cuts up its work.
  static void partition(const Network<T>& net, int threads, PlanChoice& choice);

 private:
  void step(const Team& team, const Step<T>& step) override;

  // A part of a phase's output.
  struct Tile {
    Range rows, panels;
  };
  static Tile tile(ptrdiff_t rows, ptrdiff_t panels, const Team& team);

  // A block of the batch's rows, and what is done with its weight gradient.
  struct Block {
    ptrdiff_t rows;
    bool first, last;   // of the batch
    bool onto_weights;  // the deltas hold the learning rate: the product adds to the weights
  };

  // Private buffers of a thread.
  struct Member {
    RowMajorPass<T> pass;  // all its buffers but, perhaps, the inputs are shared
    T* transposed;         // a strip of weights
    T* piece;              // a piece of the weight gradient
    ptrdiff_t bad_row = -1;
    // Of the next batch, whose inputs may have been read already.
    bool has_next = false;
    ptrdiff_t next_bad_row = -1;
  };

  void gather(const Team& team, const Step<T>& step, Range rows, T scale);
  bool reads_next(const Step<T>& step) const {
    return private_inputs_ && step.next.rows > 0 && step.next.rows <= block_rows_ &&
           step.batch.rows <= block_rows_;
  }
  void read_next(const Step<T>& step, Member& me) const;
  void forward(const Team& team, const Step<T>& step, const Block& block);
  void backward(const Team& team, const Step<T>& step, const Block& block);
  void weights(const Team& team, const Step<T>& step, const Block& block, size_t l);
  void biases(const Team& team, const Step<T>& step, const Block& block, size_t l,
              const Panel& panel);

  ptrdiff_t block_rows_;
  // Whether each thread reads the inputs into memory of its own. Fetching a line that another core
  // has just written costs as much as fetching it from the caller's array, which can be prefetched.
  bool private_inputs_;
  std::vector<Member> members_;
};

}  // namespace mlpfast
