// The loop over epochs and batches, its interruption, and the way back after divergence.
#include "trainer.hpp"

#include <algorithm>
#include <cmath>

#include "../isa/float_mode.hpp"
#include "exclusive_use.hpp"

namespace mlpfast {
namespace {

// Up to so many parameters a copy of the state costs next to nothing.
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
  if (optimizer_.clips()) clipped_ = std::make_unique<ClippedUpdate<T>>(*net_);
  state_ = {arena_.at<T>(w), m < 0 ? nullptr : arena_.at<T>(m), v < 0 ? nullptr : arena_.at<T>(v)};
}

template <class T>
RunResult Trainer<T>::run(const RunArgs<T>& args, T* flat) {
  const ExclusiveUse exclusive(busy_, kBusy);
  const Layout& layout = net_->layout;
  const ptrdiff_t rows = std::min(args.batch_size, args.data.n);
  const bool wants_penalty = args.want_penalty && args.has_l2();
  // The plan of the smallest nets has the plain ways alone.
  const bool plain = !clipped_ && !wants_penalty && !args.l2_per_row && args.check_finite;
  if (plain && TinyPlan<T>::suits(*net_, rows)) {
    plan_ = nullptr;
    if (!tiny_ || !tiny_->fits(rows))
      tiny_ = std::make_unique<TinyPlan<T>>(*net_, rows, &optimizer_);
  } else {
    tiny_ = nullptr;
    const bool repeats = !args.orders && rows == args.data.n;
    if (!plan_ || !plan_->fits(rows, args.threads) || repeats != repeats_)
      plan_ = make_plan(*net_, rows, args.threads, !clipped_, repeats);
    repeats_ = repeats;
  }

  // With several epochs of a small net, a copy of the state to begin again from: a run is
  // repeatable to the bit, so the state after any epoch can be had once more. Those of a large one
  // are long enough that its weights are written back after each.
  const int64_t steps_before = steps_;
  std::vector<T> before;
  pack(layout, flat, state_.w);
  const bool returns = args.epochs > 1 && args.check_finite;
  saved_ = returns && layout.n_params > kSmallNet ? flat : nullptr;
  if (returns && !saved_) before.assign(state_.w, state_.w + arena_.size() / ptrdiff_t(sizeof(T)));

  if (wants_penalty) {
    if (!squares_) squares_ = std::make_unique<WeightSquares<T>>(*net_);
  } else {
    squares_ = nullptr;
  }
  RunResult result = run_epochs(args, args.epochs);
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
    again.poll = {};  // a way back is not left halfway
    result = run_epochs(again, good);
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
RunResult Trainer<T>::run_epochs(const RunArgs<T>& args, ptrdiff_t epochs) {
  RunResult result;
  result.totals.reserve(size_t(epochs) + 1);
  if (tiny_) {
    tiny_->train(args, epochs, optimizer_, steps_, state_, result);
    return result;
  }
  go_on_ = finite_ = true;
  run_in_team(plan_->team_size(), plan_->reach(),
              [&](const Team& team) { train(team, args, epochs, result); });
  return result;
}

template <class T>
void Trainer<T>::train(const Team& team, const RunArgs<T>& args, ptrdiff_t epochs,
                       RunResult& result) {
  const TrainingFloatMode mode;
  const bool leads = team.index == 0;
  const ptrdiff_t n = args.data.n;
  // For member 0 alone.
  Watch watch(args.poll, net_->flops_training() * double(std::min(args.batch_size, n)));
  // Every member begins the steps itself, which saves a barrier.
  Optimizer<T> optimizer = optimizer_;
  int64_t t = steps_;
  const bool has_l2 = args.has_l2();

  for (ptrdiff_t e = 0; e < epochs; ++e) {
    const int64_t* order = args.orders ? args.orders + e * n : nullptr;
    Totals sum;
    for (ptrdiff_t first = 0; first < n; first += args.batch_size) {
      const ptrdiff_t rows = std::min(args.batch_size, n - first);
      const double lr = args.rate(e, first);
      optimizer.begin_step(++t, lr);
      Step<T> step;
      step.batch = {&args.data, order, first, rows};
      if (first + rows < n)
        step.next = {&args.data, order, first + rows, std::min(args.batch_size, n - first - rows)};
      else if (e + 1 < epochs)
        step.next = {&args.data, args.orders ? order + n : nullptr, 0,
                     std::min(args.batch_size, n)};
      step.announced = e > 0 || first > 0;
      step.state = state_;
      step.optimizer = clipped_ ? nullptr : &optimizer;
      step.lr = lr;
      step.l2 = has_l2 ? args.l2.data() : nullptr;
      if (args.l2_per_row) step.l2_share = step.batch.scale(net_->spec.reduction);
      step.want_metrics = args.want_metrics;
      if (args.dropout_keys) {
        const uint64_t key = args.dropout_keys[e];
        step.dropout.key[0] = uint32_t(key) + uint32_t(first / args.batch_size);
        step.dropout.key[1] = uint32_t(key >> 32);
      }
      // No thread updates a weight in a step before all have come this far.
      if (squares_) squares_->add_up(team, state_.w);
      plan_->step(team, step);
      if (clipped_) {
        team.sync();  // all of the gradient is there
        clipped_->run(team, step, optimizer, plan_->gradient());
      }
      if (leads) {
        steps_ = t;
        Totals totals = plan_->totals();
        if (squares_) totals.penalty = penalty(step, totals.weight);
        // As if the weights of the batch had a mean of 1.
        if (args.l2_per_row && net_->spec.reduction != Reduction::sum)
          totals.scale(double(rows) * step.l2_share);
        sum.add(totals);
        if (plan_->bad_row() >= 0) {
          result.status = Status::bad_input;
          result.bad_row = plan_->bad_row();
        } else if (args.check_finite && !std::isfinite(totals.loss)) {
          result.status = Status::diverged;
        } else if (watch.must_stop(1) && !(e + 1 == epochs && first + rows == n)) {
          result.status = Status::interrupted;
        }
        // All have read the last value: a step has at least one barrier.
        go_on_ = result.status == Status::ok;
      }
      team.sync();  // all updates are done
      if (!go_on_) {
        if (leads && result.status == Status::interrupted) result.totals.push_back(sum);
        return;
      }
    }
    if (saved_ && e + 1 < epochs && !save(team)) {
      if (leads) result.status = Status::diverged;
      return;
    }
    if (leads) result.totals.push_back(sum);
  }
}

// The l2 term of a step, as often as its rows count.
template <class T>
double Trainer<T>::penalty(const Step<T>& step, double weight) const {
  double sum = 0;
  for (size_t l = 0; l < net_->depth(); ++l)
    if (step.l2_of(l) != 0) sum += step.l2_of(l) * squares_->sum(l);
  return 0.5 * sum * (net_->spec.reduction == Reduction::sum ? 1.0 : weight);
}

// Writes the weights of all members back if all are finite.
template <class T>
bool Trainer<T>::save(const Team& team) {
  const Range mine = share(net_->layout.packed_size, team.index, team.count);
  if (!all_finite(state_.w + mine.begin, mine.size())) finite_ = false;
  team.sync();
  if (finite_) unpack(net_->layout, state_.w, saved_, team.index, team.count);
  return finite_;
}

// Moments travel in the flat layout; where there are none, zeros.
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
