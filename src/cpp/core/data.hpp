// Rows that the caller owns, and how a batch of them is converted to the net's dtype.
#pragma once

#include <cstdint>

#include "spec.hpp"

namespace mlpfast {

// The input type that needs no conversion.
template <class T>
constexpr InputType own_type();
template <>
constexpr InputType own_type<float>() {
  return InputType::f32;
}
template <>
constexpr InputType own_type<double>() {
  return InputType::f64;
}

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
  // Whether the rows need no conversion: then x is row-major with leading dimension `ld`.
  bool in_place() const {
    return x_type == own_type<T>() && scale == T(1) && x_stride % ptrdiff_t(sizeof(T)) == 0;
  }
  ptrdiff_t ld() const { return x_stride / ptrdiff_t(sizeof(T)); }
};

// Some rows of the data, in some order.
template <class T>
struct Batch {
  const Data<T>* data = nullptr;
  const int64_t* order = nullptr;  // or null
  ptrdiff_t first = 0, rows = 0;

  ptrdiff_t row(ptrdiff_t i) const { return order ? ptrdiff_t(order[first + i]) : first + i; }
  // Bytes of the first `cols` columns of a row.
  ptrdiff_t bytes(ptrdiff_t cols) const {
    constexpr ptrdiff_t size[] = {sizeof(float), sizeof(double), sizeof(uint8_t)};
    return cols * size[int(data->x_type)];
  }
  // The arguments of the gather kernel for some rows of `cols` columns, without the destination.
  Gather<T> gather(Range part, ptrdiff_t cols) const {
    Gather<T> g{};
    g.x = data->x;
    g.stride = data->x_stride;
    if (order)
      g.order = order + first + part.begin;
    else
      g.x += (first + part.begin) * g.stride;
    g.rows = part.size();
    g.cols = cols;
    g.scale = data->scale;
    return g;
  }
  // The factor from the summed to the reduced loss; 0 where all weights are 0.
  double scale(Reduction reduction) const {
    if (reduction == Reduction::sum) return 1.0;
    const bool weighted = data->weight && reduction == Reduction::mean;
    double weight = weighted ? 0.0 : double(rows);
    if (weighted)
      for (ptrdiff_t i = 0; i < rows; ++i) weight += double(data->weight[row(i)]);
    return weight != 0 ? 1.0 / weight : 0.0;
  }
};

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

template <class T>
void copy_rows(const T* from, ptrdiff_t ld_from, T* to, ptrdiff_t ld_to, ptrdiff_t rows,
               ptrdiff_t cols) {
  for (ptrdiff_t i = 0; i < rows; ++i)
    for (ptrdiff_t j = 0; j < cols; ++j) to[i * ld_to + j] = from[i * ld_from + j];
}

}  // namespace mlpfast
