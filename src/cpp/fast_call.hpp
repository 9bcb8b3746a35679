// Bare Python functions: the common part of the shortcuts past the argument checks.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <new>

namespace mlpfast {

using ArrayProxy = pybind11::detail::PyArray_Proxy;

inline PyObject* not_implemented() {
  Py_INCREF(Py_NotImplemented);
  return Py_NotImplemented;
}

// The array's fields if it is one, of this dtype, contiguous, aligned and in native order.
template <class T>
const ArrayProxy* plain_array(PyObject* object) {
  const auto& api = pybind11::detail::npy_api::get();
  if (Py_TYPE(object) != api.PyArray_Type_) return nullptr;
  const auto* array = pybind11::detail::array_proxy(object);
  constexpr int wanted = pybind11::detail::npy_api::NPY_ARRAY_C_CONTIGUOUS_ |
                         pybind11::detail::npy_api::NPY_ARRAY_ALIGNED_;
  static PyObject* const dtype = pybind11::dtype::of<T>().release().ptr();
  return (array->flags & wanted) == wanted && array->descr == dtype ? array : nullptr;
}

inline bool writable(const ArrayProxy* array) {
  return array->flags & pybind11::detail::npy_api::NPY_ARRAY_WRITEABLE_;
}

inline bool overlap(const void* a, ptrdiff_t bytes_a, const void* b, ptrdiff_t bytes_b) {
  const auto x = reinterpret_cast<uintptr_t>(a), y = reinterpret_cast<uintptr_t>(b);
  return x < y + size_t(bytes_b) && y < x + size_t(bytes_a);
}

// A Python function that calls `self->call(args)` with exactly `n_args` positional arguments and
// owns `self`; for any other number it returns NotImplemented.
template <class Self, int n_args>
class FastCall {
 public:
  static pybind11::object make(Self* self, const char* name) {
    pybind11::capsule owner(self, [](void* p) { delete static_cast<Self*>(p); });
    static PyMethodDef def = {
        name, reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(&FastCall::call)),
        METH_FASTCALL, nullptr};
    PyObject* function = PyCFunction_New(&def, owner.ptr());
    if (!function) throw pybind11::error_already_set();
    return pybind11::reinterpret_steal<pybind11::object>(function);
  }

 private:
  static PyObject* call(PyObject* owner, PyObject* const* args, Py_ssize_t given) {
    auto* self = static_cast<Self*>(PyCapsule_GetPointer(owner, nullptr));
    if (given != n_args) return not_implemented();
    try {
      return self->call(args);
    } catch (pybind11::error_already_set& error) {
      error.restore();
      return nullptr;
    } catch (const std::bad_alloc&) {
      return PyErr_NoMemory();
    } catch (const std::exception& error) {
      PyErr_SetString(PyExc_RuntimeError, error.what());
      return nullptr;
    }
  }
};

}  // namespace mlpfast
