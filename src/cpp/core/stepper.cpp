// The two plans for the gradient of a batch.
#include "stepper.hpp"

#include <algorithm>

namespace mlpfast {
namespace {

// Nets of up to this many parameters take the narrow plan: a gradient for each group of rows then
// costs little beside the work on the group.
constexpr ptrdiff_t kNarrowParams = 32768;
constexpr ptrdiff_t kGroupRows = 64;
constexpr ptrdiff_t kMaxGroups = 16;
// Buffers of a block of rows in the narrow plan: a small part of the L2 cache.
constexpr ptrdiff_t kNarrowBlockBytes = 131072;
// Larger batches of a wide net go through in blocks, with a gradient of their own.
constexpr ptrdiff_t kWideBlockRows = 1024;
// Rows of a panel whose gradient is computed, then used, before the next: stays in the L1 cache.
constexpr ptrdiff_t kTileRows = 48;
// Below about ten microseconds of work, waking threads and waiting for them costs more.
constexpr double kFlopsWorthAThread = 1e6;

}  // namespace

template <class T>
double Batch<T>::weight_sum() const {
  if (!data->weight) return double(rows);
  double sum = 0;
  for (ptrdiff_t i = first; i < first + rows; ++i)
    sum += double(data->weight[order ? ptrdiff_t(order[i]) : i]);
  return sum;
}

template <class T>
Stepper<T>::Stepper(const Network<T>& net, ptrdiff_t rows, int threads, bool fused)
    : net_(net), rows_(rows), threads_(threads), narrow_(net.layout.n_params <= kNarrowParams) {
  const Layout& layout = net.layout;
  const double worth = net.flops_training() * double(rows) / kFlopsWorthAThread;
  team_size_ = int(std::max(1.0, std::min(double(threads), worth)));
  std::vector<std::vector<ptrdiff_t>> workspaces;
  std::vector<ptrdiff_t> scratch, tiles, transposed;
  ptrdiff_t gradients = -1;
  if (narrow_) {
    const ptrdiff_t groups = groups_of(rows);
    team_size_ = std::min(team_size_, int(groups));
    const ptrdiff_t in_cache = kNarrowBlockBytes / net.row_bytes(true);
    block_rows_ = std::min((rows + groups - 1) / groups, std::clamp<ptrdiff_t>(in_cache, 16, 128));
    for (int i = 0; i < team_size_; ++i)
      workspaces.push_back(net.reserve(arena_, block_rows_, true));
    gradients = arena_.reserve_array<T>(groups * layout.packed_size);
    for (const Layer& layer : layout.layers)
      transposed.push_back(arena_.reserve_array<T>(layer.in_padded * layer.n_out));
    group_totals_.resize(size_t(groups));
    bad_rows_.resize(size_t(groups), -1);
  } else {
    block_rows_ = std::min(rows, kWideBlockRows);
    workspaces.push_back(net.reserve(arena_, block_rows_, true));
    ptrdiff_t widest = 0;
    for (const Layer& layer : layout.layers) widest = std::max(widest, layer.out_padded);
    for (int i = 0; i < team_size_; ++i) {
      scratch.push_back(arena_.reserve_array<T>(widest * net.kernels.panel));
      tiles.push_back(arena_.reserve_array<T>(kTileRows * net.kernels.panel));
    }
    if (!fused || block_rows_ < rows) gradients = arena_.reserve_array<T>(layout.packed_size);
    bad_rows_.resize(size_t(team_size_), -1);
  }
  arena_.commit();
  for (const auto& offsets : workspaces) workspaces_.push_back(net.bind(arena_, offsets, true));
  for (ptrdiff_t offset : scratch) scratch_.push_back(arena_.at<T>(offset));
  for (ptrdiff_t offset : tiles) tiles_.push_back(arena_.at<T>(offset));
  for (ptrdiff_t offset : transposed) transposed_.push_back(arena_.at<T>(offset));
  if (gradients >= 0) gradients_ = arena_.at<T>(gradients);
}

template <class T>
ptrdiff_t Stepper<T>::groups_of(ptrdiff_t rows) const {
  return std::clamp<ptrdiff_t>(rows / kGroupRows, 1, kMaxGroups);
}

template <class T>
void Stepper<T>::step(const Team& team, const Batch<T>& batch, const State<T>& state,
                      const Optimizer<T>* optimizer, double lr, double l2, bool want_metrics) {
  const double weight = net_.spec.mean ? batch.weight_sum() : 1.0;
  const double scale = weight > 0 ? 1.0 / weight : 0.0;
  if (narrow_) {
    narrow_step(team, batch, state, T(scale), optimizer, want_metrics);
    return;
  }
  const bool onto_weights = optimizer && batch.rows <= block_rows_ && optimizer->is_scaled_sum(l2);
  wide_step(team, batch, state, T(onto_weights ? -lr * scale : scale), optimizer, onto_weights,
            want_metrics);
}

// ------------------------------------------------------------------------------------- narrow

template <class T>
void Stepper<T>::narrow_step(const Team& team, const Batch<T>& batch, const State<T>& state,
                             T scale, const Optimizer<T>* optimizer, bool want_metrics) {
  const Layout& layout = net_.layout;
  const ptrdiff_t groups = groups_of(batch.rows);
  for (size_t l = 1; l < net_.depth(); ++l) {
    const Layer& layer = layout.layers[l];
    const Range strips = share(ptrdiff_t(layer.strips.size()), team.index, team.count);
    for (ptrdiff_t s = strips.begin; s < strips.end; ++s) {
      const Panel& strip = layer.strips[size_t(s)];
      net_.transpose_strip(l, state.w, strip, transposed_[l] + strip.col * layer.n_out);
    }
  }
  team.sync();
  const Range mine = share(groups, team.index, team.count);
  for (ptrdiff_t g = mine.begin; g < mine.end; ++g)
    narrow_group(batch, g, groups, scale, want_metrics, state, workspaces_[size_t(team.index)]);
  team.sync();
  if (team.index == 0) {
    totals_ = {};
    bad_row_ = -1;
    for (ptrdiff_t g = groups - 1; g >= 0; --g)
      if (bad_rows_[size_t(g)] >= 0) bad_row_ = bad_rows_[size_t(g)];
    for (ptrdiff_t g = 0; g < groups; ++g) totals_.add(group_totals_[size_t(g)]);
  }
  const ptrdiff_t lines = layout.packed_size / net_.kernels.lanes;
  Range range = share(lines, team.index, team.count);
  range = {range.begin * net_.kernels.lanes, range.end * net_.kernels.lanes};
  if (groups > 1)
    net_.kernels.combine(gradients_ + range.begin, range.size(), layout.packed_size, groups);
  if (optimizer) update_range(range, state, *optimizer);
}

template <class T>
void Stepper<T>::narrow_group(const Batch<T>& batch, ptrdiff_t group, ptrdiff_t groups, T scale,
                              bool want_metrics, const State<T>& state, const Workspace<T>& ws) {
  const Layout& layout = net_.layout;
  T* gradient = gradients_ + group * layout.packed_size;
  const Range rows = share(batch.rows, group, groups);
  Totals totals;
  ptrdiff_t bad = -1;
  for (ptrdiff_t begin = rows.begin; begin < rows.end; begin += block_rows_) {
    const ptrdiff_t n = std::min(block_rows_, rows.end - begin);
    const bool onto = begin > rows.begin;
    const ptrdiff_t not_finite =
        net_.gather(*batch.data, batch.order, batch.first + begin, {0, n}, scale, ws, ws.x);
    if (bad < 0) bad = not_finite;
    for (size_t l = 0; l < net_.depth(); ++l)
      net_.forward(l, packed_view(layout.layers[l], state.w), net_.input_of(l, ws.x, ws),
                   net_.ld_input_of(l), {0, n}, {0, ptrdiff_t(layout.layers[l].panels.size())}, ws);
    net_.loss({0, n}, want_metrics, ws);
    totals.add(net_.sum_totals({0, n}, ws));
    for (size_t l = net_.depth(); l-- > 0;) {
      const Layer& layer = layout.layers[l];
      if (l > 0) {
        for (const Panel& strip : layer.strips)
          net_.propagate(l, transposed_[l] + strip.col * layer.n_out, {0, n}, strip, ws);
        if (net_.whole_rows(l - 1)) net_.derive_whole_rows(l - 1, {0, n}, ws);
      }
      for (const Panel& panel : layer.panels) {
        net_.weight_gradient(l, n, {0, layer.n_in}, panel, ws.x,
                             gradient + layer.packed_w + panel.col * layer.in_padded, onto, ws);
        if (net_.spec.bias)
          net_.bias_gradient(l, n, panel, gradient + layer.packed_b + panel.col, onto, ws);
      }
    }
  }
  group_totals_[size_t(group)] = totals;
  bad_rows_[size_t(group)] = bad;
}

template <class T>
void Stepper<T>::update_range(Range range, const State<T>& state,
                              const Optimizer<T>& optimizer) const {
  for (const Layer& layer : net_.layout.layers) {
    const Range spans[2] = {{layer.packed_w, layer.packed_b},
                            {layer.packed_b, layer.packed_b + layer.out_padded}};
    for (int is_bias = 0; is_bias < 2; ++is_bias) {
      const ptrdiff_t begin = std::max(range.begin, spans[is_bias].begin);
      const ptrdiff_t end = std::min(range.end, spans[is_bias].end);
      if (begin >= end || (is_bias && !net_.spec.bias)) continue;
      optimizer.update(net_.kernels, state.w + begin, state.m ? state.m + begin : nullptr,
                       state.v ? state.v + begin : nullptr, gradients_ + begin, end - begin,
                       !is_bias);
    }
  }
}

// --------------------------------------------------------------------------------------- wide

// A grid of the team over rows and panels, with the least work for the busiest; cutting panels
// rather than rows leaves each thread with its own part of the weights.
template <class T>
typename Stepper<T>::Tile Stepper<T>::tile(ptrdiff_t rows, ptrdiff_t panels, const Team& team) {
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
void Stepper<T>::wide_step(const Team& team, const Batch<T>& batch, const State<T>& state, T scale,
                           const Optimizer<T>* optimizer, bool onto_weights, bool want_metrics) {
  const Workspace<T>& ws = workspaces_.front();
  if (team.index == 0) {
    totals_ = {};
    bad_row_ = -1;
  }
  for (ptrdiff_t begin = 0; begin < batch.rows; begin += block_rows_) {
    const ptrdiff_t n = std::min(block_rows_, batch.rows - begin);
    const Range mine = share(n, team.index, team.count);
    if (begin > 0) team.sync();  // the last block's inputs are no longer wanted
    bad_rows_[size_t(team.index)] =
        net_.gather(*batch.data, batch.order, batch.first + begin, mine, scale, ws, ws.x);
    team.sync();
    wide_forward(team, n, state, want_metrics);
    if (team.index == 0) {
      totals_.add(net_.sum_totals({0, n}, ws));
      for (int i = team.count - 1; i >= 0; --i)
        if (bad_rows_[size_t(i)] >= 0) bad_row_ = bad_rows_[size_t(i)];
    }
    wide_backward(team, n, begin == 0, begin + n == batch.rows, state, optimizer, onto_weights);
  }
}

template <class T>
void Stepper<T>::wide_forward(const Team& team, ptrdiff_t rows, const State<T>& state,
                              bool want_metrics) {
  const Workspace<T>& ws = workspaces_.front();
  for (size_t l = 0; l < net_.depth(); ++l) {
    const Layer& layer = net_.layout.layers[l];
    const ptrdiff_t panels = ptrdiff_t(layer.panels.size());
    const bool last = l + 1 == net_.depth();
    // The loss wants whole rows as well, and follows at once.
    Tile part = {share(rows, team.index, team.count), {0, panels}};
    if (!last && !net_.whole_rows(l)) part = tile(rows, panels, team);
    net_.forward(l, packed_view(layer, state.w), net_.input_of(l, ws.x, ws), net_.ld_input_of(l),
                 part.rows, part.panels, ws);
    if (last) net_.loss(part.rows, want_metrics, ws);
    team.sync();
  }
}

template <class T>
void Stepper<T>::wide_backward(const Team& team, ptrdiff_t rows, bool first_block, bool last_block,
                               const State<T>& state, const Optimizer<T>* optimizer,
                               bool onto_weights) {
  const Workspace<T>& ws = workspaces_.front();
  T* transposed = scratch_[size_t(team.index)];
  for (size_t l = net_.depth(); l-- > 0;) {
    const Layer& layer = net_.layout.layers[l];
    if (l > 0) {
      const Tile part = tile(rows, ptrdiff_t(layer.strips.size()), team);
      for (ptrdiff_t s = part.panels.begin; s < part.panels.end; ++s) {
        const Panel& strip = layer.strips[size_t(s)];
        net_.transpose_strip(l, state.w, strip, transposed);
        net_.propagate(l, transposed, part.rows, strip, ws);
      }
      team.sync();  // all have read the weights of layer l, which are changed below
      if (net_.whole_rows(l - 1)) {
        net_.derive_whole_rows(l - 1, share(rows, team.index, team.count), ws);
        team.sync();
      }
    }
    wide_weights(team, l, rows, first_block, last_block, state, optimizer, onto_weights);
  }
}

template <class T>
void Stepper<T>::wide_weights(const Team& team, size_t l, ptrdiff_t rows, bool first_block,
                              bool last_block, const State<T>& state, const Optimizer<T>* optimizer,
                              bool onto_weights) {
  const Workspace<T>& ws = workspaces_.front();
  const Layer& layer = net_.layout.layers[l];
  const bool fused = optimizer && first_block && last_block;
  T* piece = tiles_[size_t(team.index)];
  const auto update = [&](ptrdiff_t at, const T* g, ptrdiff_t n, bool is_weight) {
    optimizer->update(net_.kernels, state.w + at, state.m ? state.m + at : nullptr,
                      state.v ? state.v + at : nullptr, g, n, is_weight);
  };
  const Tile part = tile(layer.n_in, ptrdiff_t(layer.panels.size()), team);
  for (ptrdiff_t p = part.panels.begin; p < part.panels.end; ++p) {
    const Panel& panel = layer.panels[size_t(p)];
    const ptrdiff_t base = layer.packed_w + panel.col * layer.in_padded;
    for (ptrdiff_t k = part.rows.begin; k < part.rows.end; k += kTileRows) {
      const Range inputs = {k, std::min(k + kTileRows, part.rows.end)};
      const ptrdiff_t at = base + k * panel.width;
      if (onto_weights) {
        net_.weight_gradient(l, rows, inputs, panel, ws.x, state.w + at, true, ws);
      } else if (fused) {
        net_.weight_gradient(l, rows, inputs, panel, ws.x, piece, false, ws);
        update(at, piece, inputs.size() * panel.width, true);
      } else {
        net_.weight_gradient(l, rows, inputs, panel, ws.x, gradients_ + at, !first_block, ws);
        if (optimizer && last_block) update(at, gradients_ + at, inputs.size() * panel.width, true);
      }
    }
    if (part.rows.begin > 0 || !net_.spec.bias)
      continue;  // the first over the rows does the biases
    const ptrdiff_t at = layer.packed_b + panel.col;
    if (onto_weights) {
      net_.bias_gradient(l, rows, panel, state.w + at, true, ws);
    } else if (fused) {
      net_.bias_gradient(l, rows, panel, piece, false, ws);
      update(at, piece, panel.width, false);
    } else {
      net_.bias_gradient(l, rows, panel, gradients_ + at, !first_block, ws);
      if (optimizer && last_block) update(at, gradients_ + at, panel.width, false);
    }
  }
}

template struct Batch<float>;
template struct Batch<double>;
template class Stepper<float>;
template class Stepper<double>;

}  // namespace mlpfast
