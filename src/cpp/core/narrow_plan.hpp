// The plan for nets with few parameters: rows are shared out, each thread takes them through the
// whole net.
//
// The batch is cut into groups of rows, a number that does not depend on the threads. A thread
// pushes a group through the net and back, a block of rows at a time that stays in the cache, into
// a gradient of the group's own. The gradients are then added up in the order of the groups.
#pragma once

#include <vector>

#include "plan.hpp"

namespace mlpfast {

template <class T>
class NarrowPlan final : public Plan<T> {
 public:
  NarrowPlan(const Network<T>& net, ptrdiff_t rows, int threads);
  void step(const Team& team, const Step<T>& step) override;

 private:
  void refresh_transposed(const Team& team, const T* w);
  void run_group(const Step<T>& step, ptrdiff_t group, ptrdiff_t groups, T scale,
                 const Workspace<T>& ws);
  void run_block(const Step<T>& step, Range rows, bool onto, T* gradient, const Workspace<T>& ws);
  void update_range(const Step<T>& step, Range range) const;

  ptrdiff_t block_rows_;
  std::vector<Workspace<T>> workspaces_;  // one a thread
  std::vector<T*> transposed_;            // one a layer, all strips
  std::vector<Totals> group_totals_;
  std::vector<ptrdiff_t> bad_rows_;  // one a group
};

}  // namespace mlpfast
