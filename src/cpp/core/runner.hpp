// Running a net on many rows, or one: predictions, and totals of a data set.
#pragma once

#include "data.hpp"
#include "network.hpp"
#include "totals.hpp"

namespace mlpfast {

// Less work than this does not repay waking a sleeping thread, which takes 50 microseconds. One
// that still spins is worth calling for a tenth of the work, but that cannot be known beforehand.
constexpr double kFlopsWorthAThread = 1e7;

// out (n, n_out) = net(x); x is taken from `data`, whose targets are ignored.
template <class T>
void predict(const Network<T>& net, const T* flat, const Data<T>& data, T* out, int threads);

template <class T>
Totals evaluate(const Network<T>& net, const T* flat, const Data<T>& data, int threads);

}  // namespace mlpfast
