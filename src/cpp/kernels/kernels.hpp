// The contract between the core and the kernels: a table of function pointers for each ISA.
//
// Matrices are row-major. "Padded" means rounded up to a multiple of `lanes`; every buffer the
// kernels write has padded rows, and values in the padding never affect those outside it.
#pragma once

#include <cstddef>
#include <cstdint>

#include "ops.hpp"

namespace mlpfast {

enum class InputType : int { f32, f64, u8, count };

// Rows that are needed after a product, which prefetches some of their cache lines with each
// register block.
struct Prefetch {
  const char* x;         // row 0
  ptrdiff_t stride;      // bytes from row to row
  const int64_t* order;  // row indices, or null for 0, 1, 2...
  ptrdiff_t rows, bytes;
  ptrdiff_t row = 0, at = 0;  // the next line
};

// c (m x n) = init + a (m x k) b (k x n), where init is c itself, a bias row, or 0. Every element
// is one chain of fused multiply-adds over k in ascending order, however m and n are split, so that
// results do not depend on how the work is divided among threads.
//
// A matrix of units is row-major or tiled: its columns in tiles of `tile` elements, each tile with
// all its rows consecutive. Column j is at (j / tile) * block + j % tile from the start of
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
  const T* bias;       // n readable elements, or null
  bool accumulate;     // init is c; bias is ignored
  ptrdiff_t m, n, k;   // n is padded and at most `panel`; all operands begin at a tile
  Prefetch* prefetch;  // or null
};

// Rows to be read in a given order and converted to the type of the net.
template <class T>
struct Gather {
  const char* x;         // first element to read of row 0
  ptrdiff_t stride;      // bytes from row to row
  const int64_t* order;  // row indices, or null for 0, 1, 2...
  ptrdiff_t rows, cols;
  T* to;  // may be tiled; begins at a tile
  ptrdiff_t ld, block;
  T scale;  // factor of every element
};

// Loss and delta of a few rows. If the loss is computed from the logits, delta is the gradient with
// respect to z, otherwise with respect to the output a. Neither is weighted.
template <class T>
struct LossRows {
  const T* z;          // rows x ld logits, if the loss takes them
  const T* a;          // rows x ld outputs
  const T* target;     // rows x ld_target, padded
  const T* row_scale;  // factor of the delta of each row; null: no deltas are computed
  T* delta;            // rows x ld; zeros are written to the padding
  double* row_loss;    // rows
  ptrdiff_t rows, cols, ld, ld_target;
  Slopes<T> slopes;
};

// What the loss phase leaves for each row. `correct` is 1 if the largest output is at the largest
// target, the first one among equals, or with one output, if both are on the same side of 1/2.
struct RowTotals {
  double loss, correct, squared_error, absolute_error;
};

// One update of n neighbouring parameters.
template <class T>
struct UpdateSpan : UpdateScalars<T> {
  T* w;
  T* m;
  T* v;
  const T* g;
  ptrdiff_t n;  // any number; the tail is computed as the body is
};

// Unit-major blocks: unit j of row i is at [j * ld + i], so that rows lie in the lanes of vectors
// and the number of units is arbitrary. The rows up to the next multiple of the lanes are computed
// as well, with deltas of 0.

// z (units x rows) = init + w x, where init is z itself, a bias for each unit, or 0.
template <class T>
struct UnitProduct {
  const T* w;  // of unit i and input p at w[i * w_unit + p * w_input]; one of the strides is 1
  ptrdiff_t w_unit, w_input;
  const T* x;  // inputs x ld
  T* z;        // units x ld
  ptrdiff_t ld;
  const T* bias;                  // units, or null
  bool accumulate;                // init is z; bias is ignored
  ptrdiff_t units, rows, inputs;  // rows is padded
};

// out[i * ld_out + j] = the sum over rows of x[i] d[j]: the gradient with respect to the weights,
// for layers with so few outputs that rows fill a vector better. A group of rows comes in several
// blocks, `first` to `last`; between them, `partial` keeps a vector of sums for each weight, inputs
// (rounded up) x outputs x lanes elements, or if it is null, `out` keeps the sum itself.
template <class T>
struct UnitGradient {
  const T* x;  // inputs x ld
  const T* d;  // outputs x ld
  ptrdiff_t ld;
  T* out;
  ptrdiff_t ld_out;
  T* partial;
  bool first, last;
  ptrdiff_t inputs, outputs, rows;  // rows is padded
};

