// Pieces of panels, and the kernels' arguments for them.
#include "layer_part.hpp"

namespace mlpfast {

template <class T>
void LayerPart<T>::forward(const T* w, const T* x, T* z, ptrdiff_t rows, bool with_bias) const {
  for_each_piece([&](ptrdiff_t at, ptrdiff_t width, Range piece) {
    UnitProduct<T> p;
    p.w = w + at;
    p.w_unit = 1;
    p.w_input = width;
    p.x = x;
    p.z = z + (piece.begin - units.begin) * ld;
    p.ld = ld;
    p.bias = with_bias ? w + layer.packed_b + piece.begin : nullptr;
    p.accumulate = false;
    p.units = count(piece);
    p.rows = rows;
    p.inputs = inputs.size();
    net.kernels.unit_product(p);
  });
}

template <class T>
void LayerPart<T>::backward(const T* w, const T* d, T* dx, ptrdiff_t rows) const {
  for_each_piece([&](ptrdiff_t at, ptrdiff_t width, Range piece) {
    UnitProduct<T> p;
    p.w = w + at;
    p.w_unit = width;
    p.w_input = 1;
    p.x = d + (piece.begin - units.begin) * ld;
    p.z = dx;
    p.ld = ld;
    p.bias = nullptr;
    p.accumulate = piece.begin > units.begin;
    p.units = inputs.size();
    p.rows = rows;
    p.inputs = count(piece);
    net.kernels.unit_product(p);
  });
}

template <class T>
void LayerPart<T>::turn(const T* d, T* by_row, ptrdiff_t rows) const {
  net.kernels.transpose(d, ld, count(), rows, by_row, units.size());
}

template <class T>
void LayerPart<T>::gradient(const T* x, const T* d, const T* by_row, T* gradients, ptrdiff_t rows,
                            bool first, bool last, T* partial) const {
  const ptrdiff_t lanes = net.kernels.lanes;
  for_each_piece([&](ptrdiff_t at, ptrdiff_t width, Range piece) {
    const ptrdiff_t begin = piece.begin - units.begin;
    if (!by_row) {
      net.kernels.unit_gradient({x, d + begin * ld, ld, gradients + at, width, partial, first, last,
                                 inputs.size(), count(piece), rows});
      if (partial) partial += round_up(inputs.size(), lanes) * lanes * count(piece);
      return;
    }
    Gemm<T> g{};
    g.a = x;
    g.lda = ld;
    g.b = by_row + begin;
    g.ldb = units.size();
    g.c = gradients + at;
    g.ldc = width;
    g.a_block = g.b_block = g.c_block = net.kernels.tile;
    g.accumulate = !first;
    g.m = inputs.size();
    g.n = piece.size();
    g.k = rows;
    net.kernels.gemm(g);
  });
}

bool sums_over_rows_are_shorter(const Layer& layer, ptrdiff_t rows, ptrdiff_t lanes, bool keeps) {
  const double in_lanes =
      double(layer.n_in * layer.n_out) * (double(rows) / double(lanes) + (keeps ? 1 : 3));
  const double by_units = double(rows) * (double(layer.n_in * layer.out_padded) / double(lanes) +
                                          double(layer.n_out) / 3);
  return in_lanes < by_units;
}

template struct LayerPart<float>;
template struct LayerPart<double>;

}  // namespace mlpfast
