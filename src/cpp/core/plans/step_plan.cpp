// The loop over epochs and batches that these plans share, and a step without an update.
#include "step_plan.hpp"

#include <algorithm>
#include <cmath>

#include "../../isa/float_mode.hpp"

namespace mlpfast {

template <class T>
int StepPlan<T>::team_for(const Network<T>& net, ptrdiff_t rows, int threads) {
  const double worth = net.flops_training() * double(rows) / kStepFlopsWorthAThread;
  return int(std::max(1.0, std::min(double(threads), worth)));
}

template <class T>
void StepPlan<T>::train(const RunArgs<T>& args, ptrdiff_t epochs, Training<T>& training,
                        RunResult& result) {
  const bool clips = training.optimizer.clips(), squares = args.want_penalty && args.has_l2();
  if (clips && !clipped_) clipped_ = std::make_unique<ClippedUpdate<T>>(this->net_);
  if (!clips) clipped_ = nullptr;
  if (squares && !squares_) squares_ = std::make_unique<WeightSquares<T>>(this->net_);
  if (!squares) squares_ = nullptr;
  Run run{args, epochs, training, result};
  run_in_team(this->choice_.team, this->choice_.reach,
              [&](const Team& team) { train_in_team(team, run); });
}

template <class T>
void StepPlan<T>::train_in_team(const Team& team, Run& run) {
  const TrainingFloatMode mode;
  const RunArgs<T>& args = run.args;
  const State<T>& state = run.training.state;
  RunResult& result = run.result;
  const Reduction reduction = this->net_.spec.reduction;
  const bool leads = team.index == 0;
  const ptrdiff_t n = args.data.n;
  // For member 0 alone.
  Watch watch(args.poll, this->net_.flops_training() * double(std::min(args.batch_size, n)));
  // Every member begins the steps itself, which saves a barrier.
  Optimizer<T> optimizer = run.training.optimizer;
  const WeightUpdate<T> update{this->net_.kernels, optimizer, state};
  int64_t t = run.training.steps;
  const bool has_l2 = args.has_l2();

  for (ptrdiff_t e = 0; e < run.epochs; ++e) {
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
      else if (e + 1 < run.epochs)
        step.next = {&args.data, args.orders ? order + n : nullptr, 0,
                     std::min(args.batch_size, n)};
      step.announced = e > 0 || first > 0;
      step.state = state;
      step.update = clipped_ ? nullptr : &update;
      step.lr = lr;
      step.l2 = has_l2 ? args.l2.data() : nullptr;
      if (args.l2_per_row) step.l2_share = step.batch.scale(reduction);
      step.want_metrics = args.want_metrics;
      if (args.dropout_keys) {
        const uint64_t key = args.dropout_keys[e];
        step.dropout.key[0] = uint32_t(key) + uint32_t(first / args.batch_size);
        step.dropout.key[1] = uint32_t(key >> 32);
      }
      // No thread updates a weight in this step before all have got this far.
      if (squares_) squares_->add_up(team, state.w);
      this->step(team, step);
      if (clipped_) {
        team.sync();  // the gradient is complete
        clipped_->run(team, step, update, gradients_);
      }
      if (leads) {
        run.training.steps = t;
        Totals totals = totals_;
        if (squares_) totals.penalty = penalty(step, totals.weight);
        // As if the weights of the batch had a mean of 1.
        if (args.l2_per_row && reduction != Reduction::sum)
          totals.scale(double(rows) * step.l2_share);
        sum.add(totals);
        if (bad_row_ >= 0) {
          result.status = Status::bad_input;
          result.bad_row = bad_row_;
        } else if (args.check_finite && !std::isfinite(totals.loss)) {
          result.status = Status::diverged;
        } else if (watch.must_stop(1) && !(e + 1 == run.epochs && first + rows == n)) {
          result.status = Status::interrupted;
        }
        // All have read the last value: a step has at least one barrier.
        run.go_on = result.status == Status::ok;
      }
      team.sync();  // all updates are done
      if (!run.go_on) {
        if (leads && result.status == Status::interrupted) result.totals.push_back(sum);
        return;
      }
    }
    if (run.training.saved && e + 1 < run.epochs && !save(team, run)) {
      if (leads) result.status = Status::diverged;
      return;
    }
    if (leads) result.totals.push_back(sum);
  }
}

// The l2 term of a step, as often as its rows count.
template <class T>
double StepPlan<T>::penalty(const Step<T>& step, double weight) const {
  double sum = 0;
  for (size_t l = 0; l < this->net_.depth(); ++l)
    if (step.l2_of(l) != 0) sum += step.l2_of(l) * squares_->sum(l);
  return 0.5 * sum * (this->net_.spec.reduction == Reduction::sum ? 1.0 : weight);
}

// Writes the weights of all members back if all are finite.
template <class T>
bool StepPlan<T>::save(const Team& team, Run& run) const {
  const Layout& layout = this->net_.layout;
  const T* w = run.training.state.w;
  const Range mine = share(layout.packed_size, team.index, team.count);
  if (!all_finite(w + mine.begin, mine.size())) run.finite = false;
  team.sync();
  if (run.finite) unpack(layout, w, run.training.saved, team.index, team.count);
  return run.finite;
}

template <class T>
bool StepPlan<T>::gradient(const Data<T>& data, const T* flat, T* grad, Totals& totals) {
  const Layout& layout = this->net_.layout;
  if (packed_.size() == 0) {
    packed_.template reserve_array<T>(layout.packed_size);
    packed_.commit();
  }
  T* w = packed_.template at<T>(0);
  pack(layout, flat, w);
  int members = 1;
  run_in_team(this->choice_.team, this->choice_.reach, [&](const Team& team) {
    if (team.index == 0) members = team.count;
    Step<T> step;
    step.batch = {&data, nullptr, 0, data.n};
    step.state.w = w;
    // This team may be larger than the last one, whose other threads were perhaps busy elsewhere.
    step.announced = team.count <= have_read_;
    this->step(team, step);
  });
  // Of rows that are not finite a plan keeps nothing.
  have_read_ = bad_row_ >= 0 ? 0 : std::max(have_read_, members);
  unpack(layout, gradients_, grad);
  totals = totals_;
  return true;
}

template class StepPlan<float>;
template class StepPlan<double>;

}  // namespace mlpfast
