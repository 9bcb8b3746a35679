// The contract between the core and the kernels: a table of function pointers for each ISA.
//
// Matrices are row-major. "Padded" means rounded up to a multiple of `lanes`; every buffer the
// kernels write has padded rows, and what stands in the padding never reaches a real element.
#pragma once

#include <cstddef>
#include <cstdint>

namespace mlpfast {

// The order is that of ACTIVATIONS, LOSSES in spec.py; bindings.cpp exports the names for a test.
enum class Activation : int {
  identity,
  step,
  sigmoid,
  tanh,
  relu,
  leaky_relu,
  elu,
  softplus,
  silu,
  gelu,
  exp,
  softmax,
  count
};
enum class Loss : int {
  mse,
  squared_error,
  mae,
  huber,
  binary_crossentropy,
  categorical_crossentropy,
  poisson,
  count
};
// `scaled_sum` is w = decay * w + rate * g, the others keep moments m and v.
enum class Update : int { scaled_sum, momentum, adam, rmsprop, count };

enum class InputType : int { f32, f64, u8, count };

// Rows that will be wanted soon: while a product computes a register block it asks for a few of
// their cache lines, so that they are near when their time comes.
struct Ahead {
  const char* x;         // row 0
  ptrdiff_t stride;      // bytes from row to row
  const int64_t* order;  // numbers of the rows, or null for 0, 1, 2...
  ptrdiff_t rows, bytes;
  ptrdiff_t row = 0, at = 0;  // what comes next
};

// c (m x n) = init + a (m x k) b (k x n), where init is c itself, a bias row, or 0. Every element
// is one chain of fused multiply-adds over k in ascending order, however m and n are cut up, so
// that a result does not depend on who computes it with whom.
//
// A matrix of units is row-major or tiled: its columns in tiles of `tile` elements, each tile with
// all its rows one after the other. Column j is at (j / tile) * block + j % tile from the start of
// its row; rows are `ld` apart. In a row-major matrix block is tile.
template <class T>
struct Gemm {
  const T* a;  // m rows of k columns; transposed: k rows of m columns
  ptrdiff_t lda, a_block;
  bool a_transposed;
  const T* b;  // k rows; n readable columns
  ptrdiff_t ldb, b_block;
  T* c;
  ptrdiff_t ldc, c_block;
  const T* bias;      // n readable elements, or null
  bool accumulate;    // init is c; bias is not looked at
  ptrdiff_t m, n, k;  // n is padded and at most `panel`; all begin at a whole tile
  Ahead* ahead;       // or null
};

// Rows to be read in some order and of some type into the net's own.
template <class T>
struct Gather {
  const char* x;         // first wanted element of row 0
  ptrdiff_t stride;      // bytes from row to row
  const int64_t* order;  // numbers of the rows, or null for 0, 1, 2...
  ptrdiff_t rows, cols;
  T* to;  // may be tiled, and begins a tile
  ptrdiff_t ld, block;
  T scale;  // factor on every element
};

// Loss and delta of a few rows. For a pair of loss and output activation that is computed from the
// logits, delta is the gradient by z; else by the output a. Neither is weighted.
template <class T>
struct LossRows {
  const T* z;          // rows x ld logits, if the loss wants them
  const T* a;          // rows x ld outputs
  const T* target;     // rows x ld_target, padded
  const T* row_scale;  // factor on the delta of each row; null leaves the deltas out
  T* delta;            // rows x ld; zeros are written to the padding
  double* row_loss;    // rows
  ptrdiff_t rows, cols, ld, ld_target;
};

// One update of n neighbouring parameters. The scalars are folded by the core:
//   g' = g + l2 w
//   scaled_sum: w = decay w + rate g
//   momentum:   m = beta_1 m + g';  w += rate m + rate_g g'
//   adam:       w *= decay; m = beta_1 m + (1 - beta_1) g'; v = beta_2 v + (1 - beta_2) g'^2;
//               w += rate m / (sqrt(v) + epsilon)
//   rmsprop:    v = beta_2 v + (1 - beta_2) g'^2; m = beta_1 m + g' / (sqrt(v) + epsilon);
//               w += rate m
template <class T>
struct UpdateSpan {
  T* w;
  T* m;
  T* v;
  const T* g;
  ptrdiff_t n;  // any number; the tail is done as the body is
  T l2, decay, rate, rate_g, beta_1, beta_2, one_minus_beta_1, one_minus_beta_2, epsilon;
};

template <class T>
struct Kernels {
  int lanes;  // elements in a vector
  int panel;  // most columns of one gemm call, a multiple of tile
  int tile;   // columns of a tile, a multiple of lanes

  void (*gemm)(const Gemm<T>&);
  // a = f(z), rows x cols, both with leading dimension ld; a may be z.
  void (*activate[int(Activation::count)])(const T* z, T* a, ptrdiff_t rows, ptrdiff_t cols,
                                           ptrdiff_t ld);
  // grad *= f'(z), from kept = f(z), or kept = z for silu and gelu; null for step. Both
  // have leading dimension ld.
  void (*derive[int(Activation::count)])(const T* kept, T* grad, ptrdiff_t rows, ptrdiff_t cols,
                                         ptrdiff_t ld);
  void (*loss[int(Loss::count)])(const LossRows<T>&);
  void (*poisson_from_logits)(const LossRows<T>&);
  void (*update[int(Update::count)])(const UpdateSpan<T>&);
  // sums[j] = sum over rows of d[i][j] in ascending order, or added to what stands there; d may be
  // tiled.
  void (*column_sums)(const T* d, ptrdiff_t rows, ptrdiff_t cols, ptrdiff_t ld, ptrdiff_t block,
                      T* sums, bool accumulate);
  // dst[j * ld_dst + i] = src[i * ld_src + j] for i < rows, j < cols; may read and write up to
  // the padded number of rows.
  void (*transpose)(const T* src, ptrdiff_t ld_src, ptrdiff_t rows, ptrdiff_t cols, T* dst,
                    ptrdiff_t ld_dst);
  // sum[i] = (...((g_0[i] + g_1[i]) + g_2[i]) ...) over `count` arrays `stride` apart, into g_0.
  void (*combine)(T* g, ptrdiff_t n, ptrdiff_t stride, ptrdiff_t count);
  // Returns the first row, counted from 0, that is not finite, or -1.
  ptrdiff_t (*gather[int(InputType::count)])(const Gather<T>&);
};

// What one ISA file exports.
struct KernelSet {
  const char* name;
  const Kernels<float>* f32;
  const Kernels<double>* f64;
};

}  // namespace mlpfast
