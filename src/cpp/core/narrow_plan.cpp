// Rows in groups, groups in blocks: gradients of small nets.
#include "narrow_plan.hpp"

#include <algorithm>

namespace mlpfast {
namespace {

constexpr ptrdiff_t kGroupRows = 64;
constexpr ptrdiff_t kMaxGroups = 16;
// Buffers of a block of rows: a small part of the L2 cache.
constexpr ptrdiff_t kBlockBytes = 131072;

ptrdiff_t groups_of(ptrdiff_t rows) {
  return std::clamp<ptrdiff_t>(rows / kGroupRows, 1, kMaxGroups);
}

}  // namespace

template <class T>
NarrowPlan<T>::NarrowPlan(const Network<T>& net, ptrdiff_t rows, int threads)
    : Plan<T>(net, rows, threads) {
  const Layout& layout = net.layout;
  Arena& arena = this->arena_;
  const ptrdiff_t groups = groups_of(rows);
  this->team_size_ = std::min(this->team_size_, int(groups));
  block_rows_ = std::min((rows + groups - 1) / groups,
                         std::clamp<ptrdiff_t>(kBlockBytes / net.row_bytes(true), 16, 128));
  std::vector<std::vector<ptrdiff_t>> workspaces;
  for (int i = 0; i < this->team_size_; ++i)
    workspaces.push_back(net.reserve(arena, block_rows_, true));
  const ptrdiff_t gradients = arena.reserve_array<T>(groups * layout.packed_size);
  std::vector<ptrdiff_t> transposed;
  for (const Layer& layer : layout.layers)
    transposed.push_back(arena.reserve_array<T>(layer.in_padded * layer.n_out));
  arena.commit();
  for (const auto& offsets : workspaces)
    workspaces_.push_back(net.bind(arena, offsets, block_rows_, true));
  for (ptrdiff_t offset : transposed) transposed_.push_back(arena.at<T>(offset));
  this->gradients_ = arena.at<T>(gradients);
  group_totals_.resize(size_t(groups));
  bad_rows_.resize(size_t(groups), -1);
}

template <class T>
void NarrowPlan<T>::step(const Team& team, const Step<T>& step) {
  const ptrdiff_t groups = groups_of(step.batch.rows);
  const T scale = T(step.batch.scale(this->net_.spec.mean));
  refresh_transposed(team, step.state.w);
  team.sync();
  const Range mine = share(groups, team.index, team.count);
  for (ptrdiff_t g = mine.begin; g < mine.end; ++g)
    run_group(step, g, groups, scale, workspaces_[size_t(team.index)]);
  team.sync();
  if (team.index == 0) {
    this->totals_ = {};
    for (ptrdiff_t g = 0; g < groups; ++g) this->totals_.add(group_totals_[size_t(g)]);
    this->bad_row_ = -1;
    this->take_first_bad(bad_rows_.data(), size_t(groups));
  }
  const Kernels<T>& kernels = this->net_.kernels;
  const ptrdiff_t size = this->net_.layout.packed_size;
  Range range = share(size / kernels.lanes, team.index, team.count);
  range = {range.begin * kernels.lanes, range.end * kernels.lanes};
  if (groups > 1) kernels.combine(this->gradients_ + range.begin, range.size(), size, groups);
  if (step.optimizer) update_range(step, range);
}

template <class T>
void NarrowPlan<T>::refresh_transposed(const Team& team, const T* w) {
  for (size_t l = 1; l < this->net_.depth(); ++l) {
    const Layer& layer = this->net_.layout.layers[l];
    const Range mine = share(ptrdiff_t(layer.strips.size()), team.index, team.count);
    for (ptrdiff_t s = mine.begin; s < mine.end; ++s) {
      const Panel& strip = layer.strips[size_t(s)];
      this->net_.transpose_strip(l, w, strip, transposed_[l] + strip.col * layer.n_out);
    }
  }
}

template <class T>
void NarrowPlan<T>::run_group(const Step<T>& step, ptrdiff_t group, ptrdiff_t groups, T scale,
                              const Workspace<T>& ws) {
  const Network<T>& net = this->net_;
  T* gradient = this->gradients_ + group * net.layout.packed_size;
  const Range rows = share(step.batch.rows, group, groups);
  Totals totals;
  ptrdiff_t bad = -1;
  for (ptrdiff_t begin = rows.begin; begin < rows.end; begin += block_rows_) {
    const Range block = {begin, std::min(begin + block_rows_, rows.end)};
    const ptrdiff_t not_finite = net.gather(step.batch, block, begin, scale, ws);
    if (bad < 0) bad = not_finite;
    run_block(step, {0, block.size()}, begin > rows.begin, gradient, ws);
    totals.add(net.sum_totals({0, block.size()}, ws));
  }
  group_totals_[size_t(group)] = totals;
  bad_rows_[size_t(group)] = bad;
}

template <class T>
void NarrowPlan<T>::run_block(const Step<T>& step, Range rows, bool onto, T* gradient,
                              const Workspace<T>& ws) {
  const Network<T>& net = this->net_;
  const auto weights = [&](const Layer& layer) { return packed_view<T>(layer, step.state.w); };
  net.forward_all(weights, ws.x, net.layout.ld_input, rows.size(), ws);
  net.loss(rows, step.want_metrics, ws);
  for (size_t l = net.depth(); l-- > 0;) {
    const Layer& layer = net.layout.layers[l];
    if (l > 0) {
      for (const Panel& strip : layer.strips)
        net.propagate(l, transposed_[l] + strip.col * layer.n_out, rows, strip, ws);
      if (net.whole_rows(l - 1)) net.derive_whole_rows(l - 1, rows, ws);
    }
    for (const Panel& panel : layer.panels) {
      net.weight_gradient(l, rows.end, {0, layer.n_in}, panel,
                          gradient + layer.packed_w + panel.col * layer.in_padded, onto, ws);
      if (net.spec.bias)
        net.bias_gradient(l, rows.end, panel, gradient + layer.packed_b + panel.col, onto, ws);
    }
  }
}

template <class T>
void NarrowPlan<T>::update_range(const Step<T>& step, Range range) const {
  for (const Layer& layer : this->net_.layout.layers) {
    const Range spans[2] = {{layer.packed_w, layer.packed_b},
                            {layer.packed_b, layer.packed_b + layer.out_padded}};
    for (int is_bias = 0; is_bias < 2; ++is_bias) {
      const ptrdiff_t begin = std::max(range.begin, spans[is_bias].begin);
      const ptrdiff_t end = std::min(range.end, spans[is_bias].end);
      if (begin >= end || (is_bias && !this->net_.spec.bias)) continue;
      this->update(this->net_, step, begin, this->gradients_ + begin, end - begin, !is_bias);
    }
  }
}

template class NarrowPlan<float>;
template class NarrowPlan<double>;

}  // namespace mlpfast
