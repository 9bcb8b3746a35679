// Asks the CPU and the operating system once, and lists what can run.
#include "dispatch.hpp"

#include <cstdint>
#include <stdexcept>

#ifdef MLPFAST_X86
#ifdef _MSC_VER
#include <intrin.h>
#else
#include <cpuid.h>
#endif
#endif

namespace mlpfast {

extern const KernelSet kernels_scalar;
#ifdef MLPFAST_X86
extern const KernelSet kernels_avx2;
extern const KernelSet kernels_avx512;
#endif
#ifdef MLPFAST_NEON
extern const KernelSet kernels_neon;
#endif

namespace {

#ifdef MLPFAST_X86
struct Registers {
  uint32_t eax, ebx, ecx, edx;
};

Registers cpuid(uint32_t leaf, uint32_t subleaf) {
  Registers r{};
#ifdef _MSC_VER
  int out[4];
  __cpuidex(out, int(leaf), int(subleaf));
  r = {uint32_t(out[0]), uint32_t(out[1]), uint32_t(out[2]), uint32_t(out[3])};
#else
  __cpuid_count(leaf, subleaf, r.eax, r.ebx, r.ecx, r.edx);
#endif
  return r;
}

// Registers that the operating system saves on a context switch.
uint64_t saved_state() {
#ifdef _MSC_VER
  return _xgetbv(0);
#else
  uint32_t low, high;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return uint64_t(high) << 32 | low;
#endif
}

constexpr bool bit(uint32_t word, int i) { return (word >> i & 1u) != 0; }

struct X86Features {
  bool avx2 = false, avx512 = false;

  X86Features() {
    if (cpuid(0, 0).eax < 7) return;
    const Registers one = cpuid(1, 0), seven = cpuid(7, 0);
    const bool osxsave = bit(one.ecx, 27), avx = bit(one.ecx, 28), fma = bit(one.ecx, 12);
    if (!osxsave || !avx) return;
    const uint64_t saved = saved_state();
    const bool ymm_saved = (saved & 0x6) == 0x6, zmm_saved = (saved & 0xe6) == 0xe6;
    avx2 = ymm_saved && fma && bit(seven.ebx, 5);
    // F, DQ, BW, VL
    avx512 = avx2 && zmm_saved && bit(seven.ebx, 16) && bit(seven.ebx, 17) && bit(seven.ebx, 30) &&
             bit(seven.ebx, 31);
  }
};
#endif

std::vector<const KernelSet*> find_usable() {
  std::vector<const KernelSet*> sets;
#ifdef MLPFAST_X86
  const X86Features cpu;
  if (cpu.avx512) sets.push_back(&kernels_avx512);  // Intel Skylake-SP, AMD Zen 4, and later
  if (cpu.avx2) sets.push_back(&kernels_avx2);      // Intel Haswell, AMD Zen, and later
#endif
#ifdef MLPFAST_NEON
  sets.push_back(&kernels_neon);
#endif
  sets.push_back(&kernels_scalar);
  return sets;
}

}  // namespace

const std::vector<const KernelSet*>& usable_kernels() {
  static const std::vector<const KernelSet*> sets = find_usable();
  return sets;
}

const KernelSet& choose_kernels(const std::string& name) {
  if (name.empty()) return *usable_kernels().front();
  std::string names;
  for (const KernelSet* set : usable_kernels()) {
    if (name == set->name) return *set;
    names += std::string(names.empty() ? "" : ", ") + set->name;
  }
  throw std::invalid_argument("instruction set '" + name +
                              "' cannot run here; this machine and build have " + names);
}

}  // namespace mlpfast
