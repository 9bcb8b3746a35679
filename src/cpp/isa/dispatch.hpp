// Which instruction sets this build has and this CPU can run.
#pragma once

#include <string>
#include <vector>

#include "../kernels/kernels.hpp"

namespace mlpfast {

// Best first; the last runs on any CPU of the architecture.
const std::vector<const KernelSet*>& usable_kernels();

// The named set, or the best for an empty name; throws std::invalid_argument.
const KernelSet& choose_kernels(const std::string& name);

}  // namespace mlpfast
