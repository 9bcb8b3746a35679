"""The list of activations: what each is, what its backward pass keeps, and its formulas.

A new activation is one record here, one entry in ``backends/numpy.py`` and one in
``src/cpp/kernels/ops.hpp``, which carries the same facts for the compiled kernels; the tests hold
the two to each other.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

LEAKY_RELU_SLOPE = 0.01
ELU_ALPHA = 1.0
#: The constants of Klambauer et al. (2017), which keep activations at mean 0 and variance 1.
SELU_ALPHA = 1.6732632423543772
SELU_SCALE = 1.0507009873554805


@dataclass(frozen=True)
class Activation:
    """An activation function.

    The formulas are text for people which Python can compute, with exp, log, tanh, abs, erf, max
    and so on from the textbook; the tests evaluate them. z is a unit's weighted sum, a its output
    and g = dL/da the gradient that reaches it from above.

    Attributes
    ----------
    name : str
    output : str
        In z. For `whole_rows`, z and a without an index are those of all units of the layer.
    slope : str
        da/dz, in z, or in a where that is shorter.
    keeps_z : bool
        Whether the slope cannot be computed from a: the backward pass then keeps z.
    has_gradient : bool
        A net with an activation that has none can run but not learn.
    whole_rows : bool
        Whether an output depends on all units of the layer.
    delta : str
        dL/dz, in g and the above; derived from `slope` unless given.
    keras : tuple of str
        What Keras calls it.
    sklearn : str
        What scikit-learn's estimators call it; `name` unless given.
    """

    name: str
    output: str
    slope: str
    keeps_z: bool = False
    has_gradient: bool = True
    whole_rows: bool = False
    delta: str = ""
    keras: tuple[str, ...] = ()
    sklearn: str = ""

    def __post_init__(self) -> None:
        delta = "g" if self.slope == "1" else f"g * {self.slope}"
        object.__setattr__(self, "delta", self.delta or delta)
        object.__setattr__(self, "sklearn", self.sklearn or self.name)


_ELU_SCALE = f"{ELU_ALPHA:g} * " if ELU_ALPHA != 1 else ""
_SELU_LIMIT = SELU_SCALE * SELU_ALPHA
_TANH_SOFTPLUS = "tanh(log(1 + exp(z)))"
_NORMAL_CDF = "(1 + erf(z / sqrt(2))) / 2"

_LIST = (
    Activation("identity", "z", "1", keras=("linear",)),
    Activation("step", "1 if z > 0 else 0", "none", has_gradient=False),
    Activation(
        "sigmoid", "1 / (1 + exp(-z))", "a * (1 - a)", keras=("sigmoid",), sklearn="logistic"
    ),
    Activation("tanh", "tanh(z)", "(1 - a**2)", keras=("tanh",)),
    Activation("relu", "max(z, 0)", "(1 if z > 0 else 0)", keras=("relu",)),
    Activation(
        "leaky_relu",
        f"z if z > 0 else {LEAKY_RELU_SLOPE:g} * z",
        f"(1 if z > 0 else {LEAKY_RELU_SLOPE:g})",
    ),
    Activation(
        "elu",
        f"z if z > 0 else {_ELU_SCALE}(exp(z) - 1)",
        f"(1 if z > 0 else a + {ELU_ALPHA:g})",
        keras=("elu",),
    ),
    Activation(
        "selu",
        f"{SELU_SCALE} * z if z > 0 else {_SELU_LIMIT} * (exp(z) - 1)",
        f"({SELU_SCALE} if z > 0 else a + {_SELU_LIMIT})",
        keras=("selu",),
    ),
    Activation("softplus", "log(1 + exp(z))", "1 / (1 + exp(-z))", keras=("softplus",)),
    Activation(
        "silu",
        "z / (1 + exp(-z))",
        "(1 + z - a) / (1 + exp(-z))",
        keeps_z=True,
        keras=("silu", "swish"),
    ),
    Activation(
        "gelu",
        f"z * {_NORMAL_CDF}",
        f"({_NORMAL_CDF} + z * exp(-z**2 / 2) / sqrt(2 * pi))",
        keeps_z=True,
        keras=("gelu",),
    ),
    Activation(
        "mish",
        f"z * {_TANH_SOFTPLUS}",
        f"({_TANH_SOFTPLUS} + z * (1 - {_TANH_SOFTPLUS}**2) / (1 + exp(-z)))",
        keeps_z=True,
        keras=("mish",),
    ),
    Activation("exp", "exp(z)", "a", keras=("exponential",)),
    Activation(
        "softmax",
        "exp(z) / sum(exp(z))",
        "a * (1 - a), and -a_i * a_j of the others",
        whole_rows=True,
        delta="a * (g - sum(g * a))",
        keras=("softmax",),
    ),
)

#: Every activation by its name. The order is that of the compiled kernels' list.
ACTIVATION_RECORDS = MappingProxyType({record.name: record for record in _LIST})

#: The names of all activations.
ACTIVATIONS = tuple(ACTIVATION_RECORDS)

#: Activations whose derivative cannot be had from their output: the backward pass keeps the
#: pre-activation ``z = x @ w + b`` for them.
FROM_PREACTIVATION = frozenset(record.name for record in _LIST if record.keeps_z)

#: Activations that have no useful derivative: a net with one of them can run but not learn.
FORWARD_ONLY = frozenset(record.name for record in _LIST if not record.has_gradient)
