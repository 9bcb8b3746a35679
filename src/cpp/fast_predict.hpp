// A bare Python function for predictions of a few rows, whose call costs less than the arithmetic.
#pragma once

#include "core/predictor.hpp"
#include "core/runner.hpp"
#include "fast_call.hpp"

namespace mlpfast {

// Below this much work, about five microseconds, the GIL is kept: handing it over would cost more.
constexpr double kFlopsWorthReleasing = 2e5;

// Below this much the pass runs on one thread, so that the number of threads need not be known.
constexpr double kFlopsOfOneThread = 2 * kFlopsWorthAThread;

// predict(x, out) -> array: for a contiguous x of the net's dtype with (n_in,) or (n, n_in)
// elements, few or of little work, and out None or a fitting array apart from x and the parameters.
// For all other arguments it returns NotImplemented, and the caller takes the long way.
template <class T>
class FastPredict {
 public:
  FastPredict(std::shared_ptr<const Network<T>> net, pybind11::array params)
      : predictor_(std::move(net)), params_(std::move(params)) {}

  PyObject* call(PyObject* const* args) {
    PyObject *x_object = args[0], *out_object = args[1];
    constexpr ptrdiff_t size = ptrdiff_t(sizeof(T));
    const Network<T>& net = predictor_.net();
    const ptrdiff_t n_in = net.spec.sizes.front(), n_out = net.spec.sizes.back();
    const ArrayProxy* x = plain_array<T>(x_object);
    if (!x || x->nd < 1 || x->nd > 2 || x->dimensions[x->nd - 1] != n_in) return not_implemented();
    const ptrdiff_t n = x->nd == 2 ? x->dimensions[0] : 1;
    const double flops = net.flops_forward() * double(n);
    if (n < 1 || (n > Predictor<T>::kMaxRows && flops >= kFlopsOfOneThread))
      return not_implemented();

    pybind11::object result;
    if (out_object == Py_None) {
      result = x->nd == 2 ? pybind11::array_t<T>({n, n_out}) : pybind11::array_t<T>(n_out);
      out_object = result.ptr();
    } else {
      const ArrayProxy* out = plain_array<T>(out_object);
      if (!out || out->nd != x->nd || out->dimensions[out->nd - 1] != n_out ||
          (x->nd == 2 && out->dimensions[0] != n) || !writable(out) ||
          overlap(out->data, n * n_out * size, x->data, n * n_in * size) ||
          overlap(out->data, n * n_out * size, params_.data(), params_.nbytes()))
        return not_implemented();
      result = pybind11::reinterpret_borrow<pybind11::object>(out_object);
    }
    T* to = reinterpret_cast<T*>(pybind11::detail::array_proxy(out_object)->data);
    const T* from = reinterpret_cast<const T*>(x->data);
    const T* flat = static_cast<const T*>(params_.data());
    bool done;
    if (flops < kFlopsWorthReleasing) {
      done = run(flat, from, n, to);
    } else {
      pybind11::gil_scoped_release release;
      done = run(flat, from, n, to);
    }
    return done ? result.release().ptr() : not_implemented();
  }

 private:
  bool run(const T* flat, const T* x, ptrdiff_t n, T* out) {
    if (n <= Predictor<T>::kMaxRows) return predictor_.run(flat, x, n, out);
    const Network<T>& net = predictor_.net();
    Data<T> data;
    data.x = reinterpret_cast<const char*>(x);
    data.x_stride = net.spec.sizes.front() * ptrdiff_t(sizeof(T));
    data.x_type = own_type<T>();
    data.n = n;
    predict(net, flat, data, out, 1);
    return true;
  }

  Predictor<T> predictor_;
  pybind11::array params_;
};

}  // namespace mlpfast
