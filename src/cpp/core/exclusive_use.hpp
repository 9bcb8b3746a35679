// Keeps a second thread out of an object that only one may use at a time.
#pragma once

#include <atomic>
#include <stdexcept>

namespace mlpfast {

// Holds the flag while it lives. Throws std::runtime_error, with the message, if it is held
// already.
class ExclusiveUse {
 public:
  ExclusiveUse(std::atomic_flag& flag, const char* message) : flag_(flag) {
    if (flag_.test_and_set(std::memory_order_acquire)) throw std::runtime_error(message);
  }
  ~ExclusiveUse() { flag_.clear(std::memory_order_release); }
  ExclusiveUse(const ExclusiveUse&) = delete;

 private:
  std::atomic_flag& flag_;
};

}  // namespace mlpfast
