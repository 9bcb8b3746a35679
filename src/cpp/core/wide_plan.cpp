// Layer by layer, each phase shared among the threads: steps of large nets.
#include "wide_plan.hpp"

#include <algorithm>

namespace mlpfast {
namespace {

// Larger batches go through in blocks, with a gradient of their own.
constexpr ptrdiff_t kBlockRows = 1024;
// Rows of a panel whose gradient is computed, then used, before the next: stays in the L1 cache.
constexpr ptrdiff_t kPieceRows = 48;

}  // namespace

template <class T>
WidePlan<T>::WidePlan(const Network<T>& net, ptrdiff_t rows, int threads, bool fused)
    : Plan<T>(net, rows, threads), block_rows_(std::min(rows, kBlockRows)) {
  Arena& arena = this->arena_;
  const auto workspace = net.reserve(arena, block_rows_, true);
  ptrdiff_t widest = 0;
  for (const Layer& layer : net.layout.layers) widest = std::max(widest, layer.out_padded);
  std::vector<ptrdiff_t> transposed, pieces;
  for (int i = 0; i < this->team_size_; ++i) {
    transposed.push_back(arena.reserve_array<T>(widest * net.kernels.panel));
    pieces.push_back(arena.reserve_array<T>(kPieceRows * net.kernels.panel));
  }
  const bool keeps = !fused || block_rows_ < rows;
  const ptrdiff_t gradient = keeps ? arena.reserve_array<T>(net.layout.packed_size) : 0;
  arena.commit();
  ws_ = net.bind(arena, workspace, true);
  for (ptrdiff_t offset : transposed) transposed_.push_back(arena.at<T>(offset));
  for (ptrdiff_t offset : pieces) pieces_.push_back(arena.at<T>(offset));
  if (keeps) this->gradients_ = arena.at<T>(gradient);
  bad_rows_.resize(size_t(this->team_size_), -1);
}

template <class T>
void WidePlan<T>::step(const Team& team, const Step<T>& step) {
  const Batch<T>& batch = step.batch;
  const bool leads = team.index == 0;
  const bool onto_weights =
      step.optimizer && batch.rows <= block_rows_ && step.optimizer->is_scaled_sum(step.l2);
  const double scale = batch.scale(this->net_.spec.mean) * (onto_weights ? -step.lr : 1.0);
  if (leads) {
    this->totals_ = {};
    this->bad_row_ = -1;
  }
  for (ptrdiff_t begin = 0; begin < batch.rows; begin += block_rows_) {
    const ptrdiff_t n = std::min(block_rows_, batch.rows - begin);
    const Range mine = share(n, team.index, team.count);
    if (begin > 0) team.sync();  // the last block's inputs are no longer wanted
    bad_rows_[size_t(team.index)] =
        this->net_.gather(batch, {begin + mine.begin, begin + mine.end}, begin, T(scale), ws_);
    team.sync();
    const Pass pass = {n, begin == 0, begin + n == batch.rows, onto_weights};
    forward(team, step, pass);
    if (leads) {
      this->totals_.add(this->net_.sum_totals({0, n}, ws_));
      this->take_first_bad(bad_rows_.data(), size_t(team.count));
    }
    backward(team, step, pass);
  }
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
void WidePlan<T>::forward(const Team& team, const Step<T>& step, const Pass& pass) {
  const Network<T>& net = this->net_;
  for (size_t l = 0; l < net.depth(); ++l) {
    const Layer& layer = net.layout.layers[l];
    const ptrdiff_t panels = ptrdiff_t(layer.panels.size());
    const bool last = l + 1 == net.depth();
    // The loss wants whole rows as well, and follows at once.
    Tile part = {share(pass.rows, team.index, team.count), {0, panels}};
    if (!last && !net.whole_rows(l)) part = tile(pass.rows, panels, team);
    net.forward(l, packed_view(layer, static_cast<const T*>(step.state.w)), net.input_of(l, ws_),
                net.ld_input_of(l), part.rows, part.panels, ws_);
    if (last) net.loss(part.rows, step.want_metrics, ws_);
    team.sync();
  }
}

template <class T>
void WidePlan<T>::backward(const Team& team, const Step<T>& step, const Pass& pass) {
  const Network<T>& net = this->net_;
  T* transposed = transposed_[size_t(team.index)];
  for (size_t l = net.depth(); l-- > 0;) {
    const Layer& layer = net.layout.layers[l];
    if (l > 0) {
      const Tile part = tile(pass.rows, ptrdiff_t(layer.strips.size()), team);
      for (ptrdiff_t s = part.panels.begin; s < part.panels.end; ++s) {
        const Panel& strip = layer.strips[size_t(s)];
        net.transpose_strip(l, step.state.w, strip, transposed);
        net.propagate(l, transposed, part.rows, strip, ws_);
      }
      team.sync();  // all have read the weights of layer l, which are changed below
      if (net.whole_rows(l - 1)) {
        net.derive_whole_rows(l - 1, share(pass.rows, team.index, team.count), ws_);
        team.sync();
      }
    }
    weights(team, step, pass, l);
  }
}

template <class T>
void WidePlan<T>::weights(const Team& team, const Step<T>& step, const Pass& pass, size_t l) {
  const Network<T>& net = this->net_;
  const Layer& layer = net.layout.layers[l];
  const bool fused = step.optimizer && pass.first && pass.last;
  T* piece = pieces_[size_t(team.index)];
  const Tile part = tile(layer.n_in, ptrdiff_t(layer.panels.size()), team);
  const ptrdiff_t pieces = (part.rows.size() + kPieceRows - 1) / kPieceRows;
  for (ptrdiff_t p = part.panels.begin; p < part.panels.end; ++p) {
    const Panel& panel = layer.panels[size_t(p)];
    for (ptrdiff_t i = 0; i < pieces; ++i) {
      const ptrdiff_t k = part.rows.begin + i * kPieceRows;
      const Range inputs = {k, std::min(k + kPieceRows, part.rows.end)};
      const ptrdiff_t at = layer.packed_w + panel.col * layer.in_padded + k * panel.width;
      if (pass.onto_weights) {
        net.weight_gradient(l, pass.rows, inputs, panel, step.state.w + at, true, ws_);
      } else if (fused) {
        net.weight_gradient(l, pass.rows, inputs, panel, piece, false, ws_);
        this->update(net, step, at, piece, inputs.size() * panel.width, true);
      } else {
        T* gradient = this->gradients_ + at;
        net.weight_gradient(l, pass.rows, inputs, panel, gradient, !pass.first, ws_);
        if (step.optimizer && pass.last)
          this->update(net, step, at, gradient, inputs.size() * panel.width, true);
      }
    }
    // Who has the first rows of a panel does its biases.
    if (part.rows.begin == 0 && part.rows.size() > 0 && net.spec.bias)
      biases(team, step, pass, l, panel);
  }
}

template <class T>
void WidePlan<T>::biases(const Team& team, const Step<T>& step, const Pass& pass, size_t l,
                         const Panel& panel) {
  const Network<T>& net = this->net_;
  const ptrdiff_t at = net.layout.layers[l].packed_b + panel.col;
  if (pass.onto_weights) {
    net.bias_gradient(l, pass.rows, panel, step.state.w + at, true, ws_);
    return;
  }
  const bool fused = step.optimizer && pass.first && pass.last;
  T* gradient = fused ? pieces_[size_t(team.index)] : this->gradients_ + at;
  net.bias_gradient(l, pass.rows, panel, gradient, !pass.first, ws_);
  if (step.optimizer && pass.last) this->update(net, step, at, gradient, panel.width, false);
}

template class WidePlan<float>;
template class WidePlan<double>;

}  // namespace mlpfast
