// The plan and its memory are made once and serve every call.
#include "gradient.hpp"

#include "exclusive_use.hpp"

namespace mlpfast {

template <class T>
Gradient<T>::Gradient(const Network<T>& net, const Data<T>& data, int threads, bool repeated)
    : net_(net), data_(data) {
  request_.rows = data.n;
  request_.threads = threads;
  request_.repeated = repeated;
}

template <class T>
double Gradient<T>::compute(const T* flat, T* grad) {
  const ExclusiveUse exclusive(busy_, "this gradient is being computed by another thread");
  if (!plan_) plan_ = make_plan(net_, choose_plan(net_, request_));
  Totals totals;
  if (!plan_->gradient(data_, flat, grad, totals)) {
    request_.basic = false;  // the rows are not finite and will not change
    plan_ = make_plan(net_, choose_plan(net_, request_));
    plan_->gradient(data_, flat, grad, totals);
  }
  if (net_.spec.reduction == Reduction::sum) return totals.loss;
  return totals.weight != 0 ? totals.loss / totals.weight : 0.0;
}

template class Gradient<float>;
template class Gradient<double>;

}  // namespace mlpfast
