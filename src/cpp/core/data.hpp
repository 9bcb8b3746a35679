// Rows that the caller owns, and how a batch of them is read into the net's own dtype.
#pragma once

#include <cstdint>

#include "spec.hpp"

namespace mlpfast {

enum class InputType { f32, f64, u8 };

template <class T>
struct Data {
  const char* x = nullptr;
  ptrdiff_t x_stride = 0;  // bytes from row to row
  InputType x_type = InputType::f32;
  T scale = T(1);
  const T* y = nullptr;             // (n, n_out) targets, or null
  const int64_t* labels = nullptr;  // (n,) classes, if y is null
  const T* weight = nullptr;        // (n,), or null for ones
  ptrdiff_t n = 0;

  const char* row(ptrdiff_t i) const { return x + i * x_stride; }
};

// Writes row i of x, times the scale; returns whether it is finite.
template <class T>
bool read_row(const Kernels<T>& kernels, const Data<T>& data, ptrdiff_t i, T* to, ptrdiff_t n) {
  const char* from = data.row(i);
  switch (data.x_type) {
    case InputType::f32:
      return kernels.convert_f32(reinterpret_cast<const float*>(from), to, n, data.scale);
    case InputType::f64:
      return kernels.convert_f64(reinterpret_cast<const double*>(from), to, n, data.scale);
    case InputType::u8:
      return kernels.convert_u8(reinterpret_cast<const uint8_t*>(from), to, n, data.scale);
  }
  return false;
}

// Writes the targets of row i, n_out of them.
template <class T>
void read_target(const Data<T>& data, ptrdiff_t i, T* to, ptrdiff_t n_out) {
  if (data.y) {
    for (ptrdiff_t j = 0; j < n_out; ++j) to[j] = data.y[i * n_out + j];
  } else {
    for (ptrdiff_t j = 0; j < n_out; ++j) to[j] = T(0);
    to[data.labels[i]] = T(1);
  }
}

}  // namespace mlpfast
