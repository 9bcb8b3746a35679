// Memory and plan are made once; each call packs the weights, makes a step without an update, and
// unpacks what it leaves.
#include "gradient.hpp"

#include <algorithm>

#include "exclusive_use.hpp"

namespace mlpfast {

template <class T>
Gradient<T>::Gradient(const Network<T>& net, const Data<T>& data, int threads, bool repeated)
    : net_(net), data_(data), threads_(threads), repeated_(repeated) {
  if (TinyPlan<T>::suits(net, data.n)) tiny_.emplace(net, data.n, nullptr);
}

template <class T>
double Gradient<T>::compute(const T* flat, T* grad) {
  const ExclusiveUse exclusive(busy_, "this gradient is being computed by another thread");
  Totals totals;
  if (!tiny_ || !tiny_->gradient(data_, flat, grad, totals)) totals = by_plan(flat, grad);
  if (net_.spec.reduction == Reduction::sum) return totals.loss;
  return totals.weight != 0 ? totals.loss / totals.weight : 0.0;
}

template <class T>
Totals Gradient<T>::by_plan(const T* flat, T* grad) {
  if (!plan_) {
    const ptrdiff_t w = arena_.reserve_array<T>(net_.layout.packed_size);
    arena_.commit();
    packed_ = arena_.at<T>(w);
    plan_ = make_plan(net_, data_.n, threads_, false, repeated_);
  }
  pack(net_.layout, flat, packed_);
  int members = 1;
  run_in_team(plan_->team_size(), plan_->reach(), [&](const Team& team) {
    if (team.index == 0) members = team.count;
    Step<T> step;
    step.batch = {&data_, nullptr, 0, data_.n};
    step.state.w = packed_;
    // A team may be larger than the last one was, which had perhaps lost the others to someone.
    step.announced = team.count <= have_read_;
    plan_->step(team, step);
  });
  // Of rows that are not finite a plan keeps nothing.
  have_read_ = plan_->bad_row() >= 0 ? 0 : std::max(have_read_, members);
  unpack(net_.layout, plan_->gradient(), grad);
  return plan_->totals();
}

template class Gradient<float>;
template class Gradient<double>;

}  // namespace mlpfast
