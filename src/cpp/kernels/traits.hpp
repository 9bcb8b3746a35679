// The facts of ops.hpp as data, for the core and the bindings.
//
// The ISA files must not include it: a function compiled with their flags could become the copy
// that the whole program uses.
#pragma once

#include "ops.hpp"

namespace mlpfast {

struct ActivationTraits {
  const char* name;
  bool keeps_z, has_gradient, derives_by_sign, whole_rows;
};

struct LossTraits {
  const char* name;
  bool mean, whole_rows;
  Activation logits_output;  // or count
  bool needs_output;
  double low, high;
  const char* parameter;  // or null
  Slopes<double> (*slopes)(double parameter);
};

struct UpdateTraits {
  const char* name;
  bool has_m, has_v, decays;
};

#define MLPFAST_TRAITS(name, F) \
  {#name, F::keeps_z, F::has_gradient, F::derives_by_sign, F::whole_rows},
inline constexpr ActivationTraits kActivations[] = {MLPFAST_ACTIVATIONS(MLPFAST_TRAITS)};
#undef MLPFAST_TRAITS

#define MLPFAST_TRAITS(name, L)                                       \
  {#name,  L::mean, L::whole_rows, L::logits_output, L::needs_output, \
   L::low, L::high, L::parameter,  L::slopes},
inline constexpr LossTraits kLosses[] = {MLPFAST_LOSSES(MLPFAST_TRAITS)};
#undef MLPFAST_TRAITS

#define MLPFAST_TRAITS(name, U) {#name, U::has_m, U::has_v, U::decays},
inline constexpr UpdateTraits kUpdates[] = {MLPFAST_UPDATES(MLPFAST_TRAITS)};
#undef MLPFAST_TRAITS

inline const ActivationTraits& traits(Activation a) { return kActivations[int(a)]; }
inline const LossTraits& traits(Loss l) { return kLosses[int(l)]; }
inline const UpdateTraits& traits(Update u) { return kUpdates[int(u)]; }

// Whether the loss of a net with this output activation is computed from the logits.
inline bool from_logits(Loss l, Activation output) {
  return traits(l).needs_output || traits(l).logits_output == output;
}

}  // namespace mlpfast
