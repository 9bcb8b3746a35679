// One aligned block of zeroed memory, handed out piece by piece: nothing is allocated in a loop.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>

namespace mlpfast {

constexpr ptrdiff_t kCacheLine = 64;

// A plan is made first, by `reserve` calls that return offsets; `commit` then gets the memory.
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
    // A vector may be read, never used, beyond the last element.
    const size_t bytes = size_t(size_ + 2 * kCacheLine);
    memory_.reset(new (std::align_val_t(kCacheLine)) unsigned char[bytes]);
    std::memset(memory_.get(), 0, bytes);
  }
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
  std::unique_ptr<unsigned char[], Free> memory_;
  ptrdiff_t size_ = 0;
};

}  // namespace mlpfast
