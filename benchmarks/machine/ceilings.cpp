// Measures what a processor can do at most: fused multiply-adds, reads from each memory, its clock.
//
// Usage: ceilings SECONDS THREADS CPU,CPU,...; prints one JSON object. SECONDS is how long each
// figure is measured for; every figure is the best of several runs of that length.

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#if defined(__linux__)
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#endif

#if defined(__AVX512F__)
constexpr int kBytes = 64, kAccumulators = 24;
#elif defined(__AVX__)
constexpr int kBytes = 32, kAccumulators = 12;  // 16 registers, two hold constants
#elif defined(__aarch64__)
constexpr int kBytes = 16, kAccumulators = 24;  // some cores have four pipes
#else
constexpr int kBytes = 16, kAccumulators = 12;
#endif

// Explicit widths: compilers may prefer narrower vectors when they choose for themselves.
typedef float vec32 __attribute__((vector_size(kBytes)));
typedef double vec64 __attribute__((vector_size(kBytes)));
typedef long long vecint __attribute__((vector_size(kBytes)));

using Clock = std::chrono::steady_clock;
static double g_seconds = 0.05;
static std::vector<int> g_cpus;
static volatile double g_sink;

static double since(Clock::time_point begin) {
    return std::chrono::duration<double>(Clock::now() - begin).count();
}

static void pin(int thread) {
#if defined(__linux__)
    if (g_cpus.empty()) return;
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(g_cpus[thread % g_cpus.size()], &set);
    pthread_setaffinity_np(pthread_self(), sizeof set, &set);
#else
    (void)thread;
#endif
}

// Runs `work(thread)`, which returns a rate, on all threads at once and adds up the rates. Each
// measures for the same length of time from a common start, so the intervals overlap. The best of
// several runs.
template <class Work>
static double all_threads(int threads, const Work& work, int runs = 5) {
    double best = 0;
    for (int run = 0; run < runs; ++run) {
        std::vector<double> rate(threads);
        std::atomic<int> ready{0};
        std::vector<std::thread> pool;
        for (int t = 0; t < threads; ++t) {
            pool.emplace_back([&, t] {
                pin(t);
                rate[t] = work(t, [&] {
                    ready.fetch_add(1);
                    while (ready.load() < threads) {
                    }
                });
            });
        }
        for (auto& thread : pool) thread.join();
        double sum = 0;
        for (double r : rate) sum += r;
        best = std::max(best, sum);
    }
    return best;
}

// Independent chains of acc = acc * a + b; two operations an element.
template <class Vec, class T>
static double fma_rate(const std::function<void()>& barrier) {
    Vec acc[kAccumulators];
    for (int i = 0; i < kAccumulators; ++i) acc[i] = Vec{} + T(0.1 * i);
    volatile T va = T(0.999), vb = T(0.001);
    const Vec a = Vec{} + va, b = Vec{} + vb;
    const long loops = 20000;
    barrier();
    const auto begin = Clock::now();
    double operations = 0;
    do {
        for (long n = 0; n < loops; ++n) {
#pragma GCC unroll 24
            for (int i = 0; i < kAccumulators; ++i) acc[i] = acc[i] * a + b;
        }
        operations += 2.0 * loops * kAccumulators * (kBytes / sizeof(T));
    } while (since(begin) < g_seconds);
    const double taken = since(begin);
    Vec sum = acc[0];
    for (int i = 1; i < kAccumulators; ++i) sum += acc[i];
    double total = 0;
    for (unsigned i = 0; i < kBytes / sizeof(T); ++i) total += sum[i];
    g_sink = total;
    return operations / taken;
}

struct Free {
    void operator()(void* p) const { std::free(p); }
};
using Buffer = std::unique_ptr<void, Free>;

static Buffer make_buffer(size_t bytes) {
    const size_t align = size_t(2) << 20;
    const size_t rounded = (bytes + align - 1) / align * align;
    Buffer buffer(std::aligned_alloc(align, rounded));
    if (!buffer) {
        std::fprintf(stderr, "ceilings: cannot allocate %zu bytes\n", rounded);
        std::exit(1);
    }
#if defined(__linux__)
    madvise(buffer.get(), rounded, MADV_HUGEPAGE);
#endif
    std::memset(buffer.get(), 1, rounded);
    return buffer;
}

