// The gradient of a batch, by one of two plans, and the update that follows it.
//
// Wide: the whole batch goes through a layer before the next one; the threads share each phase,
// every one computing some rows or panels of its output, and wait for each other in between. The
// optimizer's update is the epilogue of the weight gradient's product.
//
// Narrow: for nets with few parameters. The batch is cut into groups of rows, a number that does
// not depend on the threads; a thread pushes a group through the whole net and back, a block of
// rows at a time that stays in the cache, into a gradient of the group's own. The gradients are
// then added up in the order of the groups.
#pragma once

#include <vector>

#include "network.hpp"
#include "optimizer.hpp"
#include "thread_pool.hpp"

namespace mlpfast {

// Parameters and moments, packed; m and v may be null.
template <class T>
struct State {
  T* w = nullptr;
  T* m = nullptr;
  T* v = nullptr;
};

// Some rows of the data, in some order.
template <class T>
struct Batch {
  const Data<T>* data;
  const int64_t* order;  // or null
  ptrdiff_t first, rows;

  double weight_sum() const;
};

template <class T>
class Stepper {
 public:
  // Plans for batches of up to `rows` rows on up to `threads` threads.
  Stepper(const Network<T>& net, ptrdiff_t rows, int threads, bool fused);

  bool fits(ptrdiff_t rows, int threads) const { return rows == rows_ && threads == threads_; }
  // Threads that are worth waking for a batch of the planned size.
  int team_size() const { return team_size_; }

  // Called by every member of the team. Makes one step from `state` if `optimizer` is given (with
  // begin_step done), else leaves the batch's gradient in `gradient()`.
  void step(const Team& team, const Batch<T>& batch, const State<T>& state,
            const Optimizer<T>* optimizer, double lr, double l2, bool want_metrics);

  // Of the last step; valid after a sync, and for `totals` and `bad_row` in member 0 at once.
  const Totals& totals() const { return totals_; }
  ptrdiff_t bad_row() const { return bad_row_; }
  T* gradient() const { return gradients_; }

 private:
  struct Tile {
    Range rows, panels;
  };
  static Tile tile(ptrdiff_t rows, ptrdiff_t panels, const Team& team);

  void narrow_step(const Team& team, const Batch<T>& batch, const State<T>& state, T scale,
                   const Optimizer<T>* optimizer, bool want_metrics);
  void narrow_group(const Batch<T>& batch, ptrdiff_t group, ptrdiff_t groups, T scale,
                    bool want_metrics, const State<T>& state, const Workspace<T>& ws);
  void wide_step(const Team& team, const Batch<T>& batch, const State<T>& state, T scale,
                 const Optimizer<T>* optimizer, bool onto_weights, bool want_metrics);
  void wide_forward(const Team& team, ptrdiff_t rows, const State<T>& state, bool want_metrics);
  void wide_backward(const Team& team, ptrdiff_t rows, bool first_block, bool last_block,
                     const State<T>& state, const Optimizer<T>* optimizer, bool onto_weights);
  void wide_weights(const Team& team, size_t l, ptrdiff_t rows, bool first_block, bool last_block,
                    const State<T>& state, const Optimizer<T>* optimizer, bool onto_weights);
  void update_range(Range range, const State<T>& state, const Optimizer<T>& optimizer) const;

  ptrdiff_t groups_of(ptrdiff_t rows) const;

  const Network<T>& net_;
  const ptrdiff_t rows_;
  const int threads_;
  const bool narrow_;
  ptrdiff_t block_rows_;
  int team_size_;

  Arena arena_;
  std::vector<Workspace<T>> workspaces_;  // narrow: one a thread; wide: one
  std::vector<T*> scratch_;               // wide: one a thread, a transposed strip
  std::vector<T*> tiles_;                 // wide: one a thread, a piece of the weight gradient
  std::vector<T*> transposed_;            // narrow: one a layer, all strips
  T* gradients_ = nullptr;                // narrow: one a group; wide: one, if not fused
  std::vector<Totals> group_totals_;
  std::vector<ptrdiff_t> bad_rows_;  // narrow: one a group; wide: one a thread
  Totals totals_;
  ptrdiff_t bad_row_ = -1;
};

}  // namespace mlpfast
