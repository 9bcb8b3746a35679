// Dropout: random numbers that are a function of key, row and unit alone, as in dropout.py. The
// loops over lanes are left to the compiler, which vectorizes them on integers.

// "lowbias32" of Chris Wellons, "Prospecting for Hash Functions" (2018, public domain).
inline uint32_t mix(uint32_t x) {
  x = (x ^ (x >> 16)) * 0x7feb352du;
  x = (x ^ (x >> 15)) * 0x846ca68bu;
  return x ^ (x >> 16);
}

inline uint32_t layer_key(const DropoutKey& key) {
  return mix(mix(mix(key.step[0]) ^ key.step[1]) + key.layer);
}

// The factors of a vector of units, whose random numbers are hashes of those sums.
template <class V>
inline V dropout_factors(const uint32_t (&lanes)[V::lanes], uint32_t plus, uint32_t threshold,
                         typename V::T scale) {
  using T = typename V::T;
  T factors[V::lanes];
  for (int q = 0; q < V::lanes; ++q) factors[q] = mix(lanes[q] + plus) < threshold ? T(0) : scale;
  return V::load(factors);
}

template <class V>
void drop(const Dropout<typename V::T>& d) {
  const uint32_t key = layer_key(d.key) + uint32_t(d.row), threshold = d.key.threshold;
  const typename V::T scale = d.scale, *from = d.from;
  typename V::T* to = d.to;
  const ptrdiff_t rows = d.rows, cols = d.cols, ld = d.ld;
  uint32_t units[V::lanes];
  for (int q = 0; q < V::lanes; ++q) units[q] = uint32_t(d.unit) + uint32_t(q);
  for (ptrdiff_t i = 0; i < rows; ++i, from += ld, to += ld) {
    const uint32_t row = mix(key + uint32_t(i));
    for (ptrdiff_t j = 0; j < cols; j += V::lanes) {
      const V factors = dropout_factors<V>(units, row + uint32_t(j), threshold, scale);
      (V::load(from + j) * factors).store(to + j);
    }
  }
}

template <class V>
void unit_drop(const Dropout<typename V::T>& d) {
  const uint32_t key = layer_key(d.key) + uint32_t(d.row), threshold = d.key.threshold;
  const typename V::T scale = d.scale;
  const ptrdiff_t cols = d.cols, ld = d.ld;
  for (ptrdiff_t i = 0; i < d.rows; i += V::lanes) {
    uint32_t rows[V::lanes];
    for (int q = 0; q < V::lanes; ++q) rows[q] = mix(key + uint32_t(i) + uint32_t(q));
    const typename V::T* from = d.from + i;
    typename V::T* to = d.to + i;
    for (ptrdiff_t j = 0; j < cols; ++j, from += ld, to += ld) {
      const V factors = dropout_factors<V>(rows, uint32_t(d.unit + j), threshold, scale);
      (V::load(from) * factors).store(to);
    }
  }
}
