// What the plans have in common, and the choice between them.
#include "plan.hpp"

#include <algorithm>

#include "narrow_plan.hpp"
#include "sliced_plan.hpp"
#include "wide_plan.hpp"

namespace mlpfast {
namespace {

// Nets of up to this many parameters may take the narrow plan: a gradient for each group of rows
// then costs little beside the work on the group.
constexpr ptrdiff_t kNarrowParams = 32768;

// The narrow plan fills vectors with rows, the wide one with units: whether the first pads less.
template <class T>
bool rows_fill_better(const Network<T>& net, ptrdiff_t rows) {
  ptrdiff_t weights = 0, padded = 0;
  for (const Layer& layer : net.layout.layers) {
    weights += layer.n_in * layer.n_out;
    padded += layer.n_in * layer.out_padded;
  }
  return round_up(rows, net.kernels.lanes) * weights <= rows * padded;
}

}  // namespace

template <class T>
Plan<T>::Plan(const Network<T>& net, ptrdiff_t rows, int threads)
    : net_(net), rows_(rows), threads_(threads) {
  const double worth = net.flops_training() * double(rows) / kStepFlopsWorthAThread;
  team_size_ = int(std::max(1.0, std::min(double(threads), worth)));
}

template <class T>
void Plan<T>::update(const Network<T>& net, const Step<T>& step, ptrdiff_t at, const T* g,
                     ptrdiff_t n, double l2) {
  const State<T>& s = step.state;
  step.optimizer->update(net.kernels, s.w + at, s.m ? s.m + at : nullptr, s.v ? s.v + at : nullptr,
                         g, n, l2);
}

template <class T>
std::unique_ptr<Plan<T>> make_plan(const Network<T>& net, ptrdiff_t rows, int threads, bool fused,
                                   bool repeated) {
  if (net.layout.n_params <= kNarrowParams && rows_fill_better(net, rows)) {
    if (SlicedPlan<T>::suits(net, rows))
      return std::make_unique<SlicedPlan<T>>(net, rows, threads, repeated);
    return std::make_unique<NarrowPlan<T>>(net, rows, threads, repeated && !net.drops_inputs());
  }
  return std::make_unique<WidePlan<T>>(net, rows, threads, fused);
}

#define MLPFAST_INSTANTIATE(T) \
  template class Plan<T>;      \
  template std::unique_ptr<Plan<T>> make_plan(const Network<T>&, ptrdiff_t, int, bool, bool);
MLPFAST_INSTANTIATE(float)
MLPFAST_INSTANTIATE(double)

}  // namespace mlpfast
