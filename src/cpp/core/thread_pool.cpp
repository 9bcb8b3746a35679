// The worker threads: started when first wanted, never joined, forgotten in a forked child.
#include "thread_pool.hpp"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "../isa/pause.hpp"

#if defined(__unix__) || defined(__APPLE__)
#include <pthread.h>
#define MLPFAST_HAS_FORK 1
#endif

namespace mlpfast {
namespace {

// Before a worker sleeps it spins for about a scheduler's round trip, 100 microseconds.
constexpr int kSpinsBeforeSleep = 2000;
// Within a task the others are at most microseconds away, unless they have no core: then spinning
// would keep them from theirs.
constexpr int kSpinsBeforeYield = 50;

// Near cores pass a barrier within this time for each of them; the best of a few trials leaves out
// interruptions.
constexpr std::chrono::nanoseconds kNear{50};
constexpr int kTrials = 8;
std::atomic<int> assumed{-1};  // near, or not; -1: nothing

template <class Done>
inline void spin_until(Done done) {
  for (int i = 0; !done(); ++i) {
    if (i < kSpinsBeforeYield)
      pause_briefly();
    else
      std::this_thread::yield();
  }
}

// A worker of the pool. Each is woken separately, so that those a task does not need stay asleep.
struct Worker {
  std::atomic<uint64_t> ticket{0};
  std::mutex mutex;
  std::condition_variable wake;
};

class Pool {
 public:
  // Returns how many threads will work, the caller among them; 1 where the pool is taken.
  int acquire(int wanted) {
    if (wanted <= 1 || taken_.exchange(true, std::memory_order_acquire)) return 1;
    try {
      workers_.reserve(size_t(wanted - 1));
      while (int(workers_.size()) < wanted - 1) {
        auto worker = std::make_unique<Worker>();
        std::thread([this, index = int(workers_.size()) + 1, w = worker.get()] {
          work(index, *w);
        }).detach();
        workers_.push_back(std::move(worker));
      }
    } catch (const std::exception&) {
      // No more threads or memory available: those that started do the work, with the same result.
    }
    const int count = std::min(int(workers_.size()) + 1, wanted);
    if (count == 1) taken_.store(false, std::memory_order_release);
    return count;
  }

  void run(int count, void (*task)(void*, const Team&), void* context) {
    Barrier barrier(count);
    task_ = task;
    context_ = context;
    barrier_ = &barrier;
    count_ = count;
    running_.store(count - 1, std::memory_order_relaxed);
    for (int i = 0; i < count - 1; ++i) {
      Worker& worker = *workers_[size_t(i)];
      {
        std::lock_guard<std::mutex> lock(worker.mutex);
        worker.ticket.fetch_add(1, std::memory_order_release);
      }
      worker.wake.notify_one();
    }
    task(context, Team{0, count, &barrier});
    spin_until([this] { return running_.load(std::memory_order_acquire) == 0; });
    taken_.store(false, std::memory_order_release);
  }

 private:
  void work(int index, Worker& me) {
    for (uint64_t seen = 0;; ++seen) {
      const auto called = [&] { return me.ticket.load(std::memory_order_acquire) != seen; };
      for (int i = 0; i < kSpinsBeforeSleep && !called(); ++i) pause_briefly();
      if (!called()) {
        std::unique_lock<std::mutex> lock(me.mutex);
        me.wake.wait(lock, called);
      }
      task_(context_, Team{index, count_, barrier_});
      running_.fetch_sub(1, std::memory_order_release);
    }
  }

  std::atomic<bool> taken_{false};
  std::vector<std::unique_ptr<Worker>> workers_;  // only changed by the holder of the pool
  void (*task_)(void*, const Team&) = nullptr;
  void* context_ = nullptr;
  Barrier* barrier_ = nullptr;
  int count_ = 0;
  std::atomic<int> running_{0};
};

// Never destroyed: the workers may outlive every static object.
std::atomic<Pool*> pool{nullptr};

Pool& the_pool() {
  Pool* p = pool.load(std::memory_order_acquire);
  if (p) return *p;
#ifdef MLPFAST_HAS_FORK
  // The child has none of the workers, and a mutex may be in any state: it starts a new pool.
  static std::once_flag once;
  std::call_once(once, [] {
    pthread_atfork(nullptr, nullptr, [] { pool.store(nullptr, std::memory_order_release); });
  });
#endif
  Pool* fresh = new Pool;
  if (pool.compare_exchange_strong(p, fresh, std::memory_order_acq_rel)) return *fresh;
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

bool Barrier::joins_near_cores(bool decides) {
  using Clock = std::chrono::steady_clock;
  wait();  // some were asleep
  Clock::duration least = Clock::duration::max();
  for (int i = 0; i < kTrials; ++i) {
    const auto begin = Clock::now();
    wait();
    least = std::min(least, Clock::now() - begin);
  }
  const int known = assumed.load(std::memory_order_relaxed);
  if (decides) near_ = known < 0 ? least < count_ * kNear : known > 0;
  wait();
  return near_;
}

void assume_near_cores(std::optional<bool> answer) {
  assumed.store(answer ? int(*answer) : -1, std::memory_order_relaxed);
}

void run_in_team(int wanted, Reach reach, void (*task)(void*, const Team&), void* context) {
  Pool* p = wanted > 1 ? &the_pool() : nullptr;
  const int count = p ? p->acquire(wanted) : 1;
  if (count == 1) {
    task(context, Team{});
  } else if (reach == Reach::any) {
    p->run(count, task, context);
  } else {
    struct Trial {
      void (*task)(void*, const Team&);
      void* context;
      bool near;
    } trial = {task, context, false};
    p->run(
        count,
        [](void* given, const Team& team) {
          Trial& t = *static_cast<Trial*>(given);
          const bool leads = team.index == 0, near = team.barrier->joins_near_cores(leads);
          if (leads) t.near = near;
          if (near) t.task(t.context, team);
        },
        &trial);
    if (!trial.near) task(context, Team{});
  }
}

}  // namespace mlpfast
