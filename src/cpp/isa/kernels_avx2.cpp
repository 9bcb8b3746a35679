// The kernels for CPUs with AVX2 and FMA. All but the one exported table has internal linkage.
#include <immintrin.h>

#include <cstring>
#include <limits>
#include <type_traits>

#include "../kernels/kernels.hpp"

namespace mlpfast {
namespace {
#include "vec_avx2.hpp"

#include "../kernels/all.inl.hpp"
}  // namespace

extern const KernelSet kernels_avx2;
const KernelSet kernels_avx2 = {"avx2", &table<float>, &table<double>};
}  // namespace mlpfast
