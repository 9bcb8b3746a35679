// Running a net on many rows, or one: predictions, and totals of a data set.
#pragma once

#include "data.hpp"
#include "network.hpp"
#include "totals.hpp"

namespace mlpfast {

// Less work than this does not repay waking a thread that sleeps: 50 microseconds. To call one that
// still spins pays for a tenth of it, but nobody knows beforehand.
constexpr double kFlopsWorthAThread = 1e7;

// out (n, n_out) = net(x); x is taken from `data`, whose targets are not looked at.
template <class T>
void predict(const Network<T>& net, const T* flat, const Data<T>& data, T* out, int threads);

template <class T>
Totals evaluate(const Network<T>& net, const T* flat, const Data<T>& data, int threads);

}  // namespace mlpfast
