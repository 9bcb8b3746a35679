// The kernels for any CPU. All but the one exported table has internal linkage.
#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>

#include "../kernels/kernels.hpp"

namespace mlpfast {
namespace {
#include "vec_scalar.hpp"

#include "../kernels/all.inl.hpp"
}  // namespace

extern const KernelSet kernels_scalar;
const KernelSet kernels_scalar = {"scalar", &table<float>, &table<double>};
}  // namespace mlpfast
