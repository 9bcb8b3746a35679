// A small pool of worker threads that spin a little, then sleep; safe to fork.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <type_traits>

namespace mlpfast {

// A barrier for `count` threads. Spins, because the phases between two waits last microseconds, and
// yields when the others seem to have no core of their own.
class Barrier {
 public:
  explicit Barrier(int count) : count_(count) {}
  void wait();
  // Times a few waits in a row: whether they took no longer than among near cores. Called by all
  // threads, which get the same answer, that of the one that `decides`.
  bool joins_near_cores(bool decides);

 private:
  const int count_;
  std::atomic<int> arrived_{0};
  std::atomic<uint32_t> phase_{0};
  bool near_ = false;
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

// Whether a team is worth having: always, or only if its members' cores are near each other, so
// that a line of memory gets from one to another in some tens of nanoseconds. Cores that share no
// cache take ten times as long; on a virtual machine this may change from one second to the next.
enum class Reach { any, near_only };

// Overrides whether cores count as near, so that tests cover both cases; nullopt: they are timed
// again.
void assume_near_cores(std::optional<bool> answer);

// Runs `task(context, team)` on up to `wanted` threads, the caller among them as index 0, and
// returns when all are done. While another thread uses the pool, the caller works alone.
// Exceptions must not leave the task.
void run_in_team(int wanted, Reach reach, void (*task)(void* context, const Team& team),
                 void* context);

template <class F>
void run_in_team(int wanted, Reach reach, F&& f) {
  run_in_team(
      wanted, reach,
      [](void* context, const Team& team) {
        (*static_cast<std::remove_reference_t<F>*>(context))(team);
      },
      &f);
}
template <class F>
void run_in_team(int wanted, F&& f) {
  run_in_team(wanted, Reach::any, f);
}

}  // namespace mlpfast
