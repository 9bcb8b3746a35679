// A hint to the CPU that a thread is spinning.
#pragma once

#if defined(MLPFAST_X86)
#include <immintrin.h>
#endif

namespace mlpfast {

inline void pause_briefly() {
#if defined(MLPFAST_X86)
  _mm_pause();
#elif defined(__aarch64__) && !defined(_MSC_VER)
  __asm__ __volatile__("yield");
#endif
}

}  // namespace mlpfast
