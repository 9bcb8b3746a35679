// Forward passes over rows in blocks that stay in the cache, the blocks shared among threads.
#include "runner.hpp"

#include <algorithm>

#include "tiny_plan.hpp"

namespace mlpfast {
namespace {

// Fewer rows than this do not repay packing the weights: they are read from the flat buffer.
constexpr ptrdiff_t kRowsWorthPacking = 48;
constexpr ptrdiff_t kBlockBytes = 524288;
// Not more, so that there are blocks for several threads; a fixed number, so that sums over blocks
// do not depend on the threads.
constexpr ptrdiff_t kMostBlockRows = 64;
// Less work than this does not repay waking a thread.
constexpr double kFlopsWorthAThread = 1e7;

// One pass of many rows: the weights, packed or not, and a workspace for each thread.
template <class T>
class ForwardPass {
 public:
  ForwardPass(const Network<T>& net, const T* flat, ptrdiff_t n, int threads)
      : net_(net), flat_(flat) {
    block_ =
        std::min(n, std::clamp<ptrdiff_t>(kBlockBytes / net.row_bytes(false), 16, kMostBlockRows));
    blocks_ = (n + block_ - 1) / block_;
    n_ = n;
    const double worth = net.flops_forward() * double(n) / kFlopsWorthAThread;
    team_size_ = int(std::max(1.0, std::min({double(threads), worth, double(blocks_)})));
    const bool packs = n >= kRowsWorthPacking;
    const ptrdiff_t packed = packs ? arena_.reserve_array<T>(net.layout.packed_size) : 0;
    std::vector<std::vector<ptrdiff_t>> offsets;
    for (int i = 0; i < team_size_; ++i) offsets.push_back(net.reserve(arena_, block_, false));
    arena_.commit();
    if (packs) {
      packed_ = arena_.template at<T>(packed);
      pack(net.layout, flat, packed_);
    }
    for (const auto& o : offsets) workspaces_.push_back(net.bind(arena_, o, block_, false));
  }

  ptrdiff_t blocks() const { return blocks_; }

  // Calls f(block, rows, workspace, with the outputs in it) for every block.
  template <class Read, class F>
  void run(Read read, F f) {
    run_in_team(team_size_, [&](const Team& team) {
      const Workspace<T>& ws = workspaces_[size_t(team.index)];
      const Range mine = share(blocks_, team.index, team.count);
      for (ptrdiff_t b = mine.begin; b < mine.end; ++b) {
        const Range rows = {b * block_, std::min((b + 1) * block_, n_)};
        ptrdiff_t ld = net_.layout.ld_input;
        const T* x = read(rows, ws, ld);
        const auto weights = [&](const Layer& layer) {
          return packed_ ? packed_view<T>(layer, packed_) : flat_view(layer, flat_);
        };
        net_.forward_all(weights, x, ld, rows.size(), ws);
        f(b, rows, ws);
      }
    });
  }

 private:
  const Network<T>& net_;
  const T* flat_;
  T* packed_ = nullptr;
  ptrdiff_t n_, block_, blocks_;
  int team_size_;
  Arena arena_;
  std::vector<Workspace<T>> workspaces_;
};

}  // namespace

template <class T>
void predict(const Network<T>& net, const T* flat, const Data<T>& data, T* out, int threads) {
  const ptrdiff_t n_in = net.spec.sizes.front(), n_out = net.spec.sizes.back();
  // Rows of the net's own dtype are read where they are.
  const bool in_place = data.x_type == own_type<T>() && data.scale == T(1) &&
                        data.x_stride % ptrdiff_t(sizeof(T)) == 0;
  const auto read = [&](Range rows, const Workspace<T>& ws, ptrdiff_t& ld) {
    if (in_place) {
      ld = data.x_stride / ptrdiff_t(sizeof(T));
      return reinterpret_cast<const T*>(data.row(rows.begin));
    }
    net.gather_inputs({&data, nullptr, 0, data.n}, rows, rows.begin, {0, n_in}, ws);
    return static_cast<const T*>(ws.x);
  };
  ForwardPass<T> pass(net, flat, data.n, threads);
  pass.run(read, [&](ptrdiff_t, Range rows, const Workspace<T>& ws) {
    copy_rows(ws.layers.back().a, net.last().ld, out + rows.begin * n_out, n_out, rows.size(),
              n_out);
  });
}

template <class T>
Totals evaluate(const Network<T>& net, const T* flat, const Data<T>& data, int threads) {
  ForwardPass<T> pass(net, flat, data.n, threads);
  std::vector<Totals> parts(size_t(pass.blocks()));
  const auto read = [&](Range rows, const Workspace<T>& ws, ptrdiff_t&) {
    net.gather({&data, nullptr, 0, data.n}, rows, rows.begin, T(1), ws);
    return static_cast<const T*>(ws.x);
  };
  pass.run(read, [&](ptrdiff_t block, Range rows, const Workspace<T>& ws) {
    net.loss({0, rows.size()}, true, ws);
    parts[size_t(block)] = net.sum_totals({0, rows.size()}, ws);
  });
  Totals sum;
  for (const Totals& part : parts) sum.add(part);
  return sum;
}

template <class T>
Totals loss_and_grad(const Network<T>& net, const T* flat, const Data<T>& data, T* grad,
                     int threads) {
  if (TinyPlan<T>::suits(net, data.n)) {
    Totals totals;
    if (TinyPlan<T>(net, data.n, nullptr).gradient(data, flat, grad, totals)) return totals;
  }
  Arena arena;
  const ptrdiff_t w = arena.reserve_array<T>(net.layout.packed_size);
  arena.commit();
  State<T> state{arena.at<T>(w), nullptr, nullptr};
  pack(net.layout, flat, state.w);
  const std::unique_ptr<Plan<T>> plan = make_plan(net, data.n, threads, false);
  Step<T> step;
  step.batch = {&data, nullptr, 0, data.n};
  step.state = state;
  run_in_team(plan->team_size(), [&](const Team& team) { plan->step(team, step); });
  unpack(net.layout, plan->gradient(), grad);
  return plan->totals();
}

#define MLPFAST_INSTANTIATE(T)                                                 \
  template void predict(const Network<T>&, const T*, const Data<T>&, T*, int); \
  template Totals evaluate(const Network<T>&, const T*, const Data<T>&, int);  \
  template Totals loss_and_grad(const Network<T>&, const T*, const Data<T>&, T*, int);
MLPFAST_INSTANTIATE(float)
MLPFAST_INSTANTIATE(double)

}  // namespace mlpfast
