// The norm of a gradient from spans of a fixed size, added up in their order; then the update.
#include "clipped_update.hpp"

#include <cmath>
#include <limits>

namespace mlpfast {
template <class T>
ClippedUpdate<T>::ClippedUpdate(const Network<T>& net)
    : net_(net), spans_(spans_of(net)), squares_(spans_.size()) {}

template <class T>
double ClippedUpdate<T>::norm() const {
  double sum = 0;
  for (const double square : squares_) sum += square;
  return std::sqrt(sum);
}

template <class T>
void ClippedUpdate<T>::run(const Team& team, const Step<T>& step, const WeightUpdate<T>& update,
                           T* gradient) {
  const Kernels<T>& kernels = net_.kernels;
  const Optimizer<T>& optimizer = update.optimizer;
  const T* w = step.state.w;
  const Range mine = share(ptrdiff_t(spans_.size()), team.index, team.count);
  T factor = T(1), limit = std::numeric_limits<T>::infinity();
  bool decays = step.l2 != nullptr;
  const auto l2_of = [&](const Span& s) { return s.is_weight ? step.l2_of(s.layer) : 0.0; };
  if (optimizer.clip_norm() > 0) {
    for (ptrdiff_t i = mine.begin; i < mine.end; ++i) {
      const Span& span = spans_[size_t(i)];
      squares_[size_t(i)] =
          kernels.square_sum(gradient + span.at, w + span.at, T(l2_of(span)), span.n);
    }
    team.sync();
    decays = false;  // that is done
    const double size = norm(), most = optimizer.clip_norm();
    if (!(size <= most)) factor = T(most / size);  // NaN where the norm is
  }
  if (optimizer.clip_value() > 0) limit = T(optimizer.clip_value());
  const bool clips = factor != T(1) || optimizer.clip_value() > 0;
  for (ptrdiff_t i = mine.begin; i < mine.end; ++i) {
    const Span& span = spans_[size_t(i)];
    const ptrdiff_t at = span.at;
    if (clips)
      kernels.clip(gradient + at, w + at, T(decays ? l2_of(span) : 0.0), factor, limit, span.n);
    update.from_gradient(at, gradient + at, span.n, 0.0);
  }
}

template class ClippedUpdate<float>;
template class ClippedUpdate<double>;

}  // namespace mlpfast
