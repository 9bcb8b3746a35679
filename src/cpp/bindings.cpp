// The Python module: casts, and the release of the GIL; no arithmetic and no validation.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <map>
#include <optional>

#include "core/gradient.hpp"
#include "core/layer.hpp"
#include "core/runner.hpp"
#include "core/trainer.hpp"
#include "fast_gradient.hpp"
#include "fast_predict.hpp"
#include "isa/dispatch.hpp"

namespace py = pybind11;

namespace mlpfast {
namespace {

// Arrays are taken as they are: C-contiguous, of exactly this dtype, never converted.
template <class T>
using In = py::array_t<T, py::array::c_style>;
template <class T>
using MaybeIn = std::optional<In<T>>;

const char* const kReductionNames[] = {"mean", "sum", "mean_over_rows"};
const char* const kRuleNames[] = {"sgd", "adam", "adamw", "rmsprop"};

const char* name_of(const char* name) { return name; }
template <class Traits>
const char* name_of(const Traits& traits) {
  return traits.name;
}

// Where a name is in a list of names or traits, as an enumerator.
template <class E, class Item, size_t N>
E find_name(const Item (&list)[N], const std::string& name) {
  for (size_t i = 0; i < N; ++i)
    if (name == name_of(list[i])) return E(i);
  throw py::value_error("unknown name '" + name + "'");
}

py::dict as_dict(const ActivationTraits& a) {
  using namespace py::literals;
  return py::dict("name"_a = a.name, "keeps_z"_a = a.keeps_z, "has_gradient"_a = a.has_gradient,
                  "derives_by_sign"_a = a.derives_by_sign, "whole_rows"_a = a.whole_rows);
}
py::dict as_dict(const LossTraits& l) {
  using namespace py::literals;
  const bool pairs = l.logits_output != Activation::count;
  return py::dict("name"_a = l.name, "mean"_a = l.mean, "whole_rows"_a = l.whole_rows,
                  "logits_output"_a = pairs ? traits(l.logits_output).name : nullptr,
                  "needs_output"_a = l.needs_output, "low"_a = l.low, "high"_a = l.high,
                  "parameter"_a = l.parameter);
}
py::dict as_dict(const UpdateTraits& u) {
  using namespace py::literals;
  return py::dict("name"_a = u.name, "has_m"_a = u.has_m, "has_v"_a = u.has_v,
                  "decays"_a = u.decays);
}

template <class Traits, size_t N>
std::vector<py::dict> as_dicts(const Traits (&list)[N]) {
  std::vector<py::dict> dicts;
  for (const Traits& traits : list) dicts.push_back(as_dict(traits));
  return dicts;
}

template <class T>
const Kernels<T>& kernels_of(const KernelSet& set);
template <>
const Kernels<float>& kernels_of(const KernelSet& set) {
  return *set.f32;
}
template <>
const Kernels<double>& kernels_of(const KernelSet& set) {
  return *set.f64;
}

template <class T>
std::shared_ptr<Network<T>> make_network(std::vector<ptrdiff_t> sizes,
                                         const std::vector<std::string>& activations,
                                         const std::string& loss, double loss_parameter,
                                         const std::string& reduction, bool bias,
                                         std::vector<double> dropout, const std::string& isa) {
  NetSpec spec;
  spec.sizes = std::move(sizes);
  for (const std::string& name : activations)
    spec.activations.push_back(find_name<Activation>(kActivations, name));
  spec.loss = find_name<Loss>(kLosses, loss);
  spec.loss_parameter = loss_parameter;
  spec.reduction = find_name<Reduction>(kReductionNames, reduction);
  spec.bias = bias;
  spec.dropout = std::move(dropout);
  return std::make_shared<Network<T>>(spec, kernels_of<T>(choose_kernels(isa)));
}

// Rows of float32, float64 or uint8, each contiguous, any
// distance apart.
template <class T>
Data<T> rows_of(const py::array& x, double scale) {
  Data<T> data;
  data.x = static_cast<const char*>(x.data());
  data.x_stride = x.strides(0);
  data.n = x.shape(0);
  data.scale = T(scale);
  if (py::isinstance<py::array_t<float>>(x))
    data.x_type = InputType::f32;
  else if (py::isinstance<py::array_t<double>>(x))
    data.x_type = InputType::f64;
  else if (py::isinstance<py::array_t<uint8_t>>(x))
    data.x_type = InputType::u8;
  else
    throw py::type_error("x must be float32, float64 or uint8");
  return data;
}

template <class T>
Data<T> data_of(const py::array& x, const py::array& y, const MaybeIn<T>& weight, double scale) {
  Data<T> data = rows_of<T>(x, scale);
  if (py::isinstance<py::array_t<int64_t>>(y) && y.ndim() == 1)
    data.labels = static_cast<const int64_t*>(y.data());
  else if (py::isinstance<In<T>>(y))
    data.y = static_cast<const T*>(y.data());
  else
    throw py::type_error(
        "y must be targets of the net's dtype or int64 "
        "labels");
  data.weight = weight ? weight->data() : nullptr;
  return data;
}

py::array_t<double> to_array(const std::vector<Totals>& totals) {
  py::array_t<double> result({py::ssize_t(totals.size()), py::ssize_t(6)});
  double* p = result.mutable_data();
  for (const Totals& t : totals)
    for (double value : {t.loss, t.weight, t.correct, t.squared_error, t.absolute_error, t.penalty})
      *p++ = value;
  return result;
}

// Lets Python run its signal handlers; an exception of
// theirs ends the run and is raised after it.
struct SignalCheck {
  bool raised = false;
  bool operator()() {
    py::gil_scoped_acquire gil;
    raised = PyErr_CheckSignals() != 0;
    if (raised) PyErr_Fetch(&type, &value, &traceback);
    return raised;
  }
  PyObject *type = nullptr, *value = nullptr, *traceback = nullptr;
};

py::dict plan_record(const PlanChoice& choice) {
  using namespace py::literals;
  return py::dict("plan"_a = plan_name(choice.plan), "why"_a = choice.why, "team"_a = choice.team,
                  "block_rows"_a = choice.block_rows, "parts"_a = choice.parts);
}

template <class T>
py::tuple run_trainer(Trainer<T>& trainer, In<T>& params, const py::array& x, const py::array& y,
                      const MaybeIn<T>& weight, double scale, const MaybeIn<int64_t>& orders,
                      const In<double>& learning_rates, ptrdiff_t batch_size,
                      std::vector<double> l2, bool l2_per_row, bool want_penalty, bool check_finite,
                      bool want_metrics, int threads, const In<uint8_t>& stop,
                      const MaybeIn<uint64_t>& dropout_keys, bool check_signals) {
  RunArgs<T> args;
  args.data = data_of<T>(x, y, weight, scale);
  args.orders = orders ? orders->data() : nullptr;
  args.learning_rates = learning_rates.data();
  args.epochs = learning_rates.shape(0);
  args.rates_an_epoch = learning_rates.ndim() > 1 ? learning_rates.shape(1) : 1;
  args.batch_size = batch_size;
  args.l2 = std::move(l2);
  args.l2_per_row = l2_per_row;
  args.want_penalty = want_penalty;
  args.check_finite = check_finite;
  args.want_metrics = want_metrics;
  args.threads = threads;
  args.poll.stop = stop.data();
  args.dropout_keys = dropout_keys ? dropout_keys->data() : nullptr;
  SignalCheck signals;
  if (check_signals) args.poll.check = [&signals] { return signals(); };
  T* flat = params.mutable_data();
  RunResult result;
  {
    py::gil_scoped_release release;
    result = trainer.run(args, flat);
  }
  if (signals.raised) {
    PyErr_Restore(signals.type, signals.value, signals.traceback);
    throw py::error_already_set();
  }
  const char* const names[] = {"ok", "interrupted", "diverged", "bad_input"};
  return py::make_tuple(to_array(result.totals), names[int(result.status)], result.bad_row);
}

// A gradient of fixed rows, and the arrays that it reads.
template <class T>
class GradientOfRows {
 public:
  GradientOfRows(std::shared_ptr<const Network<T>> net, In<T> params, py::array x, py::array y,
                 MaybeIn<T> weight, double scale, int threads)
      : net_(std::move(net)),
        params_(std::move(params)),
        x_(std::move(x)),
        y_(std::move(y)),
        weight_(std::move(weight)),
        gradient_(*net_, data_of<T>(x_, y_, weight_, scale), threads, true) {}

