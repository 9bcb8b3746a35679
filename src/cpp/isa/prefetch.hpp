// Prefetches memory before it is needed, so that many cache lines are in flight at once.
#pragma once

#include <cstddef>

#if defined(_MSC_VER) && defined(MLPFAST_X86)
#include <immintrin.h>
#endif

namespace mlpfast {

// Into the second-level cache, which has more requests in flight than the first; ToWrite requests
// exclusive ownership, which takes the lines out of the caches of other cores.
template <bool ToWrite = false>
inline void prefetch(const void* begin, ptrdiff_t bytes) {
  for (ptrdiff_t at = 0; at < bytes; at += 64) {
    const char* line = static_cast<const char*>(begin) + at;
#if defined(__GNUC__) || defined(__clang__)
    __builtin_prefetch(line, ToWrite ? 1 : 0, 2);
#elif defined(_MSC_VER) && defined(MLPFAST_X86)
    _mm_prefetch(line, _MM_HINT_T1);
#else
    (void)line;
#endif
  }
}

}  // namespace mlpfast