// As LossRows.
template <class T>
struct UnitLoss {
  const T* z;
  T* a;  // written by a loss of whole rows, as its softmax
  const T* target;
  T* delta;
  const T* weight;  // (rows,), or null for ones
  T scale;          // of the deltas
  ptrdiff_t rows, cols, ld;
  Slopes<T> slopes;
};

// Weighted sums of the figures of RowTotals.
struct Metrics {
  double correct = 0, squared_error = 0, absolute_error = 0;
};

// Whole steps of a small net on a few rows. The rows lie in the lanes of short vectors: a unit of a
// layer is `row_vectors` of them, its outputs for all rows of the batch; the layers' arrays, x,
// target, weight and scale are arrays of such units. Lanes beyond the batch repeat its first row,
// with weight 0. Parameters are flat, with zeros up to a multiple of the lanes.
template <class T>
struct TinyLayer {
  ptrdiff_t n_in, n_out;
  Activation activation;
  const T* w;     // (n_in, n_out)
  const T* bias;  // (n_out,), or null
  const T* in;
  T* z;  // pre-activations if they are kept, otherwise the same array as a
  T* a;
  T* d;  // deltas
};

// What decides, together with the indices of row and unit, which inputs of a layer are dropped: the
// low + batch, high and layer of dropout.py.
struct DropoutKey {
  uint32_t step[2];
  uint32_t layer;
  uint32_t threshold;
};

// Drops units of some rows: to = 0, or scale from. In a row-major matrix unit j of row i is at
// [i * ld + j] and cols is padded; in a unit-major block it is at [j * ld + i] and rows is padded.
template <class T>
struct Dropout {
  DropoutKey key;
  T scale;
  ptrdiff_t row, unit;  // indices of the first
  const T* from;
  T* to;  // may be `from`
  ptrdiff_t rows, cols, ld;
};

// A parameter's gradient is the sum over rows of an input times a delta.
template <class T>
struct TinyTerm {
  const T* in;
  const T* delta;
};

template <class T>
struct TinySteps {
  const TinyLayer<T>* layers;
  ptrdiff_t depth;
  const TinyTerm<T>* terms;  // one for each parameter, padded
  ptrdiff_t n_params;        // padded
  int row_vectors;           // 1, 2 or 4
  Loss loss;
  Slopes<T> slopes;
  bool loss_from_logits, want_metrics;
  // Sample weights, factors of the deltas, and weights of all figures but the loss.
  const T *target, *weight, *scale, *counted;
  T* batch;              // holds x, target, weight, scale, and counted if it is not weight
  ptrdiff_t batch_size;  // elements

  ptrdiff_t steps;
  const T* batches;  // of all steps, to be copied to `batch`; null: its contents are used
  T *w, *m, *v;
  T* g;           // receives the gradient if `update` is count, otherwise unused
  const T* l2;    // (n_params,) factors, or null
  Update update;  // with the scalars of each step, or count: no update
  const UpdateSpan<T>* scalars;
  double* totals;                // (steps, 4): loss, correct, squared and absolute errors, weighted
  const volatile uint8_t* stop;  // or null
};

template <class T>
struct Kernels {
  int lanes;  // elements in a vector
  int panel;  // the most columns of one gemm call, a multiple of tile
  int tile;   // columns of a tile, a multiple of lanes

