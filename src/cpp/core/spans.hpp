// Packed parameters cut into spans: neighbours of one layer, all of them weights or all biases.
#pragma once

#include <algorithm>
#include <vector>

#include "network.hpp"

namespace mlpfast {

struct Span {
  ptrdiff_t at, n;
  size_t layer;
  bool is_weight;
};

// Calls f(span) for those of a range, in ascending order, none longer than `most`. A net without
// biases has no spans of biases.
template <class T, class F>
void for_each_span(const Network<T>& net, Range range, ptrdiff_t most, F f) {
  const auto cut = [&](ptrdiff_t begin, ptrdiff_t end, size_t layer, bool is_weight) {
    begin = std::max(begin, range.begin);
    end = std::min(end, range.end);
    for (ptrdiff_t at = begin; at < end; at += most)
      f(Span{at, std::min(most, end - at), layer, is_weight});
  };
  for (size_t l = 0; l < net.depth(); ++l) {
    const Layer& layer = net.layout.layers[l];
    cut(layer.packed_w, layer.packed_b, l, true);
    if (net.spec.bias) cut(layer.packed_b, layer.packed_b + layer.out_padded, l, false);
  }
}

// All spans of a net, short enough that one stays in the first-level cache. The cut does not depend
// on the threads, and so neither do sums that are added up span by span.
template <class T>
std::vector<Span> spans_of(const Network<T>& net) {
  constexpr ptrdiff_t kSpan = 2048;
  std::vector<Span> spans;
  for_each_span(net, {0, net.layout.packed_size}, kSpan,
                [&](const Span& span) { spans.push_back(span); });
  return spans;
}

}  // namespace mlpfast
