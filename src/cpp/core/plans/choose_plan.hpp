// Which plan trains a net on batches of so many rows, why, and how it cuts up the work.
//
// The answer depends on the net, the rows and what a step has to do, never on the number of
// threads: so the threads do not change a result. Each limit on the rows is passed once as they
// grow: one row more or less brings another plan at a few sizes only, never at a remainder.
#pragma once

#include <memory>

#include "../network.hpp"
#include "../thread_pool.hpp"

namespace mlpfast {

enum class PlanKind { tiny, narrow, sliced, wide };
const char* plan_name(PlanKind kind);

// The steps that a plan is wanted for.
struct PlanRequest {
  ptrdiff_t rows = 1;  // of a batch
  int threads = 1;
  bool repeated = false;  // all steps of a run have the same batch: what was read of it may be kept
  bool fused = false;     // every step updates the weights: no gradient need be kept
  bool basic = true;      // nothing is wanted that only a plan step by step offers: clipped
                          // gradients, the l2 term in the totals or shared by the rows, or a run
                          // that goes on whatever becomes of the loss

  // The steps of a run of epochs over `n` rows.
  static PlanRequest for_training(ptrdiff_t n, ptrdiff_t batch_size, bool in_order, int threads,
                                  bool clips, bool basic);
};

struct PlanChoice {
  PlanKind plan = PlanKind::wide;
  const char* why = "";
  ptrdiff_t rows = 1;        // most rows of a batch
  ptrdiff_t block_rows = 1;  // that go through the net together
  ptrdiff_t parts = 1;       // that threads share: groups of rows, slices of units; 1: it varies
  int team = 1;              // threads that are worth waking
  Reach reach = Reach::any;  // whether they are worth it wherever they run
  bool repeated = false, fused = false;

  // Whether a plan that was made for the one serves the other.
  bool operator==(const PlanChoice& o) const {
    return plan == o.plan && rows == o.rows && block_rows == o.block_rows && parts == o.parts &&
           team == o.team && reach == o.reach && repeated == o.repeated && fused == o.fused;
  }
  bool operator!=(const PlanChoice& o) const { return !(*this == o); }
};

template <class T>
PlanChoice choose_plan(const Network<T>& net, const PlanRequest& request);

template <class T>
class Plan;
template <class T>
std::unique_ptr<Plan<T>> make_plan(const Network<T>& net, const PlanChoice& choice);

// For less work in a step, the barriers cost more than another thread brings.
constexpr double kStepFlopsWorthAThread = 3e6;
// For so much work in a step two threads are worth it wherever they run.
constexpr double kStepFlopsWorthAnyTeam = 2 * kStepFlopsWorthAThread;

}  // namespace mlpfast
