// Lays out the kernel's arrays, gathers rows into lanes, and counts epochs around its steps.
#include "tiny_plan.hpp"

#include <algorithm>
#include <cmath>

#include "../../isa/float_mode.hpp"

namespace mlpfast {

template <class T>
void TinyPlan<T>::partition(const Network<T>& net, PlanChoice& choice) {
  const ptrdiff_t lanes = net.kernels.tiny_lanes;
  const ptrdiff_t vectors = choice.rows <= lanes ? 1 : choice.rows <= 2 * lanes ? 2 : 4;
  choice.rows = choice.block_rows = vectors * lanes;
  choice.repeated = false;
}

template <class T>
TinyPlan<T>::TinyPlan(const Network<T>& net, const PlanChoice& choice)
    : Plan<T>(net, choice), stride_(choice.block_rows) {
  Arena& arena = this->arena_;
  const Layout& layout = net.layout;
  const ptrdiff_t lanes = net.kernels.tiny_lanes;
  const ptrdiff_t n_in = net.spec.sizes.front(), n_out = net.spec.sizes.back();
  steps_.row_vectors = int(stride_ / lanes);
  steps_.n_params = round_up(layout.n_params, lanes);
  const ptrdiff_t batch_units = n_in + n_out + (net.spec.counts_rows() ? 3 : 2);
  steps_.batch_size = batch_units * stride_;
  steps_.depth = ptrdiff_t(net.depth());
  steps_.loss = net.spec.loss;
  steps_.slopes = net.spec.template slopes<T>();
  steps_.loss_from_logits = layout.loss_from_logits;
  steps_.update = Update::count;

  const auto units = [&](ptrdiff_t n) { return arena.template reserve_array<T>(n * stride_); };
  const auto params = [&] { return arena.template reserve_array<T>(steps_.n_params); };
  const ptrdiff_t w = params(), m = params(), v = params(), g = params(), l2 = params();
  const ptrdiff_t ones = units(1), zeros = units(1), batch = units(batch_units);
  const ptrdiff_t row = arena.template reserve_array<T>(n_in);
  const ptrdiff_t batches =
      arena.template reserve_array<T>(choice.fused ? kSteps * steps_.batch_size : 0);
  std::vector<ptrdiff_t> offsets;
  for (const Layer& layer : layout.layers) {
    const ptrdiff_t a = units(layer.n_out), d = units(layer.n_out);
    offsets.insert(offsets.end(), {layer.keeps_z ? units(layer.n_out) : a, a, d});
  }
  arena.commit();
  const auto at = [&](ptrdiff_t offset) { return arena.template at<T>(offset); };

  steps_.w = at(w);
  steps_.m = at(m);
  steps_.v = at(v);
  steps_.g = at(g);
  l2_ = at(l2);
  row_ = at(row);
  batches_ = at(batches);
  std::fill_n(at(ones), stride_, T(1));
  steps_.batch = at(batch);
  steps_.target = steps_.batch + n_in * stride_;
  steps_.weight = steps_.target + n_out * stride_;
  steps_.scale = steps_.weight + stride_;
  steps_.counted = net.spec.counts_rows() ? steps_.scale + stride_ : steps_.weight;
  const T* in = steps_.batch;
  for (size_t l = 0; l < net.depth(); ++l) {
    const Layer& layer = layout.layers[l];
    T *z = at(offsets[3 * l]), *a = at(offsets[3 * l + 1]), *d = at(offsets[3 * l + 2]);
    layers_.push_back({layer.n_in, layer.n_out, layer.activation, steps_.w + layer.flat_w,
                       layer.flat_b < 0 ? nullptr : steps_.w + layer.flat_b, in, z, a, d});
    for (ptrdiff_t i = 0; i < layer.n_in; ++i)
      for (ptrdiff_t j = 0; j < layer.n_out; ++j)
        terms_.push_back({in + i * stride_, d + j * stride_});
    for (ptrdiff_t j = 0; layer.flat_b >= 0 && j < layer.n_out; ++j)
      terms_.push_back({at(ones), d + j * stride_});
    in = a;
  }
  terms_.resize(size_t(steps_.n_params), {at(zeros), at(zeros)});
  scalars_.resize(choice.fused ? kSteps : 1);
  weights_.resize(scalars_.size());
  rates_.resize(scalars_.size(), -1);
  totals_.resize(4 * scalars_.size());
  steps_.layers = layers_.data();
  steps_.terms = terms_.data();
  steps_.scalars = scalars_.data();
  steps_.totals = totals_.data();
}

// Writes the rows of a batch to `to`, as TinySteps::batch has them; returns the first that is not
// finite, or -1.
template <class T>
ptrdiff_t TinyPlan<T>::gather(const Batch<T>& batch, T* to, double& weight) {
  const Data<T>& data = *batch.data;
  const ptrdiff_t n_in = this->net_.spec.sizes.front(), n_out = this->net_.spec.sizes.back();
  const double scale = batch.scale(this->net_.spec.reduction);
  T* target = to + n_in * stride_;
  T* weights = target + n_out * stride_;
  T* scales = weights + stride_;
  T* counted = this->net_.spec.counts_rows() ? scales + stride_ : nullptr;
  const bool in_place = data.in_place();
  weight = 0;
  for (ptrdiff_t r = 0; r < batch.rows; ++r) {
    const ptrdiff_t row = batch.row(r);
    const T* x = row_;
    if (in_place) {
      x = reinterpret_cast<const T*>(data.row(row));
      T sum = T(0);
      for (ptrdiff_t i = 0; i < n_in; ++i) sum += x[i] - x[i];  // 0, or NaN
      if (!(sum == T(0))) return row;
    } else {
      Gather<T> g = batch.gather({r, r + 1}, n_in);
      g.to = row_;
      g.block = this->net_.kernels.tile;
      if (this->net_.kernels.gather[int(data.x_type)](g) >= 0) return row;
    }
    for (ptrdiff_t i = 0; i < n_in; ++i) to[i * stride_ + r] = x[i];
    for (ptrdiff_t j = 0; j < n_out; ++j)
      target[j * stride_ + r] = data.y                  ? data.y[row * n_out + j]
                                : data.labels[row] == j ? T(1)
                                                        : T(0);
    weights[r] = data.weight ? data.weight[row] : T(1);
    scales[r] = weights[r] * T(scale);
    weight += counted ? 1.0 : double(weights[r]);
    if (counted) counted[r] = T(1);
  }
  for (ptrdiff_t i = 0; i < n_in + n_out; ++i)
    for (ptrdiff_t r = batch.rows; r < stride_; ++r) to[i * stride_ + r] = to[i * stride_];
  for (ptrdiff_t r = batch.rows; r < stride_; ++r) weights[r] = scales[r] = T(0);
  if (counted) std::fill(counted + batch.rows, counted + stride_, T(0));
  return -1;
}

// The scalars of a step. Only Adam's change while the rate stays the same.
template <class T>
void TinyPlan<T>::set_scalars(size_t k, Optimizer<T>& optimizer, int64_t t, double lr) {
  if (rates_[k] == lr && optimizer.kind() != Update::adam) return;
  optimizer.begin_step(t, lr);
  scalars_[k] = optimizer.scalars();
  rates_[k] = lr;
}

template <class T>
void TinyPlan<T>::set_l2(const RunArgs<T>& args) {
  for (size_t l = 0; l < this->net_.depth(); ++l) {
    const Layer& layer = this->net_.layout.layers[l];
    std::fill_n(l2_ + layer.flat_w, layer.n_in * layer.n_out, T(args.l2[l]));
  }
  steps_.l2 = args.has_l2() ? l2_ : nullptr;
}

template <class T>
void TinyPlan<T>::train(const RunArgs<T>& args, ptrdiff_t epochs, Training<T>& training,
                        RunResult& result) {
  const TrainingFloatMode mode;
  Optimizer<T>& optimizer = training.optimizer;
  int64_t& t = training.steps;
  const WeightUpdate<T> update{this->net_.kernels, optimizer, training.state};
  const Layout& layout = this->net_.layout;
  const ptrdiff_t n = args.data.n;
  update.load(layout, steps_);
  set_l2(args);
  steps_.update = optimizer.kind();
  steps_.want_metrics = args.want_metrics;
  steps_.stop = args.poll.stop;
  const bool same_rows = args.batch_size >= n && !args.orders;
  steps_.batches = same_rows ? nullptr : batches_;
  double weight = 0;
  if (same_rows) {
    result.bad_row = gather({&args.data, nullptr, 0, n}, steps_.batch, weight);
    if (result.bad_row >= 0) {
      result.status = Status::bad_input;
      return;
    }
    std::fill(weights_.begin(), weights_.end(), weight);
  }

  Watch watch(args.poll, this->net_.flops_training() * double(std::min(args.batch_size, n)));
  Totals sum;
  ptrdiff_t epoch = 0, first = 0;  // where the next step begins
  const auto advance = [&](ptrdiff_t& e, ptrdiff_t& f) {
    f += args.batch_size;
    if (f < n) return false;
    f = 0;
    ++e;
    return true;
  };
  while (epoch < epochs && result.status == Status::ok) {
    ptrdiff_t count = 0, bad = -1;
    for (ptrdiff_t e = epoch, f = first; count < kSteps && e < epochs; ++count) {
      if (!same_rows) {
        const int64_t* order = args.orders ? args.orders + e * n : nullptr;
        const Batch<T> batch = {&args.data, order, f, std::min(args.batch_size, n - f)};
        bad = gather(batch, batches_ + count * steps_.batch_size, weights_[size_t(count)]);
        if (bad >= 0) break;
      }
      set_scalars(size_t(count), optimizer, t + count + 1, args.rate(e, f));
      advance(e, f);
    }
    if (count == 0) {
      result.status = Status::bad_input;
      result.bad_row = bad;
      break;
    }
    steps_.steps = count;
    const ptrdiff_t done = this->net_.kernels.tiny(steps_);
    t += done;
    for (ptrdiff_t k = 0; k < done; ++k) {
      const double* totals = totals_.data() + 4 * k;
      sum.add({totals[0], weights_[size_t(k)], totals[1], totals[2], totals[3]});
      if (!std::isfinite(totals[0])) {
        result.status = Status::diverged;
      } else if (advance(epoch, first)) {
        result.totals.push_back(sum);
        sum = {};
      }
    }
    if (result.status == Status::ok && watch.must_stop(int(done)) && epoch < epochs) {
      result.status = Status::interrupted;
      if (first > 0) result.totals.push_back(sum);
    }
  }
  update.store(layout, steps_);
}

template <class T>
bool TinyPlan<T>::gradient(const Data<T>& data, const T* flat, T* grad, Totals& totals) {
  double weight = 0;
  if (gather({&data, nullptr, 0, data.n}, steps_.batch, weight) >= 0) return false;
  const ptrdiff_t n = this->net_.layout.n_params;
  std::copy(flat, flat + n, steps_.w);
  steps_.steps = 1;
  this->net_.kernels.tiny(steps_);
  std::copy(steps_.g, steps_.g + n, grad);
  totals = {};
  totals.loss = totals_[0];
  totals.weight = weight;
  return true;
}

template class TinyPlan<float>;
template class TinyPlan<double>;

}  // namespace mlpfast
