// The worker threads: started when first wanted, never joined, forgotten in a forked child.
#include "thread_pool.hpp"

#include <condition_variable>
#include <mutex>
#include <system_error>
#include <thread>

#if defined(__x86_64__) || defined(_M_X64) || defined(__i386__) || defined(_M_IX86)
#include <immintrin.h>
#endif
#if defined(__unix__) || defined(__APPLE__)
#include <pthread.h>
#define MLPFAST_HAS_FORK 1
#endif

namespace mlpfast {
namespace {

inline void pause_briefly() {
#if defined(__x86_64__) || defined(_M_X64) || defined(__i386__) || defined(_M_IX86)
  _mm_pause();
#elif defined(__aarch64__) && !defined(_MSC_VER)
  __asm__ __volatile__("yield");
#endif
}

// A few tens of microseconds: about a scheduler's round trip, so sleeping earlier would cost more.
constexpr int kSpins = 2000;

template <class Done>
inline void spin_until(Done done) {
  for (int i = 0; !done(); ++i) {
    if (i < kSpins)
      pause_briefly();
    else
      std::this_thread::yield();
  }
}

class Pool {
 public:
  // Returns how many threads will work, the caller among them; 1 where the pool is taken.
  int acquire(int wanted) {
    if (wanted <= 1 || taken_.exchange(true, std::memory_order_acquire)) return 1;
    try {
      for (; workers_ < wanted - 1; ++workers_) {
        std::thread([this, index = workers_ + 1, seen = ticket_.load()] {
          work(index, seen);
        }).detach();
      }
    } catch (const std::system_error&) {
      // No more threads to be had: those that started do the work, with the same result.
    }
    const int count = workers_ + 1 < wanted ? workers_ + 1 : wanted;
    if (count == 1) taken_.store(false, std::memory_order_release);
    return count;
  }

  void run(int count, void (*task)(void*, const Team&), void* context) {
    Barrier barrier(count);
    task_ = task;
    context_ = context;
    barrier_ = &barrier;
    count_ = count;
    running_.store(workers_, std::memory_order_relaxed);
    {
      std::lock_guard<std::mutex> lock(mutex_);
      ticket_.fetch_add(1, std::memory_order_release);
    }
    wake_.notify_all();
    task(context, Team{0, count, &barrier});
    spin_until([this] { return running_.load(std::memory_order_acquire) == 0; });
    taken_.store(false, std::memory_order_release);
  }

 private:
  void work(int index, uint64_t seen) {
    for (;;) {
      const auto called = [&] { return ticket_.load(std::memory_order_acquire) != seen; };
      for (int i = 0; i < kSpins && !called(); ++i) pause_briefly();
      if (!called()) {
        std::unique_lock<std::mutex> lock(mutex_);
        wake_.wait(lock, called);
      }
      ++seen;
      if (index < count_) task_(context_, Team{index, count_, barrier_});
      running_.fetch_sub(1, std::memory_order_release);
    }
  }

  std::atomic<bool> taken_{false};
  int workers_ = 0;  // only changed by who has taken the pool
  void (*task_)(void*, const Team&) = nullptr;
  void* context_ = nullptr;
  Barrier* barrier_ = nullptr;
  int count_ = 0;
  std::atomic<int> running_{0};
  std::atomic<uint64_t> ticket_{0};
  std::mutex mutex_;
  std::condition_variable wake_;
};

// Never destroyed: the workers may outlive every static object.
std::atomic<Pool*> pool{nullptr};

Pool& the_pool() {
  Pool* p = pool.load(std::memory_order_acquire);
  if (p) return *p;
  Pool* fresh = new Pool;
  if (pool.compare_exchange_strong(p, fresh, std::memory_order_acq_rel)) {
#ifdef MLPFAST_HAS_FORK
    // The child has none of the workers, and the mutex may be in any state: begin anew there.
    static std::once_flag once;
    std::call_once(once, [] {
      pthread_atfork(nullptr, nullptr, [] { pool.store(nullptr, std::memory_order_release); });
    });
#endif
    return *fresh;
  }
  delete fresh;
  return *p;
}

}  // namespace

void Barrier::wait() {
  const uint32_t phase = phase_.load(std::memory_order_relaxed);
  if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == count_) {
    arrived_.store(0, std::memory_order_relaxed);
    phase_.store(phase + 1, std::memory_order_release);
    return;
  }
  spin_until([&] { return phase_.load(std::memory_order_acquire) != phase; });
}

void run_in_team(int wanted, void (*task)(void*, const Team&), void* context) {
  if (wanted > 1) {
    Pool& p = the_pool();
    const int count = p.acquire(wanted);
    if (count > 1) {
      p.run(count, task, context);
      return;
    }
  }
  task(context, Team{});
}

}  // namespace mlpfast
