// A bare Python function for predictions of a few rows, whose call costs less than the arithmetic.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include "core/predictor.hpp"

namespace mlpfast {

// Below this much work, about five microseconds, the GIL is kept: handing it over would cost more.
constexpr double kFlopsWorthReleasing = 2e5;

// predict(x, out) -> array: for a contiguous x of the net's dtype with (n_in,) or (n, n_in)
// elements, n small, and out None or a fitting array apart from x and the parameters. For all
// other arguments it returns NotImplemented, and the caller looks at them with care.
template <class T>
class FastPredict {
 public:
  FastPredict(std::shared_ptr<const Network<T>> net, pybind11::array params)
      : predictor_(std::move(net)), params_(std::move(params)) {}

  static pybind11::object make(std::shared_ptr<const Network<T>> net, pybind11::array params) {
    static PyMethodDef def = {
        "predict", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(&FastPredict::call)),
        METH_FASTCALL, "predict(x, out)"};
    auto* self = new FastPredict(std::move(net), std::move(params));
    pybind11::capsule owner(self, [](void* p) { delete static_cast<FastPredict*>(p); });
    PyObject* function = PyCFunction_New(&def, owner.ptr());
    if (!function) throw pybind11::error_already_set();
    return pybind11::reinterpret_steal<pybind11::object>(function);
  }

 private:
  using ArrayProxy = pybind11::detail::PyArray_Proxy;

  static PyObject* not_implemented() {
    Py_INCREF(Py_NotImplemented);
    return Py_NotImplemented;
  }

  // The array's fields if it is one, of this dtype, contiguous, aligned and in native order.
  static const ArrayProxy* plain_array(PyObject* object) {
    const auto& api = pybind11::detail::npy_api::get();
    if (Py_TYPE(object) != api.PyArray_Type_) return nullptr;
    const auto* array = pybind11::detail::array_proxy(object);
    constexpr int wanted = pybind11::detail::npy_api::NPY_ARRAY_C_CONTIGUOUS_ |
                           pybind11::detail::npy_api::NPY_ARRAY_ALIGNED_;
    static PyObject* const dtype = pybind11::dtype::of<T>().release().ptr();
    return (array->flags & wanted) == wanted && array->descr == dtype ? array : nullptr;
  }

  static bool overlap(const void* a, ptrdiff_t bytes_a, const void* b, ptrdiff_t bytes_b) {
    const auto x = reinterpret_cast<uintptr_t>(a), y = reinterpret_cast<uintptr_t>(b);
    return x < y + size_t(bytes_b) && y < x + size_t(bytes_a);
  }

  static PyObject* call(PyObject* owner, PyObject* const* args, Py_ssize_t n_args) {
    auto* self = static_cast<FastPredict*>(PyCapsule_GetPointer(owner, nullptr));
    if (n_args != 2) return not_implemented();
    try {
      return self->predict(args[0], args[1]);
    } catch (pybind11::error_already_set& error) {
      error.restore();
      return nullptr;
    } catch (const std::exception& error) {
      PyErr_SetString(PyExc_RuntimeError, error.what());
      return nullptr;
    }
  }

  PyObject* predict(PyObject* x_object, PyObject* out_object) {
    constexpr int writable = pybind11::detail::npy_api::NPY_ARRAY_WRITEABLE_;
    constexpr ptrdiff_t size = ptrdiff_t(sizeof(T));
    const Network<T>& net = predictor_.net();
    const ptrdiff_t n_in = net.spec.sizes.front(), n_out = net.spec.sizes.back();
    const ArrayProxy* x = plain_array(x_object);
    if (!x || x->nd < 1 || x->nd > 2 || x->dimensions[x->nd - 1] != n_in) return not_implemented();
    const ptrdiff_t n = x->nd == 2 ? x->dimensions[0] : 1;
    if (n < 1 || n > Predictor<T>::kMaxRows) return not_implemented();

    pybind11::object result;
    if (out_object == Py_None) {
      result = x->nd == 2 ? pybind11::array_t<T>({n, n_out}) : pybind11::array_t<T>(n_out);
      out_object = result.ptr();
    } else {
      const ArrayProxy* out = plain_array(out_object);
      if (!out || out->nd != x->nd || out->dimensions[out->nd - 1] != n_out ||
          (x->nd == 2 && out->dimensions[0] != n) || !(out->flags & writable) ||
          overlap(out->data, n * n_out * size, x->data, n * n_in * size) ||
          overlap(out->data, n * n_out * size, params_.data(), params_.nbytes()))
        return not_implemented();
      result = pybind11::reinterpret_borrow<pybind11::object>(out_object);
    }
    T* to = reinterpret_cast<T*>(pybind11::detail::array_proxy(out_object)->data);
    const T* from = reinterpret_cast<const T*>(x->data);
    const T* flat = static_cast<const T*>(params_.data());
    bool done;
    if (net.flops_forward() * double(n) < kFlopsWorthReleasing) {
      done = predictor_.run(flat, from, n, to);
    } else {
      pybind11::gil_scoped_release release;
      done = predictor_.run(flat, from, n, to);
    }
    return done ? result.release().ptr() : not_implemented();
  }

  Predictor<T> predictor_;
  pybind11::array params_;
};

}  // namespace mlpfast
