// Blocks of rows that are held unit-major, as the plans for nets with few parameters have them: how
// they are read, and how the loss is had from them.
#pragma once

#include "network.hpp"

namespace mlpfast {

// What is read of some rows.
template <class T>
struct UnitRows {
  T* x;       // (n_in, ld)
  T* target;  // (n_out, ld)
  T* weight;  // (rows,) sample weights
  static ptrdiff_t size(const NetSpec& spec, ptrdiff_t ld) {
    return (spec.sizes.front() + spec.sizes.back() + 1) * ld;
  }
  // As they lie in so many elements from `memory` on.
  static UnitRows in(T* memory, const NetSpec& spec, ptrdiff_t ld) {
    T* target = memory + spec.sizes.front() * ld;
    return {memory, target, target + spec.sizes.back() * ld};
  }
};

// Room to read rows with.
template <class T>
struct RowReader {
  const T** rows;  // where the rows of x, then those of y begin, `most` each
  T* read;         // rows of x that had to be converted (most, ld_input)
  ptrdiff_t most;
  // Reads some rows of the batch, and repeats the last up to `all`; returns the first that is not
  // finite, or -1.
  ptrdiff_t gather(const Network<T>& net, const Batch<T>& batch, Range part, ptrdiff_t all,
                   const UnitRows<T>& to, ptrdiff_t ld) const;
};

// The loss of some rows, and the deltas of the output layer; z is where the logits stand, if the
// loss wants them.
template <class T>
Totals unit_loss(const Network<T>& net, const UnitRows<T>& in, const T* z, T* a, T* d,
                 bool has_weights, bool want_metrics, ptrdiff_t rows, ptrdiff_t ld, T scale);

}  // namespace mlpfast
