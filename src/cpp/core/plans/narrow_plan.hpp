// The plan for nets with few parameters: rows are shared out, each thread takes them through the
// whole net.
//
// The batch is cut into groups of rows, a number that does not depend on the threads. A thread
// pushes a group through the net and back, a block of rows at a time that stays in the cache, into
// a gradient of the group's own. The gradients are then added up in pairs, pairs of pairs and so
// on; those that one thread has computed itself, it adds up at once.
//
// A block is unit-major: the rows lie in the lanes of vectors, so that a layer of one unit wastes
// nothing, and the weights are read as they are in both directions.
#pragma once

#include <vector>

#include "../passes/unit_major.hpp"
#include "step_plan.hpp"

namespace mlpfast {

template <class T>
class NarrowPlan final : public StepPlan<T> {
 public:
  NarrowPlan(const Network<T>& net, const PlanChoice& choice);
  // Fills in how the plan cuts up its work.
  static void partition(const Network<T>& net, int threads, PlanChoice& choice);

 private:
  void step(const Team& team, const Step<T>& step) override;

  // Buffers for a block of rows.
  struct Block {
    struct Buffers {
      T* a;        // outputs (n_out, ld)
      T* z;        // pre-activations where they are kept, else the same as a
      T* d;        // deltas (n_out, padded, ld)
      T* partial;  // sums of the weight gradient, see UnitGradient
    };
    RowReader<T> reader;
    T* by_row;  // deltas of one layer (rows, n_out padded)
    std::vector<Buffers> layers;
    DropoutStep dropout;
  };
  using Rows = UnitMajorRows<T>;
  // The results of a group of rows beside its gradient.
  struct GroupResult {
    Totals totals;
    ptrdiff_t bad_row;
  };
  // A block's rows, and whether it is the first or the last of its group.
  struct BlockRows {
    ptrdiff_t rows;  // padded
    bool first, last;
  };

  void run_group(const Team& team, const Step<T>& step, ptrdiff_t group, ptrdiff_t groups, T scale);
  // The memory that block `b` of a group is read into, its own where it is kept for the next step.
  Rows rows_of(ptrdiff_t group, ptrdiff_t b, const Team& team) const;
  void forward(const T* w, const Rows& in, ptrdiff_t rows, const Block& block) const;
  void backward(const T* w, const Rows& in, BlockRows part, T* gradient, const Block& block) const;
  void derive(size_t l, BlockRows part, T* gradient, const Block& block) const;
  void layer_gradient(size_t l, const Rows& in, BlockRows part, T* gradient,
                      const Block& block) const;
  UnitMajorLayer<T> whole(size_t l) const;
  // Drops inputs of layer l, `units` of them in each row.
  void drop(size_t l, const T* from, T* to, ptrdiff_t units, ptrdiff_t rows,
            const Block& block) const;
  Range update_share(const Team& team) const;
  void combine_own(Range groups, ptrdiff_t done) const;
  void combine_rest(ptrdiff_t groups, int team_size, Range range) const;
  void update_range(const Step<T>& step, Range range) const;
  ptrdiff_t padded(ptrdiff_t rows) const { return round_up(rows, row_step_); }

  ptrdiff_t row_step_;    // rows come in multiples of this
  ptrdiff_t block_rows_;  // most rows of a block
  ptrdiff_t ld_;
  // Blocks of a group that are each read into memory of their own, or 0 where each thread has one
  // such memory.
  ptrdiff_t kept_blocks_ = 0;
  T* rows_read_;                 // one Rows after the other
  ptrdiff_t rows_size_;          // elements of one
  std::vector<bool> sums_rows_;  // per layer, how its weight gradient is computed
  std::vector<Block> blocks_;    // one a thread
  std::vector<GroupResult> results_;
};

}  // namespace mlpfast
