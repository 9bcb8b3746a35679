// Slices of the hidden layer there and back, with one meeting in between.
#include "sliced_plan.hpp"

#include <array>
#include <cstdlib>

#include "../isa/prefetch.hpp"

namespace mlpfast {
namespace {

// More rows are better shared out by rows; fewer bytes of a unit's rows are too few for a way
// through the net.
constexpr ptrdiff_t kMostRows = 256, kLeastBytes = 512;
// For less the narrow plan is quicker made.
constexpr double kLeastFlops = 1e5;
// For so much work in a step two threads are worth it wherever they run. Then the rows can be
// shared as well, and more evenly than fewer units.
constexpr double kMuchWork = 2 * kStepFlopsWorthAThread;
constexpr ptrdiff_t kEvenUnits = 96;
// What the slices add to the logits goes from core to core: few outputs, that is.
constexpr ptrdiff_t kMostOutputs = 32;
// For less work in a step, in single precision, meeting once costs more than another thread brings,
// even a near one.
constexpr double kFlopsWorthMeeting = 1e6;

// Where a range of units is cut in two: between panels if there are some.
ptrdiff_t middle_of(const Layer& layer, Range units, ptrdiff_t tile) {
  const ptrdiff_t middle = units.begin + round_up(units.size() / 2, tile);
  ptrdiff_t best = units.begin;
  for (const Panel& panel : layer.panels)
    if (panel.col < units.end && std::abs(panel.col - middle) < std::abs(best - middle))
      best = panel.col;
  return best > units.begin ? best : middle;
}

// Four slices, or two if there are not tiles enough.
std::vector<Range> cut(const Layer& layer, ptrdiff_t tile) {
  const ptrdiff_t end = layer.out_padded, middle = middle_of(layer, {0, end}, tile);
  if (std::min(middle, end - middle) < 2 * tile) return {{0, middle}, {middle, end}};
  const ptrdiff_t low = middle_of(layer, {0, middle}, tile);
  const ptrdiff_t high = middle_of(layer, {middle, end}, tile);
  return {{0, low}, {low, middle}, {middle, high}, {high, end}};
}

// Between the buffers of slices, and of threads, so that none has a line that the hardware may
// fetch for another; and how far such fetching goes.
constexpr ptrdiff_t kGap = 4096, kAsked = 2048;

}  // namespace

template <class T>
bool SlicedPlan<T>::suits(const Network<T>& net, ptrdiff_t rows) {
  if (net.depth() != 2 || rows > kMostRows || rows * ptrdiff_t(sizeof(T)) < kLeastBytes)
    return false;
  const Layer &hidden = net.layout.layers[0], &output = net.layout.layers[1];
  const double flops = net.flops_training() * double(rows);
  if (flops < kLeastFlops || (flops >= kMuchWork && hidden.n_out < kEvenUnits)) return false;
  return !net.whole_rows(0) && !net.drops_inputs() && !hidden.drops &&
         hidden.out_padded >= 2 * net.kernels.tile && output.n_out <= kMostOutputs;
}

template <class T>
SlicedPlan<T>::SlicedPlan(const Network<T>& net, ptrdiff_t rows, int threads, bool repeated)
    : Plan<T>(net, rows, threads), repeated_(repeated) {
  const std::vector<Range> cuts = cut(hidden(), net.kernels.tile);
  const ptrdiff_t count = ptrdiff_t(cuts.size());
  const double flops = net.flops_training() * double(rows);
  const double worth = flops / kFlopsWorthMeeting * (double(sizeof(T)) / 4);
  this->team_size_ = 1;
  while (this->team_size_ * 2 <= std::min<double>({double(threads), worth, double(count)}))
    this->team_size_ *= 2;
  this->reach_ = flops < kMuchWork ? Reach::near_only : Reach::any;

  // An odd number of cache lines, so that units do not fall on the same sets of the cache.
  const ptrdiff_t line = kCacheLine / ptrdiff_t(sizeof(T));
  const ptrdiff_t most = round_up(rows, net.kernels.lanes);
  ld_ = (round_up(most, line) / line | 1) * line;
  const Layer &h = hidden(), &o = output();
  hidden_over_rows_ = sums_over_rows_are_shorter(h, rows, net.kernels.lanes, false);
  output_over_rows_ = sums_over_rows_are_shorter(o, rows, net.kernels.lanes, false);

  Arena& arena = this->arena_;
  const auto array = [&](ptrdiff_t n) { return arena.template reserve_array<T>(n); };
  const ptrdiff_t gradients = array(net.layout.packed_size);
  std::vector<std::array<ptrdiff_t, 4>> of_slices;
  for (const Range& units : cuts) {
    if (this->team_size_ > 1) arena.reserve(kGap);
    const ptrdiff_t a = array(units.size() * ld_), d = array(units.size() * ld_);
    of_slices.push_back({h.keeps_z ? array(units.size() * ld_) : a, a, d, array(o.n_out * ld_)});
  }
  std::vector<std::array<ptrdiff_t, 8>> of_members;
  for (int i = 0; i < this->team_size_; ++i) {
    if (this->team_size_ > 1) arena.reserve(kGap);
    const ptrdiff_t a = array(o.n_out * ld_);
    of_members.push_back({array(UnitRows<T>::size(net.spec, ld_)),
                          arena.template reserve_array<const T*>(most * 2),
                          array(most * net.layout.ld_input), a,
                          o.keeps_z ? array(o.n_out * ld_) : a, array(o.out_padded * ld_),
                          array(o.out_padded), array(most * std::max(h.out_padded, o.out_padded))});
  }
  arena.commit();
  const auto at = [&](ptrdiff_t offset) { return arena.template at<T>(offset); };
  this->gradients_ = at(gradients);
  for (size_t s = 0; s < cuts.size(); ++s) {
    const auto& p = of_slices[s];
    slices_.push_back({cuts[s], at(p[0]), at(p[1]), at(p[2]), at(p[3])});
  }
  for (const auto& p : of_members)
    members_.push_back({UnitRows<T>::in(at(p[0]), net.spec, ld_),
                        {arena.template at<const T*>(p[1]), at(p[2]), most},
                        at(p[4]),
                        at(p[3]),
                        at(p[5]),
                        at(p[6]),
                        at(p[7])});
}

template <class T>
void SlicedPlan<T>::step(const Team& team, const Step<T>& step) {
  const Network<T>& net = this->net_;
  const Member& me = members_[size_t(team.index)];
  const bool leads = team.index == 0;
  const ptrdiff_t n = step.batch.rows, all = round_up(n, net.kernels.lanes);
  // A batch that is kept was the last step's as well, and all of it finite.
  if (!(repeated_ && step.announced)) {
    const ptrdiff_t bad = me.reader.gather(net, step.batch, {0, n}, all, me.in, ld_);
    if (leads) this->bad_row_ = bad;
  }
  const Range mine = share(ptrdiff_t(slices_.size()), team.index, team.count);
  for (ptrdiff_t s = mine.begin; s < mine.end; ++s)
    forward(step.state.w, slices_[size_t(s)], all, me);
  team.sync();
  if (team.count > 1)
    for (ptrdiff_t s = mine.begin; s < mine.end; ++s) ask_for(step.state, slices_[size_t(s)]);
  add_up(me);
  const Totals totals = loss(step, n, all, leads, me);
  if (leads) this->totals_ = totals;
  if (!output_over_rows_)
    net.kernels.transpose(me.d, ld_, output().n_out, all, me.by_row, output().out_padded);
  for (ptrdiff_t s = mine.begin; s < mine.end; ++s) output_gradient(slices_[size_t(s)], all, me);
  for (ptrdiff_t s = mine.begin; s < mine.end; ++s) {
    propagate(step.state.w, slices_[size_t(s)], all, me);
    hidden_gradient(slices_[size_t(s)], all, me);
    if (step.optimizer) update_slice(step, slices_[size_t(s)]);
  }
  const Layer& o = output();
  if (leads && step.optimizer && net.spec.bias)
    this->update(net, step, o.packed_b, this->gradients_ + o.packed_b, o.out_padded, 0);
}

// Calls f(panel, units) for the units of a slice that are neighbours in a panel.
template <class T>
template <class F>
void SlicedPlan<T>::for_each_piece(Range slice, F f) const {
  for (const Panel& panel : hidden().panels) {
    const Range units = {std::max(slice.begin, panel.col),
                         std::min(slice.end, panel.col + panel.width)};
    if (units.begin < units.end) f(panel, units);
  }
}

// A core that streams through its slices makes the hardware fetch what lies behind them, the first
// lines of another core's, which then wants them back: ahead of time.
template <class T>
void SlicedPlan<T>::ask_for(const State<T>& state, const Slice& slice) const {
  const Layer &h = hidden(), &o = output();
  const auto ask = [&](ptrdiff_t at, ptrdiff_t n) {
    const ptrdiff_t bytes = std::min(n * ptrdiff_t(sizeof(T)), kAsked);
    for (const T* array : {static_cast<const T*>(state.w), static_cast<const T*>(state.m),
                           static_cast<const T*>(state.v), static_cast<const T*>(this->gradients_)})
      if (array) prefetch<true>(array + at, bytes);
  };
  const Range& units = slice.units;
  for_each_piece(units, [&](const Panel& panel, Range some) {
    ask(h.packed_w + panel.col * h.in_padded + some.begin - panel.col, h.n_in * panel.width);
  });
  for (const Panel& panel : o.panels)
    ask(o.packed_w + panel.col * o.in_padded + units.begin * panel.width,
        units.size() * panel.width);
  ask(h.packed_b + units.begin, units.size());
}

// The outputs of a slice, and what they add to the logits.
template <class T>
void SlicedPlan<T>::forward(const T* w, const Slice& slice, ptrdiff_t rows,
                            const Member& me) const {
  const Network<T>& net = this->net_;
  const Layer &h = hidden(), &o = output();
  for_each_piece(slice.units, [&](const Panel& panel, Range units) {
    UnitProduct<T> p;
    p.w = w + h.packed_w + panel.col * h.in_padded + units.begin - panel.col;
    p.w_unit = 1;
    p.w_input = panel.width;
    p.x = me.in.x;
    p.z = slice.z + (units.begin - slice.units.begin) * ld_;
    p.ld = ld_;
    p.bias = w + h.packed_b + units.begin;
    p.accumulate = false;
    p.units = real(units).size();
    p.rows = rows;
    p.inputs = h.n_in;
    net.kernels.unit_product(p);
  });
  const Range units = real(slice.units);
  if (h.activation != Activation::identity)
    net.kernels.activate[int(h.activation)](slice.z, slice.a, units.size(), rows, ld_);
  for (const Panel& panel : o.panels) {
    UnitProduct<T> p;
    p.w = w + o.packed_w + panel.col * o.in_padded + units.begin * panel.width;
    p.w_unit = 1;
    p.w_input = panel.width;
    p.x = slice.a;
    p.z = slice.part + panel.col * ld_;
    p.ld = ld_;
    p.bias = slice.units.begin == 0 ? w + o.packed_b + panel.col : nullptr;
    p.accumulate = false;
    p.units = std::min(panel.width, o.n_out - panel.col);
    p.rows = rows;
    p.inputs = units.size();
    net.kernels.unit_product(p);
  }
}

// The logits, from what every slice adds to them.
template <class T>
void SlicedPlan<T>::add_up(const Member& me) const {
  const ptrdiff_t n = output().n_out * ld_;
  const T *first = slices_[0].part, *second = slices_[1].part;
  if (slices_.size() == 2) {
    for (ptrdiff_t i = 0; i < n; ++i) me.z[i] = first[i] + second[i];
    return;
  }
  const T *third = slices_[2].part, *fourth = slices_[3].part;
  for (ptrdiff_t i = 0; i < n; ++i) me.z[i] = (first[i] + second[i]) + (third[i] + fourth[i]);
}

// The outputs, the loss, and the deltas of the output layer.
template <class T>
Totals SlicedPlan<T>::loss(const Step<T>& step, ptrdiff_t n, ptrdiff_t rows, bool leads,
                           const Member& me) const {
  const Network<T>& net = this->net_;
  const Layer& o = output();
  const bool from_logits = net.layout.loss_from_logits;
  if (net.whole_rows(1)) {
    if (!from_logits) net.kernels.unit_softmax(me.z, me.a, n, o.n_out, ld_);
  } else if (o.activation != Activation::identity) {
    net.kernels.activate[int(o.activation)](me.z, me.a, o.n_out, rows, ld_);
  }
  const T scale = T(step.batch.scale(net.spec.reduction));
  const Totals totals =
      unit_loss(net, me.in, static_cast<const T*>(me.z), me.a, me.d,
                step.batch.data->weight != nullptr, leads && step.want_metrics, n, ld_, scale);
  Activation activation = from_logits ? Activation::identity : o.activation;
  const T* kept = o.keeps_z ? me.z : me.a;
  if (activation == Activation::softmax) {
    net.kernels.unit_softmax_derive(kept, me.d, rows, o.n_out, ld_);
    activation = Activation::identity;
  }
  // Every member has the sums; the first one's are used.
  if (activation != Activation::identity || (leads && net.spec.bias))
    net.kernels.unit_derive[int(activation)](
        kept, me.d, o.n_out, rows, ld_, leads ? this->gradients_ + o.packed_b : me.sums, false);
  return totals;
}

// The deltas of a slice, and the gradient of its biases.
template <class T>
void SlicedPlan<T>::propagate(const T* w, const Slice& slice, ptrdiff_t rows,
                              const Member& me) const {
  const Network<T>& net = this->net_;
  const Layer &h = hidden(), &o = output();
  const Range units = real(slice.units);
  for (const Panel& panel : o.panels) {
    UnitProduct<T> p;
    p.w = w + o.packed_w + panel.col * o.in_padded + units.begin * panel.width;
    p.w_unit = panel.width;
    p.w_input = 1;
    p.x = me.d + panel.col * ld_;
    p.z = slice.d;
    p.ld = ld_;
    p.bias = nullptr;
    p.accumulate = panel.col > 0;
    p.units = units.size();
    p.rows = rows;
    p.inputs = std::min(panel.width, o.n_out - panel.col);
    net.kernels.unit_product(p);
  }
  if (h.activation == Activation::identity && !net.spec.bias) return;
  net.kernels.unit_derive[int(h.activation)](h.keeps_z ? slice.z : slice.a, slice.d, units.size(),
                                             rows, ld_, this->gradients_ + h.packed_b + units.begin,
                                             false);
}

template <class T>
void SlicedPlan<T>::hidden_gradient(const Slice& slice, ptrdiff_t rows, const Member& me) const {
  const Network<T>& net = this->net_;
  const Layer& h = hidden();
  if (!hidden_over_rows_)
    net.kernels.transpose(slice.d, ld_, real(slice.units).size(), rows, me.by_row,
                          slice.units.size());
  for_each_piece(slice.units, [&](const Panel& panel, Range units) {
    T* out = this->gradients_ + h.packed_w + panel.col * h.in_padded + units.begin - panel.col;
    if (hidden_over_rows_) {
      const T* d = slice.d + (units.begin - slice.units.begin) * ld_;
      net.kernels.unit_gradient({me.in.x, d, ld_, out, panel.width, nullptr, true, true, h.n_in,
                                 real(units).size(), rows});
      return;
    }
    Gemm<T> g{};
    g.a = me.in.x;
    g.lda = ld_;
    g.b = me.by_row + units.begin - slice.units.begin;
    g.ldb = slice.units.size();
    g.c = out;
    g.ldc = panel.width;
    g.a_block = g.b_block = g.c_block = net.kernels.tile;
    g.m = h.n_in;
    g.n = units.size();
    g.k = rows;
    net.kernels.gemm(g);
  });
}

template <class T>
void SlicedPlan<T>::output_gradient(const Slice& slice, ptrdiff_t rows, const Member& me) const {
  const Network<T>& net = this->net_;
  const Layer& o = output();
  const Range units = real(slice.units);
  for (const Panel& panel : o.panels) {
    T* out = this->gradients_ + o.packed_w + panel.col * o.in_padded + units.begin * panel.width;
    if (output_over_rows_) {
      net.kernels.unit_gradient({slice.a, me.d + panel.col * ld_, ld_, out, panel.width, nullptr,
                                 true, true, units.size(),
                                 std::min(panel.width, o.n_out - panel.col), rows});
      continue;
    }
    Gemm<T> g{};
    g.a = slice.a;
    g.lda = ld_;
    g.b = me.by_row + panel.col;
    g.ldb = o.out_padded;
    g.c = out;
    g.ldc = panel.width;
    g.a_block = g.b_block = g.c_block = net.kernels.tile;
    g.m = units.size();
    g.n = panel.width;
    g.k = rows;
    net.kernels.gemm(g);
  }
}

template <class T>
void SlicedPlan<T>::update_slice(const Step<T>& step, const Slice& slice) const {
  const Network<T>& net = this->net_;
  const Layer &h = hidden(), &o = output();
  const auto update = [&](ptrdiff_t at, ptrdiff_t n, double l2) {
    this->update(net, step, at, this->gradients_ + at, n, l2);
  };
  for_each_piece(slice.units, [&](const Panel& panel, Range units) {
    const ptrdiff_t at = h.packed_w + panel.col * h.in_padded + units.begin - panel.col;
    if (units.size() == panel.width) {
      update(at, h.n_in * panel.width, step.l2_of(0));
    } else {
      for (ptrdiff_t k = 0; k < h.n_in; ++k)
        update(at + k * panel.width, units.size(), step.l2_of(0));
    }
  });
  const Range units = real(slice.units);
  for (const Panel& panel : o.panels)
    update(o.packed_w + panel.col * o.in_padded + units.begin * panel.width,
           units.size() * panel.width, step.l2_of(1));
  if (net.spec.bias) update(h.packed_b + slice.units.begin, slice.units.size(), 0);
}

template class SlicedPlan<float>;
template class SlicedPlan<double>;

}  // namespace mlpfast
