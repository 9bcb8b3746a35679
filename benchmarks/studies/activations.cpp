// Times the activation kernels of one instruction set as they are shipped, an element and core.
//
// Compiled together with src/cpp/isa/kernels_<isa>.cpp and its flags; MLPFAST_KERNELS names the
// table that file exports. Usage: activations SECONDS CPU; prints one JSON object of seconds.

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <memory>
#include <vector>

#if defined(__linux__)
#include <sched.h>
#endif

#include "../../src/cpp/kernels/kernels.hpp"

namespace mlpfast {
extern const KernelSet MLPFAST_KERNELS;
}
using namespace mlpfast;

namespace {

using Clock = std::chrono::steady_clock;

double g_seconds = 0.01;
bool g_first = true;

// In and out of the L1 cache, in float64 too.
constexpr ptrdiff_t kElements = 2048;
constexpr ptrdiff_t kClasses = 10, kStride = 16;

template <class T>
struct alignas(64) Arrays {
  T z[kElements + kStride], a[kElements + kStride], target[kElements + kStride];
  T delta[kElements + kStride], row_scale[kElements];
  double row_loss[kElements];
};

// Seconds of one call: the least of five runs of a fifth of the time each.
template <class Work>
double least(const Work& work) {
  double best = std::numeric_limits<double>::infinity();
  for (int run = 0; run < 5; ++run) {
    work();
    const auto begin = Clock::now();
    double taken = 0;
    long calls = 0;
    do {
      for (int i = 0; i < 16; ++i) work();
      calls += 16;
      taken = std::chrono::duration<double>(Clock::now() - begin).count();
    } while (taken < g_seconds / 5);
    best = std::min(best, taken / double(calls));
  }
  return best;
}

void show(const char* name, const char* dtype, double seconds) {
  std::printf("%s\"%s %s\": %.6g", g_first ? "{" : ", ", name, dtype, seconds);
  g_first = false;
}

template <class T>
void measure(const Kernels<T>& kernels, const char* dtype) {
  const auto arrays = std::make_unique<Arrays<T>>();
  Arrays<T>& x = *arrays;
  for (ptrdiff_t i = 0; i < kElements; ++i) {
    x.z[i] = T(6 * std::sin(0.7 * double(i)));
    x.target[i] = T(i % kStride == 3);
    x.row_scale[i] = T(1);
  }
  const struct {
    const char* name;
    Activation which;
  } all[] = {{"exp", Activation::exp},   {"sigmoid", Activation::sigmoid},
             {"tanh", Activation::tanh}, {"softplus", Activation::softplus},
             {"gelu", Activation::gelu}, {"silu", Activation::silu}};
  for (const auto& one : all) {
    const auto f = kernels.activate[int(one.which)];
    const double taken = least([&] { f(x.z, x.a, 1, kElements, kElements); });
    show(one.name, dtype, taken / double(kElements));
  }
  const ptrdiff_t rows = kElements / kStride;
  const auto softmax = kernels.activate[int(Activation::softmax)];
  const double taken = least([&] { softmax(x.z, x.a, rows, kClasses, kStride); });
  show("softmax of 10", dtype, taken / double(rows * kClasses));
  LossRows<T> r{};
  r.z = x.z;
  r.a = x.a;
  r.target = x.target;
  r.row_scale = x.row_scale;
  r.delta = x.delta;
  r.row_loss = x.row_loss;
  r.rows = rows;
  r.cols = kClasses;
  r.ld = r.ld_target = kStride;
  const auto loss = kernels.loss[int(Loss::categorical_crossentropy)][true];  // from the logits
  show("cross-entropy of 10", dtype, least([&] { loss(r); }) / double(rows * kClasses));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: activations SECONDS CPU\n");
    return 2;
  }
  g_seconds = std::atof(argv[1]);
#if defined(__linux__)
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(std::atoi(argv[2]), &set);
  sched_setaffinity(0, sizeof set, &set);
#endif
  measure<float>(*MLPFAST_KERNELS.f32, "float32");
  measure<double>(*MLPFAST_KERNELS.f64, "float64");
  std::printf("}\n");
  return 0;
}
