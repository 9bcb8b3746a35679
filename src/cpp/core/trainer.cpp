// Keeps the training state from run to run, and restores it after divergence.
#include "trainer.hpp"

#include <algorithm>

#include "exclusive_use.hpp"

namespace mlpfast {
namespace {

// For nets of up to this many parameters a copy of the state costs next to nothing.
constexpr ptrdiff_t kSmallNet = 16384;

const char* const kBusy = "this net is being trained by another thread";

}  // namespace

template <class T>
Trainer<T>::Trainer(std::shared_ptr<const Network<T>> net, const OptimizerSpec& optimizer)
    : net_(std::move(net)), optimizer_(optimizer) {
  const ptrdiff_t n = net_->layout.packed_size;
  const ptrdiff_t w = arena_.reserve_array<T>(n);
  const ptrdiff_t m = optimizer_.has_m() ? arena_.reserve_array<T>(n) : -1;
  const ptrdiff_t v = optimizer_.has_v() ? arena_.reserve_array<T>(n) : -1;
  arena_.commit();
  state_ = {arena_.at<T>(w), m < 0 ? nullptr : arena_.at<T>(m), v < 0 ? nullptr : arena_.at<T>(v)};
}

template <class T>
PlanChoice Trainer<T>::choose(const RunArgs<T>& args) const {
  const bool basic = args.check_finite && !args.l2_per_row && !(args.want_penalty && args.has_l2());
  return choose_plan(*net_, PlanRequest::for_training(args.data.n, args.batch_size, !args.orders,
                                                      args.threads, optimizer_.clips(), basic));
}

template <class T>
RunResult Trainer<T>::run(const RunArgs<T>& args, T* flat) {
  const ExclusiveUse exclusive(busy_, kBusy);
  const Layout& layout = net_->layout;
  const PlanChoice choice = choose(args);
  if (!plan_ || plan_->choice() != choice) {
    plan_ = nullptr;
    plan_ = make_plan(*net_, choice);
  }

  // For several epochs of a small net, a copy of the state is kept to restart from: runs are
  // bitwise reproducible, so the state after any epoch can be computed again. The epochs of a large
  // net are long enough that its weights are written back after each.
  const int64_t steps_before = steps_;
  std::vector<T> before;
  pack(layout, flat, state_.w);
  const bool returns = args.epochs > 1 && args.check_finite;
  T* const saved = returns && layout.n_params > kSmallNet ? flat : nullptr;
  if (returns && !saved) before.assign(state_.w, state_.w + arena_.size() / ptrdiff_t(sizeof(T)));

  RunResult result = run_epochs(args, args.epochs, saved);
  const bool finite = !args.check_finite || (result.status != Status::diverged &&
                                             all_finite(state_.w, layout.packed_size));
  if (result.status == Status::bad_input) return result;
  if (finite) {
    unpack(layout, state_.w, flat);
    return result;
  }
  ptrdiff_t good = ptrdiff_t(result.totals.size());
  if (result.status != Status::diverged) --good;  // the last update went wrong
  for (; good > 0 && !before.empty(); --good) {
    std::copy(before.begin(), before.end(), state_.w);
    steps_ = steps_before;
    RunArgs<T> again = args;
    again.poll = {};  // restoring is not interrupted
    result = run_epochs(again, good, nullptr);
    if (all_finite(state_.w, layout.packed_size)) {
      unpack(layout, state_.w, flat);
      break;
    }
  }
  result.totals.resize(size_t(std::max<ptrdiff_t>(good, 0)));
  result.status = Status::diverged;
  return result;
}

template <class T>
RunResult Trainer<T>::run_epochs(const RunArgs<T>& args, ptrdiff_t epochs, T* saved) {
  RunResult result;
  result.totals.reserve(size_t(epochs) + 1);
  Training<T> training{optimizer_, steps_, state_, saved};
  plan_->train(args, epochs, training, result);
  return result;
}

// Moments are exchanged in the flat layout; those that the rule lacks are left alone.
template <class T>
void Trainer<T>::get_moments(T* m, T* v) const {
  if (state_.m) unpack(net_->layout, state_.m, m);
  if (state_.v) unpack(net_->layout, state_.v, v);
}

template <class T>
void Trainer<T>::set_moments(int64_t steps, const T* m, const T* v) {
  const ExclusiveUse exclusive(busy_, kBusy);
  steps_ = steps;
  if (state_.m) pack(net_->layout, m, state_.m);
  if (state_.v) pack(net_->layout, v, state_.v);
}

template class Trainer<float>;
template class Trainer<double>;

}  // namespace mlpfast
