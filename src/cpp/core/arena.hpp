// One aligned block of zeroed memory, handed out piece by piece: nothing is allocated in a loop.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>

namespace mlpfast {

constexpr ptrdiff_t kCacheLine = 64;

// Calls of `reserve` return offsets; `commit` then allocates memory for all of them.
class Arena {
 public:
  ptrdiff_t reserve(ptrdiff_t bytes) {
    const ptrdiff_t at = size_;
    size_ += (bytes + kCacheLine - 1) / kCacheLine * kCacheLine;
    return at;
  }
  template <class T>
  ptrdiff_t reserve_array(ptrdiff_t n) {
    return reserve(n * ptrdiff_t(sizeof(T)));
  }
  void commit() {
    allocate();
    std::memset(memory_.get(), 0, size_t(capacity_));
  }
  // The same without zeros, reusing the memory from before `restart` where it is large enough.
  void commit_unset() {
    if (size_ + kSlack > capacity_) allocate();
  }
  void restart() { size_ = 0; }
  template <class T>
  T* at(ptrdiff_t offset) const {
    return reinterpret_cast<T*>(memory_.get() + offset);
  }
  ptrdiff_t size() const { return size_; }

 private:
  struct Free {
    void operator()(unsigned char* p) const {
      ::operator delete[](p, std::align_val_t(kCacheLine));
    }
  };
  // A vector load may reach beyond the last element; what it reads there is never used.
  static constexpr ptrdiff_t kSlack = 2 * kCacheLine;

  void allocate() {
    memory_.reset();
    capacity_ = 0;
    memory_.reset(new (std::align_val_t(kCacheLine)) unsigned char[size_t(size_ + kSlack)]);
    capacity_ = size_ + kSlack;
  }

  std::unique_ptr<unsigned char[], Free> memory_;
  ptrdiff_t size_ = 0, capacity_ = 0;
};

}  // namespace mlpfast