// Sums up `bytes` bytes again and again; integer adds, which never are the bottleneck.
static double read_rate(const void* memory, size_t bytes, const std::function<void()>& barrier) {
    constexpr int kUnroll = 8;
    const vecint* p = static_cast<const vecint*>(memory);
    const size_t count = bytes / kBytes / kUnroll * kUnroll;
    vecint acc[kUnroll] = {};
    const long passes = std::max(1L, long((size_t(1) << 22) / bytes));
    auto sweep = [&] {
        for (long n = 0; n < passes; ++n) {
            for (size_t i = 0; i < count; i += kUnroll) {
#pragma GCC unroll 8
                for (int j = 0; j < kUnroll; ++j) acc[j] += p[i + j];
            }
            // The memory might have changed: the loads of the next pass must be made.
            asm volatile("" ::: "memory");
        }
    };
    sweep();
    barrier();
    const auto begin = Clock::now();
    double read = 0;
    do {
        sweep();
        read += double(passes) * count * kBytes;
    } while (since(begin) < g_seconds);
    const double taken = since(begin);
    vecint sum = acc[0];
    for (int j = 1; j < kUnroll; ++j) sum += acc[j];
    g_sink = double(sum[0]);
    return read / taken;
}

// A chain of register additions takes one cycle each.
static double clock_rate() {
    const long loops = 100000;
    double best = 0;
    volatile uint64_t seed = 12345;
    uint64_t x = seed, y = seed;
    for (int run = 0; run < 5; ++run) {
        const auto begin = Clock::now();
        double cycles = 0;
        do {
            for (long n = 0; n < loops; ++n) {
#pragma GCC unroll 32
                for (int i = 0; i < 32; ++i) {
                    x += y;
                    asm volatile("" : "+r"(x));
                }
            }
            cycles += 32.0 * loops;
        } while (since(begin) < g_seconds / 5);
        best = std::max(best, cycles / since(begin));
    }
    g_sink = double(x);
    return best;
}

int main(int argc, char** argv) {
    if (argc != 4) {
        std::fprintf(stderr, "usage: ceilings SECONDS THREADS CPU,CPU,...\n");
        return 2;
    }
    g_seconds = std::atof(argv[1]);
    const int threads = std::max(1, std::atoi(argv[2]));
    for (char* part = std::strtok(argv[3], ","); part; part = std::strtok(nullptr, ","))
        g_cpus.push_back(std::atoi(part));

    auto fma32 = [](int, const std::function<void()>& b) { return fma_rate<vec32, float>(b); };
    auto fma64 = [](int, const std::function<void()>& b) { return fma_rate<vec64, double>(b); };
    all_threads(threads, fma32, 1);  // wakes the processors up
    std::printf("{\"vector_bytes\": %d", kBytes);
    std::printf(", \"clock\": %.6g", all_threads(1, [](int, const std::function<void()>& b) {
        b();
        return clock_rate();
    }, 1));
    const int counts[2] = {1, threads};
    for (int which = 0; which < 2; ++which) {
        const int n = counts[which];
        std::printf(", \"%s\": {", which ? "all" : "one");
        std::printf("\"float32\": %.6g, ", all_threads(n, fma32));
        std::printf("\"float64\": %.6g, \"read\": [", all_threads(n, fma64));
        const size_t smallest = size_t(16) << 10, largest = size_t(256) << 20;
        std::vector<Buffer> buffers(n);
        // Touched first by the thread that reads it.
        all_threads(n, [&](int t, const std::function<void()>& b) {
            b();
            buffers[t] = make_buffer(largest);
            return 0.0;
        }, 1);
        // Powers of two and halfway between: a cache's edge lies close to one of them.
        for (size_t power = smallest; power <= largest; power *= 2) {
            for (size_t bytes : {power, power / 2 * 3}) {
                if (bytes > largest) break;
                const double rate = all_threads(n, [&](int t, const std::function<void()>& b) {
                    return read_rate(buffers[t].get(), bytes, b);
                }, 3);
                std::printf("%s[%zu, %.6g]", bytes == smallest ? "" : ", ", bytes, rate);
            }
        }
        std::printf("]}");
    }
    std::printf("}\n");
    return 0;
}
