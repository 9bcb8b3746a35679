// Layer by layer, each phase shared among the threads: steps of large nets.
#include "wide_plan.hpp"

#include <algorithm>

namespace mlpfast {
namespace {

// Larger batches go through in blocks, with a gradient of their own.
constexpr ptrdiff_t kBlockRows = 1024;
// Rows of a panel whose gradient is computed, then used, before the next: stays in the L1 cache.
// A multiple of every kernel's tile.
constexpr ptrdiff_t kPieceRows = 48;
// Memory for inputs that several threads read for themselves.
constexpr ptrdiff_t kMostCopiedBytes = 1048576;

}  // namespace

template <class T>
void WidePlan<T>::partition(const Network<T>& net, int threads, PlanChoice& choice) {
  choice.team = StepPlan<T>::team_for(net, choice.rows, threads);
  choice.block_rows = std::min(choice.rows, kBlockRows);
  choice.repeated = false;
}

template <class T>
WidePlan<T>::WidePlan(const Network<T>& net, const PlanChoice& choice)
    : StepPlan<T>(net, choice), block_rows_(choice.block_rows) {
  Arena& arena = this->arena_;
  const auto buffers = RowMajorPass<T>::reserve(net, arena, block_rows_, true, true);
  const ptrdiff_t input_bytes = RowMajorPass<T>::tiled_input_bytes(net, block_rows_);
  private_inputs_ = input_bytes * (choice.team - 1) <= kMostCopiedBytes && !net.drops_inputs();
  ptrdiff_t widest = 0;  // of the layers whose weights are transposed: not the first
  for (size_t l = 1; l < net.depth(); ++l)
    widest = std::max(widest, net.layout.layers[l].out_padded);
  std::vector<ptrdiff_t> transposed, pieces, inputs;
  for (int i = 0; i < choice.team; ++i) {
    transposed.push_back(arena.reserve_array<T>(widest * net.kernels.panel));
    pieces.push_back(arena.reserve_array<T>(kPieceRows * net.kernels.panel));
    inputs.push_back(i == 0 || !private_inputs_ ? buffers.front() : arena.reserve(input_bytes));
  }
  const bool keeps = !choice.fused || block_rows_ < choice.rows;
  const ptrdiff_t gradient = keeps ? arena.reserve_array<T>(net.layout.packed_size) : 0;
  arena.commit();
  for (size_t i = 0; i < inputs.size(); ++i) {
    RowMajorPass<T> pass(net, arena, buffers, block_rows_, true, true);
    pass.x = arena.at<T>(inputs[i]);
    members_.push_back({std::move(pass), arena.at<T>(transposed[i]), arena.at<T>(pieces[i])});
  }
  if (keeps) this->gradients_ = arena.at<T>(gradient);
}

template <class T>
void WidePlan<T>::step(const Team& team, const Step<T>& step) {
  const Batch<T>& batch = step.batch;
  const bool leads = team.index == 0;
  const bool onto_weights =
      step.update && batch.rows <= block_rows_ && step.update->adds_products(step.l2 != nullptr);
  const double scale = batch.scale(this->net_.spec.reduction) * (onto_weights ? -step.lr : 1.0);
  if (leads) {
    this->totals_ = {};
    this->bad_row_ = -1;
  }
  for (ptrdiff_t begin = 0; begin < batch.rows; begin += block_rows_) {
    const ptrdiff_t n = std::min(block_rows_, batch.rows - begin);
    if (begin > 0) team.sync();  // the last block's inputs are no longer needed
    DropoutStep& dropout = members_[size_t(team.index)].pass.dropout;
    dropout = step.dropout;
    dropout.first_row = begin;
    gather(team, step, {begin, begin + n}, T(scale));
    const Block block = {n, begin == 0, begin + n == batch.rows, onto_weights};
    forward(team, step, block);
    if (leads) {
      this->totals_.add(members_[0].pass.sum_totals({0, n}));
      for (int i = 0; i < team.count && this->bad_row_ < 0; ++i)
        this->bad_row_ = members_[size_t(i)].bad_row;
    }
    backward(team, step, block);
  }
}

// The targets of a row are read by the thread that computes its loss.
template <class T>
void WidePlan<T>::gather(const Team& team, const Step<T>& step, Range rows, T scale) {
  Member& me = members_[size_t(team.index)];
  const Range part = share(rows.size(), team.index, team.count);
  const Range mine = {rows.begin + part.begin, rows.begin + part.end};
  me.pass.gather_targets(step.batch, mine, rows.begin, scale);
  if (!private_inputs_) {
    me.bad_row = me.pass.gather_inputs(step.batch, mine, rows.begin);
    team.sync();
  } else if (step.announced && me.has_next) {
    me.bad_row = me.next_bad_row;
  } else {
    me.bad_row = me.pass.gather_inputs(step.batch, rows, rows.begin);
  }
  me.has_next = false;
}

// The next batch's inputs replace those of this one, which are no longer needed.
template <class T>
void WidePlan<T>::read_next(const Step<T>& step, Member& me) const {
  me.next_bad_row = me.pass.gather_inputs(step.next, {0, step.next.rows}, 0);
  me.has_next = true;
}

// A grid of the team over rows and panels, with the least work for the busiest; cutting panels
// rather than rows leaves each thread with its own part of the weights.
template <class T>
typename WidePlan<T>::Tile WidePlan<T>::tile(ptrdiff_t rows, ptrdiff_t panels, const Team& team) {
  int best = 1;
  ptrdiff_t least = -1;
  for (int parts = team.count; parts >= 1; --parts) {
    if (team.count % parts) continue;
    const ptrdiff_t row_parts = team.count / parts;
    const ptrdiff_t most = ((panels + parts - 1) / parts) * ((rows + row_parts - 1) / row_parts);
    if (least < 0 || most < least) {
      least = most;
      best = parts;
    }
  }
  return {share(rows, team.index / best, team.count / best),
          share(panels, team.index % best, best)};
}

template <class T>
void WidePlan<T>::forward(const Team& team, const Step<T>& step, const Block& block) {
  const Network<T>& net = this->net_;
  const RowMajorPass<T>& pass = members_[size_t(team.index)].pass;
  for (size_t l = 0; l < net.depth(); ++l) {
    const Layer& layer = net.layout.layers[l];
    const ptrdiff_t panels = ptrdiff_t(layer.panels.size());
    const bool last = l + 1 == net.depth();
    // The loss needs whole rows as well, and follows at once.
    Tile part = {share(block.rows, team.index, team.count), {0, panels}};
    if (!last && !net.whole_rows(l)) part = tile(block.rows, panels, team);
    pass.forward(l, packed_view(layer, static_cast<const T*>(step.state.w)), pass.input_of(l),
                 pass.layout_of_input(l), part.rows, part.panels);
    if (last) pass.loss(part.rows, step.want_metrics);
    team.sync();
  }
}

template <class T>
void WidePlan<T>::backward(const Team& team, const Step<T>& step, const Block& block) {
  const Network<T>& net = this->net_;
  const RowMajorPass<T>& pass = members_[size_t(team.index)].pass;
  T* transposed = members_[size_t(team.index)].transposed;
  for (size_t l = net.depth(); l-- > 0;) {
    const Layer& layer = net.layout.layers[l];
    if (l > 0) {
      const Tile part = tile(block.rows, ptrdiff_t(layer.strips.size()), team);
      // Few enough deltas at a time that they stay in the cache for all strips.
      const ptrdiff_t chunk = net.rows_in_cache(layer.n_out);
      for (ptrdiff_t begin = part.rows.begin; begin < part.rows.end; begin += chunk) {
        const Range rows = {begin, std::min(begin + chunk, part.rows.end)};
        for (ptrdiff_t s = part.panels.begin; s < part.panels.end; ++s) {
          const Panel& strip = layer.strips[size_t(s)];
          pass.transpose_strip(l, step.state.w, strip, transposed);
          pass.propagate(l, transposed, rows, strip);
        }
      }
      team.sync();  // all have read the weights of layer l, which are changed below
      if (net.whole_rows(l - 1)) {
        pass.derive_whole_rows(l - 1, share(block.rows, team.index, team.count));
        team.sync();
      }
    }
    weights(team, step, block, l);
  }
}

namespace {

// What an update of n parameters reads; for a large net it is not in the cache.
template <class T>
Prefetch prefetch_of(const State<T>& state, ptrdiff_t at, ptrdiff_t n) {
  const T* moments = state.m ? state.m : state.v;
  Prefetch prefetch{};
  prefetch.x = reinterpret_cast<const char*>(state.w + at);
  // The arrays follow each other at equal distances.
  prefetch.stride = moments ? (moments - state.w) * ptrdiff_t(sizeof(T)) : 0;
  prefetch.rows = 1 + (state.m != nullptr) + (state.v != nullptr);
  prefetch.bytes = n * ptrdiff_t(sizeof(T));
  return prefetch;
}

}  // namespace

template <class T>
void WidePlan<T>::weights(const Team& team, const Step<T>& step, const Block& block, size_t l) {
  const Network<T>& net = this->net_;
  const Layer& layer = net.layout.layers[l];
  const bool fused = step.update && block.first && block.last;
  Member& me = members_[size_t(team.index)];
  // In pieces of rows, so that a tile of inputs is never divided.
  const ptrdiff_t n_pieces = (layer.n_in + kPieceRows - 1) / kPieceRows;
  const Tile part = tile(n_pieces, ptrdiff_t(layer.panels.size()), team);
  // Few enough inputs at a time that they stay in the cache for all panels.
  const ptrdiff_t chunk = std::max<ptrdiff_t>(net.rows_in_cache(block.rows) / kPieceRows, 1);
  const bool reads_next = l == 0 && this->reads_next(step);
  Prefetch prefetch{};
  if (reads_next) {
    const Gather<T> rows = step.next.gather({0, step.next.rows}, layer.n_in);
    prefetch = {rows.x, rows.stride, rows.order, rows.rows, step.next.bytes(layer.n_in)};
  }
  const auto inputs_of = [&](ptrdiff_t begin, ptrdiff_t end) {
    return Range{begin * kPieceRows, std::min(end * kPieceRows, layer.n_in)};
  };
  for (ptrdiff_t begin = part.rows.begin; begin < part.rows.end; begin += chunk) {
    const ptrdiff_t end = std::min(begin + chunk, part.rows.end);
    for (ptrdiff_t p = part.panels.begin; p < part.panels.end; ++p) {
      const Panel& panel = layer.panels[size_t(p)];
      for (ptrdiff_t i = begin; i < end; ++i) {
        const Range inputs = inputs_of(i, i + 1);
        const ptrdiff_t n = inputs.size() * panel.width;
        const ptrdiff_t at =
            layer.packed_w + panel.col * layer.in_padded + inputs.begin * panel.width;
        T* gradient = block.onto_weights ? step.update->add_to(at)
                      : fused            ? me.piece
                                         : this->gradients_ + at;
        if (!reads_next && step.update && block.last) prefetch = prefetch_of(step.state, at, n);
        me.pass.weight_gradient(l, block.rows, inputs, panel, gradient,
                                block.onto_weights || !block.first,
                                prefetch.rows > 0 ? &prefetch : nullptr);
        if (!block.onto_weights && step.update && block.last)
          step.update->from_gradient(at, gradient, n, step.l2_of(l));
      }
      // The thread that has the first rows of a panel does its biases.
      if (begin == 0 && end > 0 && net.spec.bias) biases(team, step, block, l, panel);
    }
  }
  if (reads_next) read_next(step, me);
}

template <class T>
void WidePlan<T>::biases(const Team& team, const Step<T>& step, const Block& block, size_t l,
                         const Panel& panel) {
  const Network<T>& net = this->net_;
  Member& me = members_[size_t(team.index)];
  const ptrdiff_t at = net.layout.layers[l].packed_b + panel.col;
  if (block.onto_weights) {
    me.pass.bias_gradient(l, block.rows, panel, step.update->add_to(at), true);
    return;
  }
  const bool fused = step.update && block.first && block.last;
  T* gradient = fused ? me.piece : this->gradients_ + at;
  me.pass.bias_gradient(l, block.rows, panel, gradient, !block.first);
  if (step.update && block.last) step.update->from_gradient(at, gradient, panel.width, 0);
}

template class WidePlan<float>;
template class WidePlan<double>;

}  // namespace mlpfast
