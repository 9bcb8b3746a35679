// The kernels for 64-bit ARM CPUs. All but the one exported table has internal linkage.
#include <arm_neon.h>

#include <cstring>
#include <limits>
#include <type_traits>

#include "../kernels/kernels.hpp"

namespace mlpfast {
namespace {
#include "vec_neon.hpp"

#include "../kernels/all.inl.hpp"
}  // namespace

extern const KernelSet kernels_neon;
const KernelSet kernels_neon = {"neon", &table<float>, &table<double>};
}  // namespace mlpfast
