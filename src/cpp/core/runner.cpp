// Forward passes over rows in blocks that stay in the cache, the blocks shared among threads.
#include "runner.hpp"

#include <algorithm>

#include "passes/row_major.hpp"
#include "thread_pool.hpp"

namespace mlpfast {
namespace {

// Fewer rows than this do not repay packing the weights, which are then read from the flat buffer:
// for a wide net, where a packed panel serves all rows at once, and for others.
constexpr ptrdiff_t kRowsWorthPackingWide = 48;
constexpr ptrdiff_t kRowsWorthPacking = 512;
constexpr ptrdiff_t kBlockBytes = 524288;
constexpr ptrdiff_t kMostBlockRows = 64;
// Larger weights do not stay in a second-level cache while blocks of rows pass. Up to half of this
// they do once they are packed, which many rows repay.
constexpr ptrdiff_t kWideBytes = 2097152;
constexpr ptrdiff_t kRowsWorthPackingWhole = 2048;
// Rows that pass a panel of a wide layer once it is packed.
constexpr ptrdiff_t kWideRows = 512;
// Memory that a thread keeps from one prediction to the next.
constexpr ptrdiff_t kKeptBytes = 4194304;

// How rows are cut into blocks: in the same way for any number of threads, so that sums over blocks
// do not depend on it, or evenly among the threads.
enum class Cut { fixed, even };

// One pass of many rows. The usual net takes them in blocks through all layers, each thread its
// own. A wide one, whose weights would have to be fetched again for every block, goes layer by
// layer, each thread with its own panels.
template <class T>
class ForwardPass {
 public:
  ForwardPass(const Network<T>& net, const T* flat, ptrdiff_t n, int threads, Cut cut, Arena& arena)
      : net_(net), flat_(flat), n_(n) {
    const double worth = net.flops_forward() * double(n) / kFlopsWorthAThread;
    const auto team = [&](ptrdiff_t parts) {
      return int(std::max(1.0, std::min({double(threads), worth, double(parts)})));
    };
    const ptrdiff_t bytes = net.layout.n_params * ptrdiff_t(sizeof(T));
    wide_ = cut == Cut::even &&
            (bytes > kWideBytes || (bytes > kWideBytes / 2 && n < kRowsWorthPackingWhole));
    packs_ = n >= (wide_ ? kRowsWorthPackingWide : kRowsWorthPacking);
    block_ = wide_ ? kWideRows
                   : std::clamp<ptrdiff_t>(kBlockBytes / net.row_bytes(), 16, kMostBlockRows);
    blocks_ = (n + block_ - 1) / block_;
    team_size_ = team(cut == Cut::even ? n : blocks_);
    if (cut == Cut::even) block_ = (n - 1) / (wide_ ? blocks_ : round_up(blocks_, team_size_)) + 1;
    block_ = std::min(n, block_);
    blocks_ = (n + block_ - 1) / block_;

    ptrdiff_t panel = 0;
    for (const Layer& layer : net.layout.layers)
      panel = std::max(panel, layer.n_in * net.kernels.panel);
    const ptrdiff_t packed = arena.reserve_array<T>(!packs_ ? 0
                                                    : wide_ ? panel * team_size_
                                                            : net.layout.packed_size);
    std::vector<std::vector<ptrdiff_t>> offsets;
    for (int i = 0; i < (wide_ ? 1 : team_size_); ++i)
      offsets.push_back(RowMajorPass<T>::reserve(net, arena, block_, false));
    if (cut == Cut::fixed)
      arena.commit();
    else
      arena.commit_unset();
    packed_ = arena.at<T>(packed);
    panel_size_ = panel;
    for (const auto& o : offsets) passes_.emplace_back(net, arena, o, block_, false);
  }

  ptrdiff_t blocks() const { return blocks_; }

  // For parts of a block, calls read(rows, first, pass, x_layout), which reads the rows into the
  // buffers of the pass from row `first` on, or else sets x_layout to where they are; it returns
  // the address of row 0. After the last layer, calls done(block, rows, pass, first).
  template <class Read, class F>
  void run(Read read, F done) {
    run_in_team(team_size_, [&](const Team& team) {
      if (wide_)
        run_by_panels(team, read, done);
      else
        run_by_rows(team, read, done);
    });
  }

 private:
  template <class Read, class F>
  void run_by_rows(const Team& team, Read& read, F& done) {
    const RowMajorPass<T>& pass = passes_[size_t(team.index)];
    if (packs_) {
      pack(net_.layout, flat_, packed_, team.index, team.count);
      team.sync();
    }
    const auto weights = [&](const Layer& layer) {
      return packs_ ? packed_view<T>(layer, packed_) : flat_view(layer, flat_);
    };
    const Range mine = share(blocks_, team.index, team.count);
    for (ptrdiff_t b = mine.begin; b < mine.end; ++b) {
      const Range rows = {b * block_, std::min((b + 1) * block_, n_)};
      BlockLayout x_layout = pass.x_layout;
      const T* x = read(rows, 0, pass, x_layout);
      pass.forward_all(weights, x, x_layout, rows.size());
      done(b, rows, pass, 0);
    }
  }