  void (*gemm)(const Gemm<T>&);
  // z (n) = bias + x (k) w for one row, bitwise as gemm computes it; row p of w is at w + p * ldw.
  // n is padded, bias may be null.
  void (*gemv)(const T* x, const T* w, ptrdiff_t ldw, const T* bias, ptrdiff_t k, ptrdiff_t n,
               T* z);
  // c bitwise as gemm computes it, for an unpadded n of at most `max_skinny_n`, m of at least
  // `lanes` and k of at least 4. Neither transposes nor accumulates; c is row-major, and its
  // padding is set to 0 each time: an activation applied to its own results would diverge there.
  int max_skinny_n;
  void (*skinny_gemm)(const Gemm<T>&);
  // a = f(z), rows x cols, both with leading dimension ld; a may be z.
  void (*activate[int(Activation::count)])(const T* z, T* a, ptrdiff_t rows, ptrdiff_t cols,
                                           ptrdiff_t ld);
  // grad *= f'(z), from kept = f(z), or kept = z if the activation keeps z; null if it has no
  // gradient. Both have leading dimension ld.
  void (*derive[int(Activation::count)])(const T* kept, T* grad, ptrdiff_t rows, ptrdiff_t cols,
                                         ptrdiff_t ld);
  // By loss, and whether from the logits; null if the loss has no such form.
  void (*loss[int(Loss::count)][2])(const LossRows<T>&);
  // All but the loss of each row's totals; errors are means over the outputs.
  void (*row_metrics)(const LossRows<T>&, RowTotals* totals);
  void (*update[int(Update::count)])(const UpdateSpan<T>&);
  // g += l2 w, unless l2 is 0; returns the sum of the squares of g. n is padded.
  double (*square_sum)(T* g, const T* w, T l2, ptrdiff_t n);
  // g = factor (g + l2 w), clamped to [-limit, limit]; n is padded.
  void (*clip)(T* g, const T* w, T l2, T factor, T limit, ptrdiff_t n);
  // sums[j] = or += the sum over rows of d[i][j], in ascending order; d may be tiled.
  void (*column_sums)(const T* d, ptrdiff_t rows, ptrdiff_t cols, ptrdiff_t ld, ptrdiff_t block,
                      T* sums, bool accumulate);
  // dst[j * ld_dst + i] = src[i * ld_src + j] for i < rows, j < cols; may read and write up to
  // the padded number of rows.
  void (*transpose)(const T* src, ptrdiff_t ld_src, ptrdiff_t rows, ptrdiff_t cols, T* dst,
                    ptrdiff_t ld_dst);
  // sum[i] = (...((g_0[i] + g_1[i]) + g_2[i]) ...) over `count` arrays `stride` apart, into g_0.
  void (*combine)(T* g, ptrdiff_t n, ptrdiff_t stride, ptrdiff_t count);
  void (*unit_product)(const UnitProduct<T>&);
  void (*unit_gradient)(const UnitGradient<T>&);
  // As `activate`; rows is padded.
  void (*unit_activate[int(Activation::count)])(const T* z, T* a, ptrdiff_t units, ptrdiff_t rows,
                                                ptrdiff_t ld);
  // d *= f'(z) from what was kept, as in `derive`; and sums[j] = or += the sum of unit j's d,
  // unless sums is null. rows is padded.
  void (*unit_derive[int(Activation::count)])(const T* kept, T* d, ptrdiff_t units, ptrdiff_t rows,
                                              ptrdiff_t ld, T* sums, bool accumulate);
  // The weighted sum of the rows' losses, and the deltas.
  double (*unit_loss[int(Loss::count)][2])(const UnitLoss<T>&);
  void (*unit_metrics)(const UnitLoss<T>&, Metrics&);
  void (*drop)(const Dropout<T>&);
  void (*unit_drop)(const Dropout<T>&);
  // to[j * ld + i] = rows[i][j] for i < n, which is padded, and j < cols; returns whether all of
  // it is finite.
  bool (*take_rows)(const T* const* rows, ptrdiff_t n, ptrdiff_t cols, T* to, ptrdiff_t ld);
  // Returns the index of the first row that is not finite, or -1.
  ptrdiff_t (*gather[int(InputType::count)])(const Gather<T>&);
  int tiny_lanes;  // rows in a vector of `tiny`
  // Makes the steps up to the first whose loss is not finite or after which *stop is set, that one
  // included; returns how many.
  ptrdiff_t (*tiny)(const TinySteps<T>&);
};

// What one ISA file exports.
struct KernelSet {
  const char* name;
  const Kernels<float>* f32;
  const Kernels<double>* f64;
};

}  // namespace mlpfast
