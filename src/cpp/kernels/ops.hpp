// The activations, losses and update rules: the formula of each, and the facts about it.
//
// A new one is a struct and its line in the list below it. From the lists follow the enumerations,
// the kernel tables (all.inl.hpp), the switches of the kernels for small nets (tiny.inl.hpp) and
// the facts as data for the core and for Python (traits.hpp). Python keeps the same facts in
// spec/activations.py and spec/losses.py; tests/spec/test_operations.py compares the two.
//
// The formulas are templates on a vector type V, or a pair of vectors. Only the ISA files
// instantiate them, inside an anonymous namespace, in which argument-dependent lookup also finds
// exp, log and the other functions of vecmath.inl.hpp.
#pragma once

#include <limits>

namespace mlpfast {

// Activations: a = value(z), and da/dz = derivative(a), or derivative(z) if `keeps_z`.

namespace ops {

struct Elementwise {
  static constexpr bool keeps_z = false;          // derivative() takes z
  static constexpr bool has_gradient = true;      // otherwise there is no derivative()
  static constexpr bool derives_by_sign = false;  // derivative() depends on a sign alone
  static constexpr bool whole_rows = false;       // an output depends on all units of the layer
};
// An activation of whole rows has no functions here but kernels of its own, those of softmax.
struct WholeRows : Elementwise {
  static constexpr bool whole_rows = true;
};

constexpr double kLeakySlope = 0.01;

struct Identity : Elementwise {
  static constexpr bool derives_by_sign = true;
  template <class V>
  static V value(V z) {
    return z;
  }
  template <class V>
  static V derivative(V) {
    return V::set(1);
  }
};
struct Step : Elementwise {
  static constexpr bool has_gradient = false;
  template <class V>
  static V value(V z) {
    return V::select(less(V::set(0), z), V::set(1), V::set(0));
  }
};
struct Sigmoid : Elementwise {
  template <class V>
  static V value(V z) {
    if constexpr (V::latency_bound) return logistic_low_latency(z);
    return logistic(z);
  }
  template <class V>
  static V derivative(V a) {
    return a * (V::set(1) - a);
  }
};
struct Tanh : Elementwise {
  template <class V>
  static V value(V z) {
    return hyperbolic_tangent(z);
  }
  template <class V>
  static V derivative(V a) {
    return V::set(1) - a * a;
  }
};
struct Relu : Elementwise {
  static constexpr bool derives_by_sign = true;
  template <class V>
  static V value(V z) {
    return max(V::set(0), z);  // NaN stays
  }
  template <class V>
  static V derivative(V a) {
    return V::select(less(V::set(0), a), V::set(1), V::set(0));
  }
};
struct LeakyRelu : Elementwise {
  static constexpr bool derives_by_sign = true;
  template <class V>
  static V value(V z) {
    return z * derivative(z);
  }
  template <class V>
  static V derivative(V a) {
    return V::select(less(V::set(0), a), V::set(1), V::set(typename V::T(kLeakySlope)));
  }
};
struct Elu : Elementwise {
  template <class V>
  static V value(V z) {
    return V::select(less(V::set(0), z), z, expm1_of_negative(min(V::set(0), z)));
  }
  template <class V>
  static V derivative(V a) {
    return V::select(less(V::set(0), a), V::set(1), a + V::set(1));
  }
};
struct Selu : Elementwise {
  static constexpr double scale = 1.0507009873554805, alpha = 1.6732632423543772;
  template <class V>
  static V value(V z) {
    using T = typename V::T;
    const V below = V::set(T(scale * alpha)) * expm1_of_negative(min(V::set(0), z));
    return V::select(less(V::set(0), z), V::set(T(scale)) * z, below);
  }
  template <class V>
  static V derivative(V a) {
    using T = typename V::T;
    return V::select(less(V::set(0), a), V::set(T(scale)), a + V::set(T(scale * alpha)));
  }
};
struct Softplus : Elementwise {
  template <class V>
  static V value(V z) {
    return max(V::set(0), z) + log1p_of_fraction(exp(V::set(0) - abs(z)));
  }
  template <class V>
  static V derivative(V a) {
    return V::set(0) - expm1_of_negative(V::set(0) - a);
  }
};
struct Silu : Elementwise {
  static constexpr bool keeps_z = true;
  template <class V>
  static V value(V z) {
    return times_logistic(z);
  }
  template <class V>
  static V derivative(V z) {
    const V s = Sigmoid::value(z);
    return s * fma(z, V::set(1) - s, V::set(1));
  }
};
struct Gelu : Elementwise {
  static constexpr bool keeps_z = true;
  template <class V>
  static V value(V z) {
    return times_normal_cdf(z);
  }
  template <class V>
  static V derivative(V z) {
    return times_normal_cdf_derivative(z);
  }
};
// z tanh(softplus(z)). With e = exp(-|z|), the tanh is n / (n + rest) without cancellation, where n
// is 1 + 2 e and rest is 2 e^2 for z >= 0, and n is e^2 + 2 e and rest is 2 below. The value comes
// from z times the logistic function, which has the right limits and tails.
struct Mish : Elementwise {
  static constexpr bool keeps_z = true;
  template <class V>
  static void parts(V z, V& e, V& n, V& rest) {
    const V zero = V::set(0), two = V::set(2);
    e = exp(zero - abs(z));
    n = V::select(less(z, zero), e * (e + two), V::set(1) + two * e);
    rest = V::select(less(z, zero), two, two * e * e);
  }
  template <class V>
  static V value(V z) {
    V e, n, rest;
    parts(z, e, n, rest);
    const V one = V::set(1), factor = V::select(less(z, V::set(0)), e + V::set(2), n);
    return times_logistic(z) * ((one + e) * factor / (n + rest));
  }
  template <class V>
  static V derivative(V z) {
    V e, n, rest;
    parts(z, e, n, rest);
    const V one = V::set(1), whole = n + rest;
    const V logistic = V::select(less(z, V::set(0)), e, one) / (one + e);
    return (n + z * logistic * (rest * (n + whole) / whole)) / whole;
  }
};
struct Exp : Elementwise {
  template <class V>
  static V value(V z) {
    return exp(z);
  }
  template <class V>
  static V derivative(V a) {
    return a;
  }
};
struct Softmax : WholeRows {};

}  // namespace ops

#define MLPFAST_ACTIVATIONS(X) /* its name, and the struct with formula and facts */ \
  X(identity, ops::Identity)                                                         \
  X(step, ops::Step)                                                                 \
  X(sigmoid, ops::Sigmoid)                                                           \
  X(tanh, ops::Tanh)                                                                 \
  X(relu, ops::Relu)                                                                 \
  X(leaky_relu, ops::LeakyRelu)                                                      \
  X(elu, ops::Elu)                                                                   \
  X(selu, ops::Selu)                                                                 \
  X(softplus, ops::Softplus)                                                         \
  X(silu, ops::Silu)                                                                 \
  X(gelu, ops::Gelu)                                                                 \
  X(mish, ops::Mish)                                                                 \
  X(exp, ops::Exp)                                                                   \
  X(softmax, ops::Softmax)                                                           \
  /* The end, so that a new line changes no other. */

#define MLPFAST_ENUMERATOR(name, Op) name,
enum class Activation : int { MLPFAST_ACTIVATIONS(MLPFAST_ENUMERATOR) count };

// Losses: for one output of every row in a vector, the summand of the row's loss and its gradient,
// both before the division by the number of outputs if `mean`.
//
// from_outputs(a, t, ...) has the gradient with respect to the output a. from_logits(z, a, t, ...)
// is used if the output activation is `logits_output`: its gradient is with respect to z.

// The least and the greatest gradient with respect to an output, for the losses with a parameter.
template <class T>
struct Slopes {
  T low, high;
};

namespace ops {

struct SummedLoss {
  static constexpr bool mean = false;
  static constexpr bool whole_rows = false;  // kernels of its own, those of the cross-entropy
  static constexpr Activation logits_output = Activation::count;  // count: from_outputs() alone
  static constexpr bool needs_output = false;                     // from_logits() alone
  // The range of the targets.
  static constexpr double low = -std::numeric_limits<double>::infinity();
  static constexpr double high = std::numeric_limits<double>::infinity();
  static constexpr const char* parameter = nullptr;  // what it is called
  static constexpr Slopes<double> slopes(double) { return {0, 0}; }
};
struct MeanLoss : SummedLoss {
  static constexpr bool mean = true;
};

constexpr double kPoissonEpsilon = 1e-7;

struct Mse : MeanLoss {
  template <class V>
  static void from_outputs(V a, V t, const Slopes<V>&, V& loss, V& grad) {
    const V e = a - t;
    loss = e * e;
    grad = e + e;
  }
};
struct SquaredError : SummedLoss {
  template <class V>
  static void from_outputs(V a, V t, const Slopes<V>&, V& loss, V& grad) {
    grad = a - t;
    loss = grad * grad * V::set(typename V::T(0.5));
  }
};
struct Mae : MeanLoss {
  template <class V>
  static void from_outputs(V a, V t, const Slopes<V>&, V& loss, V& grad) {
    const V e = a - t;
    loss = abs(e);
    grad = V::select(less(V::set(0), loss), copysign(V::set(1), e), e);
  }
};
struct Huber : MeanLoss {
  static constexpr const char* parameter = "delta";
  static constexpr Slopes<double> slopes(double delta) { return {-delta, delta}; }
  template <class V>
  static void from_outputs(V a, V t, const Slopes<V>& slopes, V& loss, V& grad) {
    const V e = a - t;
    grad = max(slopes.low, min(slopes.high, e));
    // 1/2 e^2 inside, delta |e| - 1/2 delta^2 outside, in one expression
    loss = grad * (e - grad * V::set(typename V::T(0.5)));
  }
};
// log(cosh(e)) with w = exp(-|e|) and u = 1 - w: log(1 + u^2 / (2 w)) near 0, where the difference
// |e| + log(1 + w^2) - log(2) would cancel.
struct LogCosh : MeanLoss {
  template <class V>
  static void from_outputs(V a, V t, const Slopes<V>&, V& loss, V& grad) {
    using T = typename V::T;
    const V e = a - t, size = abs(e), zero = V::set(0), one = V::set(1), two = V::set(2);
    const V u = zero - expm1_of_negative(zero - size), w = one - u;
    const auto far = less(one, size);
    const V start = V::select(far, size - V::set(T(0.6931471805599453)), zero);
    loss = start + log1p_of_fraction(V::select(far, w * w, u * u / (two * w)));
    grad = copysign(u * (two - u) / (one + w * w), e);  // tanh(e)
  }
};
struct Quantile : MeanLoss {
  static constexpr const char* parameter = "quantile";
  static constexpr Slopes<double> slopes(double quantile) { return {-quantile, 1 - quantile}; }
  template <class V>
  static void from_outputs(V a, V t, const Slopes<V>& slopes, V& loss, V& grad) {
    const V e = a - t, zero = V::set(0);
    grad = V::select(less(e, zero), slopes.low, V::select(less(zero, e), slopes.high, e));
    loss = grad * e;
  }
};
struct BinaryCrossentropy : MeanLoss {
  static constexpr Activation logits_output = Activation::sigmoid;
  static constexpr bool needs_output = true;
  static constexpr double low = 0, high = 1;
  template <class V>
  static void from_logits(V z, V a, V t, V& loss, V& grad) {
    loss = max(V::set(0), z) - z * t + log1p_of_fraction(exp(V::set(0) - abs(z)));
    grad = a - t;
  }
};
struct CategoricalCrossentropy : SummedLoss {
  static constexpr Activation logits_output = Activation::softmax;
  static constexpr bool needs_output = true, whole_rows = true;
  static constexpr double low = 0;
  static constexpr bool clipped = false;  // whether p is kept within the resolution of 0 and 1
};
struct Poisson : MeanLoss {
  static constexpr Activation logits_output = Activation::exp;
  static constexpr double low = 0;
  template <class V>
  static void from_outputs(V a, V t, const Slopes<V>&, V& loss, V& grad) {
    const V safe = a + V::set(typename V::T(kPoissonEpsilon));
    loss = a - t * log(safe);
    grad = V::set(1) - t / safe;
  }
  template <class V>
  static void from_logits(V z, V a, V t, V& loss, V& grad) {
    loss = a - t * z;
    grad = a - t;
  }
};
// scikit-learn takes both logarithms from the rounded p, and 1 - p has few digits where p is close
// to 1: so here too, bit by bit, or its L-BFGS would go another way.
struct BinaryLogLoss : SummedLoss {
  static constexpr Activation logits_output = Activation::sigmoid;
  static constexpr bool needs_output = true;
  static constexpr double low = 0, high = 1;
  template <class V>
  static void from_logits(V z, V a, V t, V& loss, V& grad) {
    using T = typename V::T;
    const V zero = V::set(0), one = V::set(1), least = V::set(std::numeric_limits<T>::epsilon());
    V p = one / (one + exp(zero - z));
    p = max(least, min(one - least, p));  // NaN stays
    const V q = one - p, u = one - t;
    const auto yes = less(u, t);
    loss = zero - max(t, u) * log(V::select(yes, p, q));
    const V minor = min(t, u);
    // Targets between 0 and 1 are rare.
    if (sum(abs(minor)) > T(0)) loss = loss - minor * log(V::select(yes, q, p));
    grad = a - t;
  }
};
struct LogLoss : CategoricalCrossentropy {
  static constexpr bool clipped = true;
};
struct PoissonDeviance : SummedLoss {
  static constexpr Activation logits_output = Activation::exp;
  static constexpr bool needs_output = true;
  static constexpr double low = 0;
  template <class V>
  static void from_logits(V, V a, V t, V& loss, V& grad) {
    const V ratio = t / a;
    // t log(t / a), which is 0 for t = 0 unless a is 0 as well
    const V part = V::select(less(V::set(0), abs(t)), t * log(ratio), ratio);
    grad = a - t;
    loss = part + grad;
  }
};

}  // namespace ops

#define MLPFAST_LOSSES(X) /* its name, and the struct with formula and facts */ \
  X(mse, ops::Mse)                                                              \
  X(squared_error, ops::SquaredError)                                           \
  X(mae, ops::Mae)                                                              \
  X(huber, ops::Huber)                                                          \
  X(log_cosh, ops::LogCosh)                                                     \
  X(quantile, ops::Quantile)                                                    \
  X(binary_crossentropy, ops::BinaryCrossentropy)                               \
  X(categorical_crossentropy, ops::CategoricalCrossentropy)                     \
  X(poisson, ops::Poisson)                                                      \
  X(binary_log_loss, ops::BinaryLogLoss)                                        \
  X(log_loss, ops::LogLoss)                                                     \
  X(poisson_deviance, ops::PoissonDeviance)                                     \
  /* The end, so that a new line changes no other. */

enum class Loss : int { MLPFAST_LOSSES(MLPFAST_ENUMERATOR) count };

// Update rules: apply() moves parameters w by their gradient g, and with it the moments m and v
// that the rule has. `plain` leaves out the l2 term and the weight decay.

// The scalars of a step; the core folds learning rate, bias corrections and the like into them.
template <class T>
struct UpdateScalars {
  T l2, decay, rate, rate_g, gain, beta_1, beta_2, one_minus_beta_1, one_minus_beta_2, epsilon;
  T inner;  // epsilon inside the root
};

namespace ops {

struct UpdateRule {
  static constexpr bool has_m = false, has_v = false;
  // Whether the scalar `decay` of a step is ever other than 1 without an l2 term.
  static constexpr bool decays = false;
};

// w = decay w + rate (g + l2 w)
struct ScaledSum : UpdateRule {
  template <class V, bool plain>
  static void apply(const UpdateScalars<V>& s, V& w, V&, V&, V g) {
    w = plain ? fma(s.rate, g, w) : fma(s.rate, fma(s.l2, w, g), s.decay * w);
  }
};
struct Momentum : UpdateRule {
  static constexpr bool has_m = true;
  template <class V, bool plain>
  static void apply(const UpdateScalars<V>& s, V& w, V& m, V&, V g) {
    if (!plain) g = fma(s.l2, w, g);
    m = fma(s.beta_1, m, s.gain * g);
    w = fma(s.rate, m, fma(s.rate_g, g, w));
  }
};
struct Adam : UpdateRule {
  static constexpr bool has_m = true, has_v = true, decays = true;
  template <class V, bool plain>
  static void apply(const UpdateScalars<V>& s, V& w, V& m, V& v, V g) {
    if (!plain) g = fma(s.l2, w, g);
    m = fma(s.beta_1, m, s.one_minus_beta_1 * g);
    v = fma(s.beta_2, v, s.one_minus_beta_2 * (g * g));
    w = fma(s.rate, quotient(m, fast_sqrt(v) + s.epsilon), plain ? w : s.decay * w);
  }
};
struct Rmsprop : UpdateRule {
  static constexpr bool has_m = true, has_v = true;
  template <class V, bool plain>
  static void apply(const UpdateScalars<V>& s, V& w, V& m, V& v, V g) {
    if (!plain) g = fma(s.l2, w, g);
    v = fma(s.beta_2, v, s.one_minus_beta_2 * (g * g));
    m = fma(s.beta_1, m, s.gain * quotient(g, fast_sqrt(v + s.inner) + s.epsilon));
    w = fma(s.rate, m, w);
  }
};

}  // namespace ops

#define MLPFAST_UPDATES(X) /* its name, and the struct with formula and facts */ \
  X(scaled_sum, ops::ScaledSum)                                                  \
  X(momentum, ops::Momentum)                                                     \
  X(adam, ops::Adam)                                                             \
  X(rmsprop, ops::Rmsprop)                                                       \
  /* The end, so that a new line changes no other. */

enum class Update : int { MLPFAST_UPDATES(MLPFAST_ENUMERATOR) count };
#undef MLPFAST_ENUMERATOR

}  // namespace mlpfast
