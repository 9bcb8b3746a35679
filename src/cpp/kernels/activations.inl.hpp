// Activations of row-major matrices, and the local derivatives from what was kept.

template <class V, class F>
void activate(const typename V::T* z, typename V::T* a, ptrdiff_t rows, ptrdiff_t cols,
              ptrdiff_t ld) {
  using Two = Pair<V>;
  for (ptrdiff_t i = 0; i < rows; ++i, z += ld, a += ld) {
    ptrdiff_t j = 0;
    for (; j <= cols - Two::lanes; j += Two::lanes)
      F::template value<Two>(Two::load(z + j)).store(a + j);
    for (; j < cols; j += V::lanes) F::template value<V>(V::load(z + j)).store(a + j);
  }
}

template <class V, class F>
void derive(const typename V::T* kept, typename V::T* grad, ptrdiff_t rows, ptrdiff_t cols,
            ptrdiff_t ld) {
  for (ptrdiff_t i = 0; i < rows; ++i, kept += ld, grad += ld)
    for (ptrdiff_t j = 0; j < cols; j += V::lanes)
      (V::load(grad + j) * F::template derivative<V>(V::load(kept + j))).store(grad + j);
}

template <class V>
inline int lanes_left(ptrdiff_t cols, ptrdiff_t j) {
  return cols - j < V::lanes ? int(cols - j) : V::lanes;
}

template <class V>
void softmax(const typename V::T* z, typename V::T* a, ptrdiff_t rows, ptrdiff_t cols,
             ptrdiff_t ld) {
  using T = typename V::T;
  const V lowest = V::set(-MathConstants<T>::infinity);
  if (cols <= V::lanes) {  // a row fits into one register
    const auto in = V::first(int(cols));
    for (ptrdiff_t i = 0; i < rows; ++i, z += ld, a += ld) {
      const V logits = V::load(z), most = V::set(largest(V::select(in, logits, lowest)));
      const V e = exp(V::select(in, logits - most, V::set(0)));
      quotient(e, V::set(sum(V::select(in, e, V::set(0))))).store(a);
    }
    return;
  }
  for (ptrdiff_t i = 0; i < rows; ++i, z += ld, a += ld) {
    V top = lowest;
    for (ptrdiff_t j = 0; j < cols; j += V::lanes)
      top = max(top, V::select(V::first(lanes_left<V>(cols, j)), V::load(z + j), lowest));
    const V most = V::set(largest(top));
    V total = V::set(0);
    for (ptrdiff_t j = 0; j < cols; j += V::lanes) {
      const V e = exp(V::load(z + j) - most);
      e.store(a + j);
      total = total + V::select(V::first(lanes_left<V>(cols, j)), e, V::set(0));
    }
    const V whole = V::set(sum(total));
    for (ptrdiff_t j = 0; j < cols; j += V::lanes) quotient(V::load(a + j), whole).store(a + j);
  }
}

template <class V>
void softmax_derive(const typename V::T* a, typename V::T* grad, ptrdiff_t rows, ptrdiff_t cols,
                    ptrdiff_t ld) {
  for (ptrdiff_t i = 0; i < rows; ++i, a += ld, grad += ld) {
    V products = V::set(0);
    for (ptrdiff_t j = 0; j < cols; j += V::lanes) {
      const auto in = V::first(lanes_left<V>(cols, j));
      products = products + V::select(in, V::load(a + j) * V::load(grad + j), V::set(0));
    }
    const V dot = V::set(sum(products));
    for (ptrdiff_t j = 0; j < cols; j += V::lanes) {
      const auto in = V::first(lanes_left<V>(cols, j));
      const V d = V::load(a + j) * (V::load(grad + j) - dot);
      V::select(in, d, V::set(0)).store(grad + j);
    }
  }
}