  template <class Read, class F>
  void run_by_panels(const Team& team, Read& read, F& done) {
    const RowMajorPass<T>& pass = passes_.front();
    T* packed = packed_ + team.index * panel_size_;
    for (ptrdiff_t b = 0; b < blocks_; ++b) {
      const Range rows = {b * block_, std::min((b + 1) * block_, n_)};
      const Range own = share(rows.size(), team.index, team.count);
      BlockLayout x_layout = pass.x_layout;
      const T* x = read({rows.begin + own.begin, rows.begin + own.end}, own.begin, pass, x_layout);
      team.sync();
      for (size_t l = 0; l < net_.depth(); ++l) {
        const Layer& layer = net_.layout.layers[l];
        const T* in = l ? pass.input_of(l) : x;
        const BlockLayout& in_layout = l ? pass.layout_of_input(l) : x_layout;
        const ptrdiff_t panels = ptrdiff_t(layer.panels.size());
        if (panels < 2 * team.count) {  // rows can be shared more evenly
          pass.forward(l, flat_view(layer, flat_), in, in_layout, own, {0, panels});
        } else {
          const Range mine = share(panels, team.index, team.count);
          for (ptrdiff_t p = mine.begin; p < mine.end; ++p) {
            WeightView<T> view = flat_view(layer, flat_);
            if (packs_) {
              pack_panel(layer, layer.panels[size_t(p)], flat_, packed);
              view.w = packed;
              view.col_stride = view.ldb = 0;
            }
            pass.forward(l, view, in, in_layout, {0, rows.size()}, {p, p + 1});
          }
          if (net_.whole_rows(l)) {
            team.sync();
            pass.activate_whole_rows(l, own);
          }
        }
        team.sync();
      }
      done(b, {rows.begin + own.begin, rows.begin + own.end}, pass, own.begin);
      team.sync();
    }
  }

  const Network<T>& net_;
  const T* flat_;
  T* packed_ = nullptr;
  ptrdiff_t n_, block_, blocks_, panel_size_;
  bool packs_, wide_;
  int team_size_;
  std::vector<RowMajorPass<T>> passes_;
};

// Memory of a thread's predictions, kept for the next: the system would have to clear fresh pages.
Arena& kept_arena() {
  thread_local Arena arena;
  arena.restart();
  return arena;
}

}  // namespace

template <class T>
void predict(const Network<T>& net, const T* flat, const Data<T>& data, T* out, int threads) {
  const ptrdiff_t n_out = net.spec.sizes.back();
  const bool in_place = data.in_place();
  const auto read = [&](Range rows, ptrdiff_t first, const RowMajorPass<T>& pass,
                        BlockLayout& x_layout) {
    if (in_place) {
      x_layout = row_major(net, data.ld());
      return reinterpret_cast<const T*>(data.row(rows.begin)) - first * x_layout.ld;
    }
    pass.gather_inputs({&data, nullptr, 0, data.n}, rows, rows.begin - first);
    return static_cast<const T*>(pass.x);
  };
  Arena& arena = kept_arena();
  ForwardPass<T> forward(net, flat, data.n, threads, Cut::even, arena);
  forward.run(read, [&](ptrdiff_t, Range rows, const RowMajorPass<T>& pass, ptrdiff_t first) {
    const Layer& last = net.last();
    copy_rows(pass.layers.back().a + first * last.ld, last.ld, out + rows.begin * n_out, n_out,
              rows.size(), n_out);
  });
  if (arena.size() > kKeptBytes) arena = Arena();
}

template <class T>
Totals evaluate(const Network<T>& net, const T* flat, const Data<T>& data, int threads) {
  Arena arena;
  ForwardPass<T> forward(net, flat, data.n, threads, Cut::fixed, arena);
  std::vector<Totals> parts(size_t(forward.blocks()));
  const auto read = [&](Range rows, ptrdiff_t, const RowMajorPass<T>& pass, BlockLayout&) {
    pass.gather({&data, nullptr, 0, data.n}, rows, rows.begin, T(1));
    return static_cast<const T*>(pass.x);
  };
  forward.run(read, [&](ptrdiff_t block, Range rows, const RowMajorPass<T>& pass, ptrdiff_t) {
    pass.loss({0, rows.size()}, true);
    parts[size_t(block)] = pass.sum_totals({0, rows.size()});
  });
  Totals sum;
  for (const Totals& part : parts) sum.add(part);
  return sum;
}

#define MLPFAST_INSTANTIATE(T)                                                 \
  template void predict(const Network<T>&, const T*, const Data<T>&, T*, int); \
  template Totals evaluate(const Network<T>&, const T*, const Data<T>&, int);
MLPFAST_INSTANTIATE(float)
MLPFAST_INSTANTIATE(double)

}  // namespace mlpfast