  double operator()(In<T>& grad) {
    const T* flat = params_.data();
    T* to = grad.mutable_data();
    py::gil_scoped_release release;
    return gradient_.compute(flat, to);
  }

 private:
  std::shared_ptr<const Network<T>> net_;
  In<T> params_;
  py::array x_, y_;
  MaybeIn<T> weight_;
  Gradient<T> gradient_;
};

template <class T>
void bind_dtype(py::module_& m, const std::string& suffix) {
  using namespace py::literals;
  using Net = Network<T>;

  py::class_<Net, std::shared_ptr<Net>>(m, ("Network" + suffix).c_str())
      .def(py::init(&make_network<T>), "sizes"_a, "activations"_a, "loss"_a, "loss_parameter"_a,
           "reduction"_a, "bias"_a, "dropout"_a, "isa"_a)
      .def(
          "choose_plan",
          [](const Net& net, ptrdiff_t n, ptrdiff_t batch_size, bool in_order, bool clips,
             int threads) {
            return plan_record(choose_plan(
                net, PlanRequest::for_training(n, batch_size, in_order, threads, clips, true)));
          },
          "n"_a, "batch_size"_a, "in_order"_a, "clips"_a, "threads"_a)
      .def(
          "fast_predict",
          [](std::shared_ptr<Net> net, In<T> params) {
            return FastCall<FastPredict<T>, 2>::make(
                new FastPredict<T>(std::move(net), std::move(params)), "predict");
          },
          "params"_a.noconvert())
      .def(
          "fast_gradient",
          [](std::shared_ptr<Net> net, In<T> params) -> py::object {
            if (!FastGradient<T>::suits(*net)) return py::none();
            return FastCall<FastGradient<T>, 4>::make(
                new FastGradient<T>(std::move(net), std::move(params)), "loss_and_grad");
          },
          "params"_a.noconvert())
      .def(
          "forward",
          [](const Net& net, const In<T>& params, const py::array& x, double scale, In<T>& out,
             int threads) {
            const Data<T> data = rows_of<T>(x, scale);
            const T* flat = params.data();
            T* to = out.mutable_data();
            py::gil_scoped_release release;
            predict(net, flat, data, to, threads);
          },
          "params"_a.noconvert(), "x"_a.noconvert(), "scale"_a, "out"_a.noconvert(), "threads"_a)
      .def(
          "evaluate",
          [](const Net& net, const In<T>& params, const py::array& x, const py::array& y,
             const MaybeIn<T>& weight, double scale, int threads) {
            const Data<T> data = data_of<T>(x, y, weight, scale);
            const T* flat = params.data();
            Totals totals;
            {
              py::gil_scoped_release release;
              totals = evaluate(net, flat, data, threads);
            }
            return to_array({totals});
          },
          "params"_a.noconvert(), "x"_a.noconvert(), "y"_a.noconvert(), "weight"_a.noconvert(),
          "scale"_a, "threads"_a)
      .def(
          "loss_and_grad",
          [](const Net& net, const In<T>& params, const py::array& x, const py::array& y,
             const MaybeIn<T>& weight, double scale, In<T>& grad, int threads) {
            const Data<T> data = data_of<T>(x, y, weight, scale);
            const T* flat = params.data();
            T* to = grad.mutable_data();
            py::gil_scoped_release release;
            return Gradient<T>(net, data, threads, false).compute(flat, to);
          },
          "params"_a.noconvert(), "x"_a.noconvert(), "y"_a.noconvert(), "weight"_a.noconvert(),
          "scale"_a, "grad"_a.noconvert(), "threads"_a);

  py::class_<GradientOfRows<T>>(m, ("Gradient" + suffix).c_str())
      .def(py::init<std::shared_ptr<Net>, In<T>, py::array, py::array, MaybeIn<T>, double, int>(),
           "network"_a, "params"_a.noconvert(), "x"_a.noconvert(), "y"_a.noconvert(),
           "weight"_a.noconvert(), "scale"_a, "threads"_a)
      .def("__call__", &GradientOfRows<T>::operator(), "grad"_a.noconvert());

  py::class_<Trainer<T>>(m, ("Trainer" + suffix).c_str())
      .def(py::init([](std::shared_ptr<Net> net, const std::string& rule, double momentum,
                       bool nesterov, double beta_1, double beta_2, double epsilon,
                       double weight_decay, double clip_norm, double clip_value,
                       bool scaled_velocity, bool epsilon_hat, bool epsilon_in_root) {
             OptimizerSpec o;
             o.rule = find_name<Rule>(kRuleNames, rule);
             o.momentum = momentum;
             o.nesterov = nesterov;
             o.beta_1 = beta_1;
             o.beta_2 = beta_2;
             o.epsilon = epsilon;
             o.weight_decay = weight_decay;
             o.clip_norm = clip_norm;
             o.clip_value = clip_value;
             o.scaled_velocity = scaled_velocity;
             o.epsilon_hat = epsilon_hat;
             o.epsilon_in_root = epsilon_in_root;
             return std::make_unique<Trainer<T>>(std::move(net), o);
           }),
           "network"_a, "rule"_a, py::kw_only(), "momentum"_a = 0.0, "nesterov"_a = false,
           "beta_1"_a = 0.0, "beta_2"_a = 0.0, "epsilon"_a = 0.0, "weight_decay"_a = 0.0,
           "clip_norm"_a = 0.0, "clip_value"_a = 0.0, "scaled_velocity"_a = false,
           "epsilon_hat"_a = false, "epsilon_in_root"_a = false)
      .def("run", &run_trainer<T>, "params"_a.noconvert(), "x"_a.noconvert(), "y"_a.noconvert(),
           "weight"_a.noconvert(), "scale"_a, "orders"_a.noconvert(),
           "learning_rates"_a.noconvert(), "batch_size"_a, "l2"_a, "l2_per_row"_a, "want_penalty"_a,
           "check_finite"_a, "want_metrics"_a, "threads"_a, "stop"_a.noconvert(),
           "dropout_keys"_a.noconvert(), "check_signals"_a)
      .def_property_readonly("steps", &Trainer<T>::steps)
      .def_property_readonly("plan",
                             [](const Trainer<T>& t) -> py::object {
                               if (!t.plan()) return py::none();
                               return plan_record(t.plan()->choice());
                             })
      .def(
          "get_moments",
          [](const Trainer<T>& t, In<T>& mean, In<T>& square) {
            t.get_moments(mean.mutable_data(), square.mutable_data());
          },
          "m"_a.noconvert(), "v"_a.noconvert())
      .def(
          "set_moments",
          [](Trainer<T>& t, int64_t steps, const In<T>& mean, const In<T>& square) {
            t.set_moments(steps, mean.data(), square.data());
          },
          "steps"_a, "m"_a.noconvert(), "v"_a.noconvert());

  m.def(("layer_forward" + suffix).c_str(),
        [](const In<T>& x, const In<T>& w, const MaybeIn<T>& b, const std::string& activation,
           In<T>& out, const std::string& isa, int threads) {
          layer_forward(kernels_of<T>(choose_kernels(isa)),
                        {x.data(), w.data(), b ? b->data() : nullptr, x.shape(0), x.shape(1),
                         w.shape(1), find_name<Activation>(kActivations, activation)},
                        out.mutable_data(), threads);
        },
        "x"_a.noconvert(), "w"_a.noconvert(), "b"_a.noconvert(), "activation"_a,
        "out"_a.noconvert(), "isa"_a, "threads"_a);
  m.def(("layer_backward" + suffix).c_str(),
        [](const In<T>& x, const In<T>& w, const In<T>& kept, const In<T>& grad_a,
           const std::string& activation, std::optional<In<T>>& dx, In<T>& dw, In<T>& db,
           const std::string& isa, int threads) {
          layer_backward(kernels_of<T>(choose_kernels(isa)),
                         {x.data(), w.data(), nullptr, x.shape(0), x.shape(1), w.shape(1),
                          find_name<Activation>(kActivations, activation)},
                         kept.data(), grad_a.data(), dx ? dx->mutable_data() : nullptr,
                         dw.mutable_data(), db.mutable_data(), threads);
        },
        "x"_a.noconvert(), "w"_a.noconvert(), "kept"_a.noconvert(), "grad_a"_a.noconvert(),
        "activation"_a, "dx"_a.noconvert(), "dw"_a.noconvert(), "db"_a.noconvert(), "isa"_a,
        "threads"_a);
}

}  // namespace
}  // namespace mlpfast

PYBIND11_MODULE(_core, m, py::mod_gil_not_used()) {
  using namespace mlpfast;
  m.doc() = "Compiled kernels and training loop of mlpfast.";
  m.def("isas", [] {
    std::vector<std::string> names;
    for (const KernelSet* set : usable_kernels()) names.push_back(set->name);
    return names;
  });
  m.def("choose_isa", [](const std::string& name) { return choose_kernels(name).name; });
  m.def("operations", [] {
    return std::map<std::string, std::vector<py::dict>>{{"activations", as_dicts(kActivations)},
                                                        {"losses", as_dicts(kLosses)},
                                                        {"updates", as_dicts(kUpdates)}};
  });
  m.def("assume_near_cores", &assume_near_cores, py::arg("answer"));
  bind_dtype<float>(m, "32");
  bind_dtype<double>(m, "64");
}
