// The arguments and the result of a run of epochs, and how often it polls whether to stop.
#pragma once

#include <algorithm>
#include <chrono>
#include <functional>
#include <vector>

#include "data.hpp"
#include "totals.hpp"

namespace mlpfast {

enum class Status { ok, interrupted, diverged, bad_input };

// Tells a run from outside to stop.
struct Poll {
  const volatile uint8_t* stop = nullptr;  // any thread may set it
  std::function<bool()> check;             // called now and then; true ends the run
};

template <class T>
struct RunArgs {
  Data<T> data;
  const int64_t* orders = nullptr;         // (epochs, data.n), or null
  const double* learning_rates = nullptr;  // (epochs, rates_an_epoch)
  ptrdiff_t rates_an_epoch = 1;            // or one for each step
  const uint64_t* dropout_keys = nullptr;  // (epochs,), for a net with dropout
  ptrdiff_t epochs = 0, batch_size = 1;
  std::vector<double> l2;  // one a layer
  bool l2_per_row = false, want_penalty = false,
       check_finite = true;  // see RunOptions in backends/base.py
  bool want_metrics = false;
  int threads = 1;
  Poll poll;

  // Learning rate of the step of an epoch that begins with row `first`.
  double rate(ptrdiff_t epoch, ptrdiff_t first) const {
    const ptrdiff_t step = rates_an_epoch > 1 ? first / batch_size : 0;
    return learning_rates[epoch * rates_an_epoch + step];
  }
  bool has_l2() const {
    return std::any_of(l2.begin(), l2.end(), [](double factor) { return factor != 0; });
  }
};

struct RunResult {
  Status status = Status::ok;
  ptrdiff_t bad_row = -1;
  std::vector<Totals> totals;  // of each finished epoch, and of one that was interrupted
};

// Polls between batches: the flag each time, the check a few times a second.
class Watch {
 public:
  // The clock is looked at after about a millisecond's worth of batches.
  Watch(const Poll& poll, double flops_of_batch)
      : poll_(poll), patience_(int(std::clamp(1e8 / (flops_of_batch + 1e4), 1.0, 10000.0))) {}

  // Whether to end the run, some batches after the last call.
  bool must_stop(int batches) {
    if (poll_.stop && *poll_.stop) return true;
    if (!poll_.check || (until_clock_ -= batches) > 0) return false;
    until_clock_ = patience_;
    const auto now = Clock::now();
    if (now - checked_ < kCheckInterval) return false;
    checked_ = now;
    return poll_.check();
  }

 private:
  using Clock = std::chrono::steady_clock;
  static constexpr auto kCheckInterval = std::chrono::milliseconds(50);

  const Poll& poll_;
  int patience_;
  int until_clock_ = patience_;
  Clock::time_point checked_ = Clock::now();
};

}  // namespace mlpfast
