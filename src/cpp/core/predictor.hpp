// Repeated predictions of one row or a few: the memory is ready, and the weights are read from the
// caller's array, so that changes to it take effect at once.
#pragma once

#include <atomic>
#include <memory>
#include <optional>

#include "passes/row_major.hpp"

namespace mlpfast {

template <class T>
class Predictor {
 public:
  static constexpr ptrdiff_t kMaxRows = 16;

  explicit Predictor(std::shared_ptr<const Network<T>> net);

  const Network<T>& net() const { return *net_; }
  // out (n, n_out) = net(x), x (n, n_in) contiguous, n at most kMaxRows. Returns false, with
  // nothing done, while another thread is in here.
  bool run(const T* flat, const T* x, ptrdiff_t n, T* out);

 private:
  // The outputs are left in the buffers of the pass.
  void run_row(const T* flat, const T* x) const;

  std::shared_ptr<const Network<T>> net_;
  Arena arena_;
  std::optional<RowMajorPass<T>> pass_;
  std::atomic_flag busy_ = ATOMIC_FLAG_INIT;
};

}  // namespace mlpfast
