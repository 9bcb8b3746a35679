// The kernels for CPUs with AVX-512 F, DQ, BW and VL. All but the one exported table has internal
// linkage.
#include <immintrin.h>

#include <cstring>
#include <limits>
#include <type_traits>

#include "../kernels/kernels.hpp"

namespace mlpfast {
namespace {
#include "vec_avx512.hpp"

#include "../kernels/all.inl.hpp"
}  // namespace

extern const KernelSet kernels_avx512;
const KernelSet kernels_avx512 = {"avx512", &table<float>, &table<double>};
}  // namespace mlpfast
