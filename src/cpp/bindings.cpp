// The Python module: casts, and the release of the GIL; no arithmetic and no validation.
#include <map>

#include "core/gradient.hpp"
#include "core/layer.hpp"
#include "core/runner.hpp"
#include "core/trainer.hpp"
#include "fast_gradient.hpp"
#include "fast_predict.hpp"
#include "isa/dispatch.hpp"
#include "records.hpp"

namespace py = pybind11;

namespace mlpfast {
namespace {

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

// An optimizer of spec/optimizers.py. Each has some of these fields.
OptimizerSpec optimizer_of(const Record& record) {
  OptimizerSpec o;
  o.rule = find_name<Rule>(kRuleNames, record.as<std::string>("name"));
  o.momentum = record.number<double>("momentum");
  o.nesterov = record.number<bool>("nesterov");
  o.beta_1 = record.number<double>("beta_1");
  o.beta_2 = record.number<double>(o.rule == Rule::rmsprop ? "rho" : "beta_2");
  o.epsilon = record.number<double>("epsilon");
  o.weight_decay = record.number<double>("weight_decay");
  o.clip_norm = record.number<double>("clip_norm");
  o.clip_value = record.number<double>("clip_value");
  o.scaled_velocity = record.number<bool>("scaled_velocity");
  o.epsilon_hat = record.number<bool>("epsilon_hat");
  o.epsilon_in_root = record.number<bool>("epsilon_in_root");
  return o;
}

py::array_t<double> to_array(const std::vector<Totals>& totals) {
  py::array_t<double> result({py::ssize_t(totals.size()), py::ssize_t(6)});
  double* p = result.mutable_data();
  for (const Totals& t : totals)
    for (double value : {t.loss, t.weight, t.correct, t.squared_error, t.absolute_error, t.penalty})
      *p++ = value;
  return result;
}

// Lets Python run its signal handlers; an exception from one of them ends the run and is raised
// after it.
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
py::tuple run_trainer(Trainer<T>& trainer, In<T>& params, const py::object& data,
                      const py::object& epochs, const py::object& options, int threads,
                      bool check_signals) {
  RunRecords<T> records(Record(data), Record(epochs), Record(options), threads);
  RunArgs<T>& args = records.args;
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
  GradientOfRows(std::shared_ptr<const Network<T>> net, In<T> params, const py::object& data,
                 int threads)
      : net_(std::move(net)),
        params_(std::move(params)),
        rows_(Record(data)),
        gradient_(*net_, rows_.data, threads, true) {}

  double operator()(In<T>& grad) {
    const T* flat = params_.data();
    T* to = grad.mutable_data();
    py::gil_scoped_release release;
    return gradient_.compute(flat, to);
  }

 private:
  std::shared_ptr<const Network<T>> net_;
  In<T> params_;
  DataRecord<T> rows_;
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
          [](const Net& net, const py::object& request, int threads) {
            const Record r(request);
            return plan_record(
                choose_plan(net, PlanRequest::for_training(r.count("n_rows"), r.count("batch_size"),
                                                           !r.as<bool>("shuffled"), threads,
                                                           r.as<bool>("clips"), true)));
          },
          "request"_a, "threads"_a)
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
          [](const Net& net, const In<T>& params, const py::object& data, int threads) {
            const DataRecord<T> rows{Record(data)};
            const T* flat = params.data();
            Totals totals;
            {
              py::gil_scoped_release release;
              totals = evaluate(net, flat, rows.data, threads);
            }
            return to_array({totals});
          },
          "params"_a.noconvert(), "data"_a, "threads"_a)
      .def(
          "loss_and_grad",
          [](const Net& net, const In<T>& params, const py::object& data, In<T>& grad,
             int threads) {
            const DataRecord<T> rows{Record(data)};
            const T* flat = params.data();
            T* to = grad.mutable_data();
            py::gil_scoped_release release;
            return Gradient<T>(net, rows.data, threads, false).compute(flat, to);
          },
          "params"_a.noconvert(), "data"_a, "grad"_a.noconvert(), "threads"_a);

  py::class_<GradientOfRows<T>>(m, ("Gradient" + suffix).c_str())
      .def(py::init<std::shared_ptr<Net>, In<T>, const py::object&, int>(), "network"_a,
           "params"_a.noconvert(), "data"_a, "threads"_a)
      .def("__call__", &GradientOfRows<T>::operator(), "grad"_a.noconvert());

  py::class_<Trainer<T>>(m, ("Trainer" + suffix).c_str())
      .def(py::init([](std::shared_ptr<Net> net, const py::object& optimizer) {
             return std::make_unique<Trainer<T>>(std::move(net), optimizer_of(Record(optimizer)));
           }),
           "network"_a, "optimizer"_a)
      .def("run", &run_trainer<T>, "params"_a.noconvert(), "data"_a, "epochs"_a, "options"_a,
           "threads"_a, "check_signals"_a)
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
