// The floating-point mode of a thread while it trains.
#pragma once

#include <cstdint>

#if defined(MLPFAST_X86)
#include <immintrin.h>
#endif

namespace mlpfast {

// Within its scope: round to nearest, subnormal numbers are flushed to 0. The moments of units
// whose gradient has vanished decay until they are subnormal and then stay so; arithmetic on
// subnormals is done in microcode, at about 150 cycles an operation. Each thread sets the mode, so
// that results do not depend on what the caller has set, and restores it.
class TrainingFloatMode {
 public:
  TrainingFloatMode(const TrainingFloatMode&) = delete;
#if defined(MLPFAST_X86)
  TrainingFloatMode() : saved_(_mm_getcsr()) { _mm_setcsr(0x9fc0u); }
  ~TrainingFloatMode() { _mm_setcsr(saved_); }

 private:
  unsigned saved_;
#elif defined(__aarch64__) && !defined(_MSC_VER)
  TrainingFloatMode() {
    __asm__ volatile("mrs %0, fpcr" : "=r"(saved_));
    __asm__ volatile("msr fpcr, %0" : : "r"(uint64_t(1) << 24));
  }
  ~TrainingFloatMode() { __asm__ volatile("msr fpcr, %0" : : "r"(saved_)); }

 private:
  uint64_t saved_;
#else
  TrainingFloatMode() {}
  ~TrainingFloatMode() {}
#endif
};

}  // namespace mlpfast
