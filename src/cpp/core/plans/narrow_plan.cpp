// Rows in groups, groups in unit-major blocks: gradients of small nets.
#include "narrow_plan.hpp"

#include <algorithm>

#include "../../isa/prefetch.hpp"

namespace mlpfast {
namespace {

constexpr ptrdiff_t kGroupRows = 64;
constexpr ptrdiff_t kMaxGroups = 16;
// Memory of a block: a part of the second-level cache, of which every core has half a megabyte or
// more. The first level is too small for enough rows to be worth a pass through the net.
constexpr ptrdiff_t kBlockBytes = 262144;
constexpr ptrdiff_t kLeastBlockRows = 128;
// Memory for the sums of a layer's weight gradient that are kept for the next block.
constexpr ptrdiff_t kPartialBytes = 32768;
// Parameters that are combined, then updated, before the next.
constexpr ptrdiff_t kUpdateSpan = 1024;

// More than one is an even number, which two threads can share.
ptrdiff_t groups_of(ptrdiff_t rows) {
  const ptrdiff_t groups = rows / kGroupRows;
  return groups < 2 ? 1 : std::min(round_up(groups, 2), kMaxGroups);
}

template <class T>
ptrdiff_t rows_of_a_block(const Network<T>& net) {
  const Layout& layout = net.layout;
  ptrdiff_t units = layout.layers.front().n_in + layout.layers.back().n_out, widest = 0;
  for (const Layer& layer : layout.layers) {
    units += layer.n_out * (1 + layer.keeps_z) + layer.out_padded;
    widest = std::max(widest, layer.out_padded);
  }
  const ptrdiff_t row_bytes = (units + widest) * ptrdiff_t(sizeof(T));
  return std::max({kBlockBytes / row_bytes, kLeastBlockRows, ptrdiff_t(net.kernels.panel)});
}

// The most rows of a group; each begins with a whole vector.
ptrdiff_t rows_of_a_group(ptrdiff_t rows, ptrdiff_t groups, ptrdiff_t lanes) {
  return round_up((rows + groups - 1) / groups, lanes) + (groups > 1 ? lanes : 0);
}

}  // namespace

template <class T>
void NarrowPlan<T>::partition(const Network<T>& net, int threads, PlanChoice& choice) {
  const ptrdiff_t lanes = net.kernels.lanes;
  choice.parts = groups_of(choice.rows);
  choice.team = std::min(StepPlan<T>::team_for(net, choice.rows, threads), int(choice.parts));
  choice.block_rows = std::min(rows_of_a_group(choice.rows, choice.parts, lanes),
                               round_up(rows_of_a_block(net), lanes));
  choice.repeated = choice.repeated && !net.drops_inputs();
}

template <class T>
NarrowPlan<T>::NarrowPlan(const Network<T>& net, const PlanChoice& choice)
    : StepPlan<T>(net, choice), row_step_(net.kernels.lanes), block_rows_(choice.block_rows) {
  const Layout& layout = net.layout;
  Arena& arena = this->arena_;
  const bool repeated = choice.repeated;
  const ptrdiff_t groups = choice.parts, line = kCacheLine / ptrdiff_t(sizeof(T));
  const ptrdiff_t most = rows_of_a_group(choice.rows, groups, row_step_);
  // An odd number of cache lines, so that units do not fall on the same sets of the cache.
  ld_ = (round_up(block_rows_, line) / line | 1) * line;

  rows_size_ = Rows::size(net.spec, ld_);
  if (repeated) kept_blocks_ = (most + block_rows_ - 1) / block_rows_;
  const ptrdiff_t rows_read =
      arena.reserve_array<T>(rows_size_ * (repeated ? groups * kept_blocks_ : choice.team));

  std::vector<std::vector<ptrdiff_t>> offsets(size_t(choice.team));
  std::vector<ptrdiff_t> partials;
  ptrdiff_t widest = 0;
  for (const Layer& layer : layout.layers) {
    widest = std::max(widest, layer.out_padded);
    const ptrdiff_t lanes = net.kernels.lanes;
    const ptrdiff_t partial = round_up(layer.n_in, lanes) * layer.n_out * lanes;
    const bool keeps = block_rows_ < most && partial * ptrdiff_t(sizeof(T)) <= kPartialBytes;
    sums_rows_.push_back(row_lanes_are_cheaper(layer, block_rows_, lanes, keeps));
    partials.push_back(sums_rows_.back() && keeps ? partial : 0);
  }
  for (auto& o : offsets) {
    o = {arena.reserve_array<const T*>(block_rows_ * 2),
         arena.reserve_array<T>(block_rows_ * layout.ld_input),
         arena.reserve_array<T>(block_rows_ * widest)};
    for (size_t l = 0; l < net.depth(); ++l) {
      const Layer& layer = layout.layers[l];
      const ptrdiff_t a = arena.reserve_array<T>(layer.n_out * ld_);
      o.push_back(a);
      o.push_back(layer.keeps_z ? arena.reserve_array<T>(layer.n_out * ld_) : a);
      o.push_back(arena.reserve_array<T>(layer.out_padded * ld_));
      o.push_back(partials[l] ? arena.reserve_array<T>(partials[l]) : -1);
    }
  }
  const ptrdiff_t gradients = arena.reserve_array<T>(groups * layout.packed_size);
  arena.commit();
  for (const auto& o : offsets) {
    Block block{
        {arena.at<const T*>(o[0]), arena.at<T>(o[1]), block_rows_}, arena.at<T>(o[2]), {}, {}};
    for (size_t i = 3; i < o.size(); i += 4)
      block.layers.push_back({arena.at<T>(o[i]), arena.at<T>(o[i + 1]), arena.at<T>(o[i + 2]),
                              o[i + 3] < 0 ? nullptr : arena.at<T>(o[i + 3])});
    blocks_.push_back(std::move(block));
  }
  rows_read_ = arena.at<T>(rows_read);
  this->gradients_ = arena.at<T>(gradients);
  results_.resize(size_t(groups));
}

template <class T>
void NarrowPlan<T>::step(const Team& team, const Step<T>& step) {
  const ptrdiff_t groups = groups_of(step.batch.rows);
  const T scale = T(step.batch.scale(this->net_.spec.reduction));
  const Range mine = share(groups, team.index, team.count);
  const Range updated = update_share(team);
  if (team.count > 1) {  // what the others have changed in the last step
    const ptrdiff_t size = this->net_.layout.packed_size;
    prefetch(step.state.w, updated.begin * ptrdiff_t(sizeof(T)));
    prefetch(step.state.w + updated.end, (size - updated.end) * ptrdiff_t(sizeof(T)));
  }
  for (ptrdiff_t g = mine.begin; g < mine.end; ++g) {
    run_group(team, step, g, groups, scale);
    combine_own(mine, g + 1);
  }
  team.sync();
  if (team.index == 0) {
    this->totals_ = {};
    this->bad_row_ = -1;
    for (ptrdiff_t g = 0; g < groups; ++g) {
      this->totals_.add(results_[size_t(g)].totals);
      if (this->bad_row_ < 0) this->bad_row_ = results_[size_t(g)].bad_row;
    }
  }
  if (team.count > 1) {
    const ptrdiff_t bytes = updated.size() * ptrdiff_t(sizeof(T));
    const ptrdiff_t size = this->net_.layout.packed_size;
    for (int t = 0; t < team.count; ++t)
      if (t != team.index)
        prefetch(this->gradients_ + share(groups, t, team.count).begin * size + updated.begin,
                 bytes);
    prefetch<true>(step.state.w + updated.begin, bytes);
  }
  for (ptrdiff_t at = updated.begin; at < updated.end; at += kUpdateSpan) {
    const Range span = {at, std::min(at + kUpdateSpan, updated.end)};
    combine_rest(groups, team.count, span);
    if (step.update) update_range(step, span);
  }
}

// The parameters that a member of the team combines and updates.
template <class T>
Range NarrowPlan<T>::update_share(const Team& team) const {
  const ptrdiff_t lanes = this->net_.kernels.lanes;
  const Range vectors = share(this->net_.layout.packed_size / lanes, team.index, team.count);
  return {vectors.begin * lanes, vectors.end * lanes};
}

// Groups [i, i + 2 n) are added up in place of group i by adding group i + n, for n = 1, 2, 4 and
// so on: as soon as group i + 2 n - 1 is `done` if all of them are the thread's own, else by
// combine_rest.
template <class T>
void NarrowPlan<T>::combine_own(Range groups, ptrdiff_t done) const {
  const ptrdiff_t size = this->net_.layout.packed_size;
  for (ptrdiff_t n = 1; done % (2 * n) == 0 && done - 2 * n >= groups.begin; n *= 2)
    this->net_.kernels.combine(this->gradients_ + (done - 2 * n) * size, size, n * size, 2);
}

template <class T>
void NarrowPlan<T>::combine_rest(ptrdiff_t groups, int team_size, Range range) const {
  const ptrdiff_t size = this->net_.layout.packed_size;
  for (ptrdiff_t n = 1; n < groups; n *= 2) {
    for (ptrdiff_t i = 0; i + n < groups; i += 2 * n) {
      bool done = false;
      for (int t = 0; t < team_size; ++t) {
        const Range own = share(groups, t, team_size);
        done = done || (own.begin <= i && i + 2 * n <= own.end);
      }
      if (!done)
        this->net_.kernels.combine(this->gradients_ + i * size + range.begin, range.size(),
                                   n * size, 2);
    }
  }
}

template <class T>
UnitMajorRows<T> NarrowPlan<T>::rows_of(ptrdiff_t group, ptrdiff_t b, const Team& team) const {
  const ptrdiff_t index = kept_blocks_ ? group * kept_blocks_ + b : team.index;
  return Rows::in(rows_read_ + rows_size_ * index, this->net_.spec, ld_);
}

template <class T>
void NarrowPlan<T>::run_group(const Team& team, const Step<T>& step, ptrdiff_t group,
                              ptrdiff_t groups, T scale) {
  Block& block = blocks_[size_t(team.index)];
  T* gradient = this->gradients_ + group * this->net_.layout.packed_size;
  // Groups and blocks begin at multiples of row_step_, and blocks are as even as can be.
  const ptrdiff_t n = step.batch.rows;
  Range units = share(padded(n) / row_step_, group, groups);
  const ptrdiff_t most = block_rows_ / row_step_, count = (units.size() + most - 1) / most;
  GroupResult result = {{}, -1};
  for (ptrdiff_t b = 0; b < count; ++b) {
    const Range part = share(units.size(), b, count);
    const Range rows = {(units.begin + part.begin) * row_step_,
                        std::min((units.begin + part.end) * row_step_, n)};
    const Rows in = rows_of(group, b, team);
    // A kept batch was that of the last step as well, and finite: otherwise the run would have
    // ended.
    if (!(kept_blocks_ && step.announced)) {
      const ptrdiff_t bad =
          block.reader.gather(this->net_, step.batch, rows, padded(rows.size()), in, ld_);
      if (result.bad_row < 0) result.bad_row = bad;
    }
    block.dropout = step.dropout;
    block.dropout.first_row = rows.begin;
    if (this->net_.drops_inputs())
      drop(0, in.x, in.x, this->net_.spec.sizes.front(), padded(rows.size()), block);
    forward(step.state.w, in, rows.size(), block);
    const auto& last = block.layers.back();
    result.totals.add(unit_loss(this->net_, in, static_cast<const T*>(last.z), last.a, last.d,
                                step.batch.data->weight != nullptr, step.want_metrics, rows.size(),
                                ld_, scale));
    backward(step.state.w, in, {padded(rows.size()), b == 0, b + 1 == count}, gradient, block);
  }
  results_[size_t(group)] = result;
}

template <class T>
void NarrowPlan<T>::drop(size_t l, const T* from, T* to, ptrdiff_t units, ptrdiff_t rows,
                         const Block& block) const {
  Dropout<T> d = this->net_.dropout_of_input(l, block.dropout);
  d.from = from;
  d.to = to;
  d.rows = rows;
  d.cols = units;
  d.ld = ld_;
  this->net_.kernels.unit_drop(d);
}

template <class T>
UnitMajorLayer<T> NarrowPlan<T>::whole(size_t l) const {
  const Layer& layer = this->net_.layout.layers[l];
  return {this->net_, layer, {0, layer.n_in}, {0, layer.out_padded}, ld_};
}

template <class T>
void NarrowPlan<T>::forward(const T* w, const Rows& in, ptrdiff_t rows, const Block& block) const {
  const Network<T>& net = this->net_;
  const T* input = in.x;
  for (size_t l = 0; l < net.depth(); ++l) {
    const Layer& layer = net.layout.layers[l];
    const auto& buffers = block.layers[l];
    whole(l).forward(w, input, buffers.z, padded(rows), true);
    T* const outputs = layer.keeps_undropped ? buffers.z : buffers.a;
    whole(l).activate(buffers.z, outputs, padded(rows));
    if (layer.drops) drop(l + 1, outputs, buffers.a, layer.n_out, padded(rows), block);
    input = buffers.a;
  }
}

template <class T>
void NarrowPlan<T>::backward(const T* w, const Rows& in, BlockRows part, T* gradient,
                             const Block& block) const {
  for (size_t l = this->net_.depth(); l-- > 0;) {
    derive(l, part, gradient, block);
    if (l > 0) whole(l).backward(w, block.layers[l].d, block.layers[l - 1].d, part.rows);
    layer_gradient(l, in, part, gradient, block);
  }
}

// From the gradient with respect to the outputs of layer l to its deltas, and the gradient with
// respect to its biases.
template <class T>
void NarrowPlan<T>::derive(size_t l, BlockRows part, T* gradient, const Block& block) const {
  const Layer& layer = this->net_.layout.layers[l];
  const auto& buffers = block.layers[l];
  if (layer.drops) drop(l + 1, buffers.d, buffers.d, layer.n_out, part.rows, block);
  whole(l).derive(layer.keeps_z ? buffers.z : buffers.a, buffers.d, part.rows,
                  this->net_.spec.bias ? gradient + layer.packed_b : nullptr, !part.first);
}

template <class T>
void NarrowPlan<T>::layer_gradient(size_t l, const Rows& in, BlockRows part, T* gradient,
                                   const Block& block) const {
  const auto& buffers = block.layers[l];
  const UnitMajorLayer<T> layer = whole(l);
  if (!sums_rows_[l]) layer.transpose(buffers.d, block.by_row, part.rows);
  layer.gradient(l ? block.layers[l - 1].a : in.x, buffers.d,
                 sums_rows_[l] ? nullptr : block.by_row, gradient, part.rows, part.first, part.last,
                 buffers.partial);
}

template <class T>
void NarrowPlan<T>::update_range(const Step<T>& step, Range range) const {
  for_each_span(this->net_, range, range.size(), [&](const Span& span) {
    step.update->from_gradient(span.at, this->gradients_ + span.at, span.n,
                               span.is_weight ? step.l2_of(span.layer) : 0.0);
  });
}

template class NarrowPlan<float>;
template class NarrowPlan<double>;

}  // namespace mlpfast
