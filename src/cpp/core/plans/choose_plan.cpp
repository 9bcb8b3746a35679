// The limits between the plans.
#include "choose_plan.hpp"

#include <algorithm>

#include "narrow_plan.hpp"
#include "sliced_plan.hpp"
#include "tiny_plan.hpp"
#include "wide_plan.hpp"

namespace mlpfast {
namespace {

// Tiny: a step that is shorter than the way through the kernels of another plan.
constexpr ptrdiff_t kTinyRows = 8, kTinyParams = 256;

// Nets of up to this many parameters may take the narrow plan: a gradient for each group of rows
// then costs little beside the work on the group.
constexpr ptrdiff_t kNarrowParams = 32768;

// Sliced: larger batches are better shared out by rows; with fewer bytes of rows a unit is too
// little work for a pass through the net.
constexpr ptrdiff_t kSlicedRows = 256, kSlicedLeastBytes = 512;
// For less work than this the narrow plan is faster.
constexpr double kSlicedLeastFlops = 1e5;
// With so much work that any team is worth it, the rows can be shared as well, and more evenly than
// fewer units.
constexpr ptrdiff_t kEvenUnits = 96;
// The slices' shares of the logits travel from core to core, so there must be few outputs.
constexpr ptrdiff_t kSlicedOutputs = 32;

// The narrow plan fills vectors with rows, the wide one with units: whether the first pads less.
//
// The rows count as if half a vector of them were padding, whatever their remainder is, and at
// least as one vector; a quarter more padding is allowed. So batches of two vectors and more take
// the narrow plan, which is then up to a third faster on whole vectors of rows, and loses as much
// at worst for a row more than two of them.
template <class T>
bool rows_fill_better(const Network<T>& net, ptrdiff_t rows) {
  const ptrdiff_t lanes = net.kernels.lanes;
  ptrdiff_t weights = 0, padded = 0;
  for (const Layer& layer : net.layout.layers) {
    weights += layer.n_in * layer.n_out;
    padded += layer.n_in * layer.out_padded;
  }
  return 4 * std::max(lanes, rows + lanes / 2) * weights <= 5 * rows * padded;
}

// Whether the net has one hidden layer whose units can be shared out, and the rows are right for
// it.
template <class T>
bool slices_well(const Network<T>& net, ptrdiff_t rows) {
  if (net.depth() != 2 || rows > kSlicedRows || rows * ptrdiff_t(sizeof(T)) < kSlicedLeastBytes)
    return false;
  const Layer &hidden = net.layout.layers[0], &output = net.layout.layers[1];
  const double flops = net.flops_training() * double(rows);
  if (flops < kSlicedLeastFlops || (flops >= kStepFlopsWorthAnyTeam && hidden.n_out < kEvenUnits))
    return false;
  return !net.whole_rows(0) && !net.drops_inputs() && !hidden.drops &&
         hidden.out_padded >= 2 * net.kernels.tile && output.n_out <= kSlicedOutputs;
}

template <class T>
void set_kind(const Network<T>& net, const PlanRequest& request, PlanChoice& choice) {
  const auto set = [&](PlanKind plan, const char* why) {
    choice.plan = plan;
    choice.why = why;
  };
  if (request.basic && request.rows <= kTinyRows && net.layout.n_params <= kTinyParams &&
      net.spec.dropout.empty())
    set(PlanKind::tiny, "a few parameters and rows: one kernel call makes many steps");
  else if (net.layout.n_params > kNarrowParams)
    set(PlanKind::wide, "many parameters: the threads share every layer");
  else if (!rows_fill_better(net, request.rows))
    set(PlanKind::wide, "units fill the vectors better than so few rows do");
  else if (slices_well(net, request.rows))
    set(PlanKind::sliced, "one small hidden layer and some rows: the threads share its units");
  else
    set(PlanKind::narrow, "few parameters: each thread takes some rows through the whole net");
}

}  // namespace

const char* plan_name(PlanKind kind) {
  const char* const names[] = {"tiny", "narrow", "sliced", "wide"};
  return names[int(kind)];
}

PlanRequest PlanRequest::for_training(ptrdiff_t n, ptrdiff_t batch_size, bool in_order, int threads,
                                      bool clips, bool basic) {
  PlanRequest request;
  request.rows = std::min(batch_size, n);
  request.threads = threads;
  request.repeated = in_order && batch_size >= n;
  request.fused = !clips;
  request.basic = basic && !clips;
  return request;
}

template <class T>
PlanChoice choose_plan(const Network<T>& net, const PlanRequest& request) {
  PlanChoice choice;
  choice.rows = request.rows;
  choice.repeated = request.repeated;
  choice.fused = request.fused;
  set_kind(net, request, choice);
  switch (choice.plan) {
    case PlanKind::tiny:
      TinyPlan<T>::partition(net, choice);
      break;
    case PlanKind::narrow:
      NarrowPlan<T>::partition(net, request.threads, choice);
      break;
    case PlanKind::sliced:
      SlicedPlan<T>::partition(net, request.threads, choice);
      break;
    case PlanKind::wide:
      WidePlan<T>::partition(net, request.threads, choice);
      break;
  }
  return choice;
}

template <class T>
std::unique_ptr<Plan<T>> make_plan(const Network<T>& net, const PlanChoice& choice) {
  switch (choice.plan) {
    case PlanKind::tiny:
      return std::make_unique<TinyPlan<T>>(net, choice);
    case PlanKind::narrow:
      return std::make_unique<NarrowPlan<T>>(net, choice);
    case PlanKind::sliced:
      return std::make_unique<SlicedPlan<T>>(net, choice);
    default:
      return std::make_unique<WidePlan<T>>(net, choice);
  }
}

#define MLPFAST_INSTANTIATE(T)                                            \
  template PlanChoice choose_plan(const Network<T>&, const PlanRequest&); \
  template std::unique_ptr<Plan<T>> make_plan(const Network<T>&, const PlanChoice&);
MLPFAST_INSTANTIATE(float)
MLPFAST_INSTANTIATE(double)

}  // namespace mlpfast
