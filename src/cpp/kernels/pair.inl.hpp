// Two vectors as one: the operations on them alternate in the program. A chain of dependent
// operations leaves the arithmetic units idle unless the CPU finds independent ones, and its
// scheduler holds only about a hundred waiting operations: four elementary functions.

template <class Half>
struct Pair {
  using T = typename Half::T;
  struct Mask {
    typename Half::Mask a, b;
  };
  static constexpr bool latency_bound = false;
  static constexpr int lanes = 2 * Half::lanes;
  static constexpr int table = Half::table;

  Half a, b;

  static Pair load(const T* p) { return {Half::load(p), Half::load(p + Half::lanes)}; }
  static Pair set(T x) { return {Half::set(x), Half::set(x)}; }
  static Pair look_up(const T* values, Pair index) {
    return {Half::look_up(values, index.a), Half::look_up(values, index.b)};
  }
  void store(T* p) const {
    a.store(p);
    b.store(p + Half::lanes);
  }

  static Pair select(Mask m, Pair x, Pair y) {
    return {Half::select(m.a, x.a, y.a), Half::select(m.b, x.b, y.b)};
  }
  friend Mask less(Pair x, Pair y) { return {less(x.a, y.a), less(x.b, y.b)}; }
  friend Pair operator+(Pair x, Pair y) { return {x.a + y.a, x.b + y.b}; }
  friend Pair operator-(Pair x, Pair y) { return {x.a - y.a, x.b - y.b}; }
  friend Pair operator*(Pair x, Pair y) { return {x.a * y.a, x.b * y.b}; }
  friend Pair operator/(Pair x, Pair y) { return {x.a / y.a, x.b / y.b}; }
  friend Pair fma(Pair x, Pair y, Pair z) { return {fma(x.a, y.a, z.a), fma(x.b, y.b, z.b)}; }
  friend Pair quotient(Pair x, Pair y) { return {quotient(x.a, y.a), quotient(x.b, y.b)}; }
  friend Pair square_rest(Pair x, Pair y) { return {square_rest(x.a, y.a), square_rest(x.b, y.b)}; }
  friend Pair min(Pair x, Pair y) { return {min(x.a, y.a), min(x.b, y.b)}; }
  friend Pair max(Pair x, Pair y) { return {max(x.a, y.a), max(x.b, y.b)}; }
  friend Pair abs(Pair x) { return {abs(x.a), abs(x.b)}; }
  friend Pair copysign(Pair x, Pair y) { return {copysign(x.a, y.a), copysign(x.b, y.b)}; }
  friend Pair bits_from(Pair x, unsigned n) { return {bits_from(x.a, n), bits_from(x.b, n)}; }
  friend Pair scale_by_power(Pair x, Pair n) {
    return {scale_by_power(x.a, n.a), scale_by_power(x.b, n.b)};
  }
  friend void split(Pair x, Pair& m, Pair& e) {
    split(x.a, m.a, e.a);
    split(x.b, m.b, e.b);
  }
};
