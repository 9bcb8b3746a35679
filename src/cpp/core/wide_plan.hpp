// The plan for nets with many parameters: the threads share every layer.
//
// The whole batch goes through a layer before the next one; each thread computes some rows or
// panels of a phase's output, and all wait for each other in between. The optimizer's update is the
// epilogue of the weight gradient's product.
#pragma once

#include <vector>

#include "plan.hpp"

namespace mlpfast {

template <class T>
class WidePlan final : public Plan<T> {
 public:
  WidePlan(const Network<T>& net, ptrdiff_t rows, int threads, bool fused);
  void step(const Team& team, const Step<T>& step) override;

 private:
  // A part of a phase's output.
  struct Tile {
    Range rows, panels;
  };
  static Tile tile(ptrdiff_t rows, ptrdiff_t panels, const Team& team);

  // Which part of the batch is on its way, and what becomes of its weight gradient.
  struct Pass {
    ptrdiff_t rows;
    bool first, last;   // of the blocks of the batch
    bool onto_weights;  // the deltas hold the learning rate: the product adds to the weights
  };

  void forward(const Team& team, const Step<T>& step, const Pass& pass);
  void backward(const Team& team, const Step<T>& step, const Pass& pass);
  void weights(const Team& team, const Step<T>& step, const Pass& pass, size_t l);
  void biases(const Team& team, const Step<T>& step, const Pass& pass, size_t l,
              const Panel& panel);

  ptrdiff_t block_rows_;
  Workspace<T> ws_;
  std::vector<T*> transposed_;       // one a thread, a strip
  std::vector<T*> pieces_;           // one a thread, a piece of the weight gradient
  std::vector<ptrdiff_t> bad_rows_;  // one a thread
};

}  // namespace mlpfast
