// A small pool of worker threads that spin a little, then sleep; safe to fork.
#pragma once

#include <atomic>
#include <cstdint>
#include <type_traits>

namespace mlpfast {

// Lets `count` threads wait for each other. Spins, because the phases between two waits last
// microseconds, and yields when the others seem to have no core of their own.
class Barrier {
 public:
  explicit Barrier(int count) : count_(count) {}
  void wait();

 private:
  const int count_;
  std::atomic<int> arrived_{0};
  std::atomic<uint32_t> phase_{0};
};

// One of the threads that work on a task together.
struct Team {
  int index = 0;
  int count = 1;
  Barrier* barrier = nullptr;
  void sync() const {
    if (count > 1) barrier->wait();
  }
};

// Runs `task(context, team)` on up to `wanted` threads, the caller among them as index 0, and
// returns when all are done. While another thread uses the pool, the caller works alone.
// Exceptions must not leave the task.
void run_in_team(int wanted, void (*task)(void* context, const Team& team), void* context);

template <class F>
void run_in_team(int wanted, F&& f) {
  run_in_team(
      wanted,
      [](void* context, const Team& team) {
        (*static_cast<std::remove_reference_t<F>*>(context))(team);
      },
      &f);
}

}  // namespace mlpfast
