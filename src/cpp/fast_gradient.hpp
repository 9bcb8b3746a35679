// A bare Python function for the gradient of a small net on a few rows, which takes less time than
// the checks on its arguments would.
#pragma once

#include <algorithm>
#include <atomic>
#include <memory>

#include "core/plans/plan.hpp"
#include "fast_call.hpp"

namespace mlpfast {

// loss_and_grad(x, y, weight, out) -> (loss, grad): for a small net, contiguous x (n, n_in) and
// y (n, n_out) of its dtype with allowed values, n small, no weight, and out None or a fitting
// array apart from the others. For all other arguments it returns NotImplemented, with nothing
// written, and the caller takes the long way.
template <class T>
class FastGradient {
 public:
  FastGradient(std::shared_ptr<const Network<T>> net, pybind11::array params)
      : net_(std::move(net)), params_(std::move(params)) {
    const LossTraits& loss = traits(net_->spec.loss);
    least_ = std::max(least_, T(loss.low));
    most_ = std::min(most_, T(loss.high));
  }

  // Whether there are batches small enough for it.
  static bool suits(const Network<T>& net) { return choose(net, 1).plan == PlanKind::tiny; }

  PyObject* call(PyObject* const* args) {
    if (args[2] != Py_None) return not_implemented();
    const ptrdiff_t n_in = net_->spec.sizes.front(), n_out = net_->spec.sizes.back();
    const ArrayProxy* x = plain_array<T>(args[0]);
    const ArrayProxy* y = plain_array<T>(args[1]);
    if (!x || !y || x->nd != 2 || y->nd != 2 || x->dimensions[1] != n_in ||
        y->dimensions[1] != n_out || y->dimensions[0] != x->dimensions[0])
      return not_implemented();
    const ptrdiff_t n = x->dimensions[0];
    if (n < 1) return not_implemented();
    if (busy_.test_and_set(std::memory_order_acquire)) return not_implemented();
    const Release release{busy_};
    if (n != planned_rows_) {
      const PlanChoice choice = choose(*net_, n);
      if (choice.plan != PlanKind::tiny) return not_implemented();
      if (!plan_ || plan_->choice() != choice) plan_ = make_plan(*net_, choice);
      planned_rows_ = n;
    }
    const T* target = reinterpret_cast<const T*>(y->data);
    for (ptrdiff_t i = 0; i < n * n_out; ++i)
      if (!(target[i] >= least_ && target[i] <= most_)) return not_implemented();

    pybind11::object result;
    if (args[3] == Py_None) {
      result = pybind11::array_t<T>(net_->layout.n_params);
    } else {
      const ArrayProxy* out = plain_array<T>(args[3]);
      const ptrdiff_t bytes = net_->layout.n_params * ptrdiff_t(sizeof(T));
      if (!out || out->nd != 1 || out->dimensions[0] != net_->layout.n_params || !writable(out) ||
          overlap(out->data, bytes, x->data, n * n_in * ptrdiff_t(sizeof(T))) ||
          overlap(out->data, bytes, y->data, n * n_out * ptrdiff_t(sizeof(T))) ||
          overlap(out->data, bytes, params_.data(), params_.nbytes()))
        return not_implemented();
      result = pybind11::reinterpret_borrow<pybind11::object>(args[3]);
    }
    T* to = reinterpret_cast<T*>(pybind11::detail::array_proxy(result.ptr())->data);

    Data<T> data;
    data.x = x->data;
    data.x_stride = n_in * ptrdiff_t(sizeof(T));
    data.x_type = own_type<T>();
    data.y = target;
    data.n = n;
    Totals totals;
    const bool done = plan_->gradient(data, static_cast<const T*>(params_.data()), to, totals);
    if (!done) return not_implemented();
    const double loss =
        net_->spec.reduction == Reduction::sum ? totals.loss : totals.loss / totals.weight;
    return pybind11::make_tuple(loss, std::move(result)).release().ptr();
  }

 private:
  static PlanChoice choose(const Network<T>& net, ptrdiff_t rows) {
    PlanRequest request;
    request.rows = rows;
    return choose_plan(net, request);
  }

  // Lets the next caller in, also where there was no memory for a plan.
  struct Release {
    std::atomic_flag& flag;
    ~Release() { flag.clear(std::memory_order_release); }
  };

  std::shared_ptr<const Network<T>> net_;
  pybind11::array params_;
  T least_ = std::numeric_limits<T>::lowest(), most_ = std::numeric_limits<T>::max();
  std::unique_ptr<Plan<T>> plan_;
  ptrdiff_t planned_rows_ = 0;  // that plan_ is for
  std::atomic_flag busy_ = ATOMIC_FLAG_INIT;
};

}  // namespace mlpfast
