// The records of backends/base.py, read field by field: arrays are taken as they are, C-contiguous,
// of exactly the right dtype, and never converted.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <atomic>
#include <optional>
#include <string>

#include "core/run.hpp"

namespace mlpfast {

template <class T>
using In = pybind11::array_t<T, pybind11::array::c_style>;
template <class T>
using MaybeIn = std::optional<In<T>>;

// The name of a field, made into a Python string once: a run of a small net is a few microseconds.
class FieldName {
 public:
  explicit constexpr FieldName(const char* text) : text_(text) {}
  PyObject* get() const {
    PyObject* name = interned_.load(std::memory_order_acquire);
    if (name) return name;
    name = PyUnicode_InternFromString(text_);
    if (!name) throw pybind11::error_already_set();
    interned_.store(name, std::memory_order_release);  // interned: two threads store the same
    return name;
  }
  const char* text() const { return text_; }

 private:
  const char* text_;
  mutable std::atomic<PyObject*> interned_{nullptr};
};

// Reads the fields of a Python object by name.
class Record {
 public:
  explicit Record(pybind11::handle record) : record_(record) {}

  pybind11::object get(const char* name) const { return record_.attr(name); }
  pybind11::object get(const FieldName& name) const {
    return pybind11::getattr(record_, pybind11::handle(name.get()));
  }
  template <class V, class Name>
  V as(const Name& name) const {
    return get(name).template cast<V>();
  }
  // A number; 0 where the record lacks it or has None.
  template <class V>
  V number(const char* name) const {
    const pybind11::object value = pybind11::getattr(record_, name, pybind11::none());
    return value.is_none() ? V(0) : value.cast<V>();
  }
  // An integer, clipped to the range of ptrdiff_t.
  template <class Name>
  ptrdiff_t count(const Name& name) const {
    const ptrdiff_t n = PyNumber_AsSsize_t(get(name).ptr(), nullptr);
    if (n == -1 && PyErr_Occurred()) throw pybind11::error_already_set();
    return n;
  }
  template <class V>
  In<V> array(const FieldName& name) const {
    pybind11::object value = get(name);
    if (!In<V>::check_(value))
      throw pybind11::type_error(
          std::string(name.text()) + " must be a C-contiguous array of " +
          pybind11::str(pybind11::dtype::of<V>()).template cast<std::string>());
    return pybind11::reinterpret_steal<In<V>>(value.release());
  }
  template <class V>
  MaybeIn<V> maybe_array(const FieldName& name) const {
    if (get(name).is_none()) return std::nullopt;
    return array<V>(name);
  }

 private:
  pybind11::handle record_;
};

// Rows of float32, float64 or uint8, each contiguous, any distance apart.
template <class T>
Data<T> rows_of(const pybind11::array& x, double scale) {
  Data<T> data;
  data.x = static_cast<const char*>(x.data());
  data.x_stride = x.strides(0);
  data.n = x.shape(0);
  data.scale = T(scale);
  if (pybind11::isinstance<pybind11::array_t<float>>(x))
    data.x_type = InputType::f32;
  else if (pybind11::isinstance<pybind11::array_t<double>>(x))
    data.x_type = InputType::f64;
  else if (pybind11::isinstance<pybind11::array_t<uint8_t>>(x))
    data.x_type = InputType::u8;
  else
    throw pybind11::type_error("x must be float32, float64 or uint8");
  return data;
}

namespace fields {
inline const FieldName x{"x"};
inline const FieldName y{"y"};
inline const FieldName input_scale{"input_scale"};
inline const FieldName sample_weight{"sample_weight"};
inline const FieldName learning_rates{"learning_rates"};
inline const FieldName orders{"orders"};
inline const FieldName dropout_keys{"dropout_keys"};
inline const FieldName stop{"stop"};
inline const FieldName batch_size{"batch_size"};
inline const FieldName l2{"l2"};
inline const FieldName l2_per_row{"l2_per_row"};
inline const FieldName want_penalty{"want_penalty"};
inline const FieldName want_metrics{"want_metrics"};
inline const FieldName check_finite{"check_finite"};
}  // namespace fields

// `Data`, with the arrays that it lies in.
template <class T>
class DataRecord {
 public:
  explicit DataRecord(const Record& record) : x_(record.get(fields::x)), y_(record.get(fields::y)) {
    if (!pybind11::isinstance<pybind11::array>(x_) || !pybind11::isinstance<pybind11::array>(y_))
      throw pybind11::type_error("x and y must be arrays");
    data = rows_of<T>(pybind11::reinterpret_borrow<pybind11::array>(x_),
                      record.as<double>(fields::input_scale));
    const auto y = pybind11::reinterpret_borrow<pybind11::array>(y_);
    if (In<int64_t>::check_(y_) && y.ndim() == 1)
      data.labels = static_cast<const int64_t*>(y.data());
    else if (In<T>::check_(y_))
      data.y = static_cast<const T*>(y.data());
    else
      throw pybind11::type_error("y must be targets of the net's dtype or int64 labels");
    weight_ = record.maybe_array<T>(fields::sample_weight);
    data.weight = weight_ ? weight_->data() : nullptr;
  }

  Data<T> data;

 private:
  pybind11::object x_, y_;
  MaybeIn<T> weight_;
};

// `Data`, `Epochs` and `RunOptions` of a run.
template <class T>
class RunRecords {
 public:
  RunRecords(const Record& data, const Record& epochs, const Record& options, int threads)
      : data_(data),
        learning_rates_(epochs.array<double>(fields::learning_rates)),
        orders_(epochs.maybe_array<int64_t>(fields::orders)),
        dropout_keys_(epochs.maybe_array<uint64_t>(fields::dropout_keys)),
        stop_(options.array<uint8_t>(fields::stop)) {
    args.data = data_.data;
    args.orders = orders_ ? orders_->data() : nullptr;
    args.learning_rates = learning_rates_.data();
    args.epochs = learning_rates_.shape(0);
    args.rates_an_epoch = learning_rates_.ndim() > 1 ? learning_rates_.shape(1) : 1;
    args.dropout_keys = dropout_keys_ ? dropout_keys_->data() : nullptr;
    args.batch_size = std::min(options.count(fields::batch_size), args.data.n);
    args.l2 = options.as<std::vector<double>>(fields::l2);
    args.l2_per_row = options.as<bool>(fields::l2_per_row);
    args.want_penalty = options.as<bool>(fields::want_penalty);
    args.want_metrics = options.as<bool>(fields::want_metrics);
    args.check_finite = options.as<bool>(fields::check_finite);
    args.threads = threads;
    args.poll.stop = stop_.data();
  }

  RunArgs<T> args;

 private:
  DataRecord<T> data_;
  In<double> learning_rates_;
  MaybeIn<int64_t> orders_;
  MaybeIn<uint64_t> dropout_keys_;
  In<uint8_t> stop_;
};

}  // namespace mlpfast
