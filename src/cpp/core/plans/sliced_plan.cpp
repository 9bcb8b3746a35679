// Slices of the hidden layer forward and backward, with one barrier in between.
#include "sliced_plan.hpp"

#include <array>
#include <cstdlib>

#include "../../isa/prefetch.hpp"

namespace mlpfast {
namespace {

// For less work in a step, in single precision, one barrier costs more than another thread brings,
// even a near one.
constexpr double kFlopsWorthABarrier = 1e6;

// Where a range of units is cut in two: between panels if there are some.
ptrdiff_t middle_of(const Layer& layer, Range units, ptrdiff_t tile) {
  const ptrdiff_t middle = units.begin + round_up(units.size() / 2, tile);
  ptrdiff_t best = units.begin;
  for (const Panel& panel : layer.panels)
    if (panel.col < units.end && std::abs(panel.col - middle) < std::abs(best - middle))
      best = panel.col;
  return best > units.begin ? best : middle;
}

// Four slices, or two if there are not enough tiles.
std::vector<Range> cut(const Layer& layer, ptrdiff_t tile) {
  const ptrdiff_t end = layer.out_padded, middle = middle_of(layer, {0, end}, tile);
  if (std::min(middle, end - middle) < 2 * tile) return {{0, middle}, {middle, end}};
  const ptrdiff_t low = middle_of(layer, {0, middle}, tile);
  const ptrdiff_t high = middle_of(layer, {middle, end}, tile);
  return {{0, low}, {low, middle}, {middle, high}, {high, end}};
}

// Between the buffers of slices, and of threads, so that none has a line that the hardware may
// prefetch for another; and how far such prefetching goes.
constexpr ptrdiff_t kGap = 4096, kPrefetchedBytes = 2048;

}  // namespace

template <class T>
void SlicedPlan<T>::partition(const Network<T>& net, int threads, PlanChoice& choice) {
  choice.block_rows = round_up(choice.rows, net.kernels.lanes);
  choice.parts = ptrdiff_t(cut(net.layout.layers[0], net.kernels.tile).size());
  const double flops = net.flops_training() * double(choice.rows);
  const double worth = flops / kFlopsWorthABarrier * (double(sizeof(T)) / 4);
  choice.team = 1;
  while (choice.team * 2 <= std::min<double>({double(threads), worth, double(choice.parts)}))
    choice.team *= 2;
  choice.reach = flops < kStepFlopsWorthAnyTeam ? Reach::near_only : Reach::any;
}

template <class T>
SlicedPlan<T>::SlicedPlan(const Network<T>& net, const PlanChoice& choice)
    : StepPlan<T>(net, choice) {
  const std::vector<Range> cuts = cut(hidden(), net.kernels.tile);
  const ptrdiff_t rows = choice.rows;

  // An odd number of cache lines, so that units do not fall on the same sets of the cache.
  const ptrdiff_t line = kCacheLine / ptrdiff_t(sizeof(T));
  const ptrdiff_t most = choice.block_rows;
  ld_ = (round_up(most, line) / line | 1) * line;
  const Layer &h = hidden(), &o = output();
  hidden_over_rows_ = row_lanes_are_cheaper(h, rows, net.kernels.lanes, false);
  output_over_rows_ = row_lanes_are_cheaper(o, rows, net.kernels.lanes, false);

  Arena& arena = this->arena_;
  const auto array = [&](ptrdiff_t n) { return arena.template reserve_array<T>(n); };
  const ptrdiff_t gradients = array(net.layout.packed_size);
  std::vector<std::array<ptrdiff_t, 4>> of_slices;
  for (const Range& units : cuts) {
    if (choice.team > 1) arena.reserve(kGap);
    const ptrdiff_t a = array(units.size() * ld_), d = array(units.size() * ld_);
    of_slices.push_back({h.keeps_z ? array(units.size() * ld_) : a, a, d, array(o.n_out * ld_)});
  }
  std::vector<std::array<ptrdiff_t, 7>> of_members;
  for (int i = 0; i < choice.team; ++i) {
    if (choice.team > 1) arena.reserve(kGap);
    const ptrdiff_t a = array(o.n_out * ld_);
    of_members.push_back({array(UnitMajorRows<T>::size(net.spec, ld_)),
                          arena.template reserve_array<const T*>(most * 2),
                          array(most * net.layout.ld_input), o.keeps_z ? array(o.n_out * ld_) : a,
                          a, array(o.out_padded * ld_),
                          array(most * std::max(h.out_padded, o.out_padded))});
  }
  arena.commit();
  const auto at = [&](ptrdiff_t offset) { return arena.template at<T>(offset); };
  this->gradients_ = at(gradients);
  for (size_t s = 0; s < cuts.size(); ++s) {
    const auto& p = of_slices[s];
    const UnitMajorLayer<T> in = {net, h, {0, h.n_in}, cuts[s], ld_};
    const Range units = {cuts[s].begin, cuts[s].begin + in.count()};
    slices_.push_back(
        {in, {net, o, units, {0, o.out_padded}, ld_}, at(p[0]), at(p[1]), at(p[2]), at(p[3])});
  }
  for (const auto& p : of_members)
    members_.push_back({UnitMajorRows<T>::in(at(p[0]), net.spec, ld_),
                        {arena.template at<const T*>(p[1]), at(p[2]), most},
                        at(p[3]),
                        at(p[4]),
                        at(p[5]),
                        at(p[6])});
}

template <class T>
void SlicedPlan<T>::step(const Team& team, const Step<T>& step) {
  const Network<T>& net = this->net_;
  const Member& me = members_[size_t(team.index)];
  const bool leads = team.index == 0;
  const ptrdiff_t n = step.batch.rows, all = round_up(n, net.kernels.lanes);
  // A kept batch was that of the last step as well, and finite.
  if (!(this->choice_.repeated && step.announced)) {
    const ptrdiff_t bad = me.reader.gather(net, step.batch, {0, n}, all, me.in, ld_);
    if (leads) this->bad_row_ = bad;
  }
  const Range mine = share(ptrdiff_t(slices_.size()), team.index, team.count);
  for (ptrdiff_t s = mine.begin; s < mine.end; ++s)
    forward(step.state.w, slices_[size_t(s)], all, me);
  team.sync();
  if (team.count > 1)
    for (ptrdiff_t s = mine.begin; s < mine.end; ++s)
      prefetch_slice(step.state, slices_[size_t(s)]);
  add_up(me);
  const Totals totals = loss(step, n, all, leads, me);
  if (leads) this->totals_ = totals;
  // The output weights' gradients come first: `by_row` is then used for the slices' own deltas.
  if (!output_over_rows_) slices_[0].out.transpose(me.d, me.by_row, all);
  for (ptrdiff_t s = mine.begin; s < mine.end; ++s) {
    const Slice& slice = slices_[size_t(s)];
    slice.out.gradient(slice.a, me.d, output_over_rows_ ? nullptr : me.by_row, this->gradients_,
                       all);
  }
  for (ptrdiff_t s = mine.begin; s < mine.end; ++s) {
    backward(step.state.w, slices_[size_t(s)], all, me);
    if (step.update) update_slice(step, slices_[size_t(s)]);
  }
  const Layer& o = output();
  if (leads && step.update && net.spec.bias)
    step.update->from_gradient(o.packed_b, this->gradients_ + o.packed_b, o.out_padded, 0);
}

// A core that streams through its slices makes the hardware prefetch what lies behind them, the
// first lines of another core's slices. That core fetches them back before it needs them.
template <class T>
void SlicedPlan<T>::prefetch_slice(const State<T>& state, const Slice& slice) const {
  const auto prefetch_span = [&](ptrdiff_t at, ptrdiff_t n) {
    const ptrdiff_t bytes = std::min(n * ptrdiff_t(sizeof(T)), kPrefetchedBytes);
    for (const T* array : {static_cast<const T*>(state.w), static_cast<const T*>(state.m),
                           static_cast<const T*>(state.v), static_cast<const T*>(this->gradients_)})
      if (array) prefetch<true>(array + at, bytes);
  };
  for (const UnitMajorLayer<T>* part : {&slice.in, &slice.out})
    part->for_each_piece([&](ptrdiff_t at, ptrdiff_t width, Range) {
      prefetch_span(at, part->inputs.size() * width);
    });
  prefetch_span(hidden().packed_b + slice.in.units.begin, slice.in.units.size());
}

// The outputs of a slice, and what they add to the logits.
template <class T>
void SlicedPlan<T>::forward(const T* w, const Slice& slice, ptrdiff_t rows,
                            const Member& me) const {
  slice.in.forward(w, me.in.x, slice.z, rows, true);
  slice.in.activate(slice.z, slice.a, rows);
  slice.out.forward(w, slice.a, slice.part, rows, slice.in.units.begin == 0);
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
  const UnitMajorLayer<T> layer = {net, o, {0, o.n_in}, {0, o.out_padded}, ld_};
  layer.activate(me.z, me.a, rows);
  const T scale = T(step.batch.scale(net.spec.reduction));
  const Totals totals =
      unit_loss(net, me.in, static_cast<const T*>(me.z), me.a, me.d,
                step.batch.data->weight != nullptr, leads && step.want_metrics, n, ld_, scale);
  layer.derive(o.keeps_z ? me.z : me.a, me.d, rows,
               leads && net.spec.bias ? this->gradients_ + o.packed_b : nullptr);
  return totals;
}

// The deltas of a slice, and the gradients of its biases and the weights before it.
template <class T>
void SlicedPlan<T>::backward(const T* w, const Slice& slice, ptrdiff_t rows,
                             const Member& me) const {
  const Layer& h = hidden();
  slice.out.backward(w, me.d, slice.d, rows);
  slice.in.derive(
      h.keeps_z ? slice.z : slice.a, slice.d, rows,
      this->net_.spec.bias ? this->gradients_ + h.packed_b + slice.in.units.begin : nullptr);
  if (!hidden_over_rows_) slice.in.transpose(slice.d, me.by_row, rows);
  slice.in.gradient(me.in.x, slice.d, hidden_over_rows_ ? nullptr : me.by_row, this->gradients_,
                    rows);
}

template <class T>
void SlicedPlan<T>::update_slice(const Step<T>& step, const Slice& slice) const {
  const auto update = [&](ptrdiff_t at, ptrdiff_t n, double l2) {
    step.update->from_gradient(at, this->gradients_ + at, n, l2);
  };
  for (const size_t l : {0, 1}) {
    const UnitMajorLayer<T>& part = l == 0 ? slice.in : slice.out;
    part.for_each_piece([&](ptrdiff_t at, ptrdiff_t width, Range units) {
      if (units.size() == width)
        update(at, part.inputs.size() * width, step.l2_of(l));
      else
        for (ptrdiff_t k = 0; k < part.inputs.size(); ++k)
          update(at + k * width, units.size(), step.l2_of(l));
    });
  }
  const Range& units = slice.in.units;
  if (this->net_.spec.bias) update(hidden().packed_b + units.begin, units.size(), 0);
}

template class SlicedPlan<float>;
template class SlicedPlan<double>;

}  // namespace mlpfast
