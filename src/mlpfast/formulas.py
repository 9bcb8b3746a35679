"""The formulas behind every activation and loss, as text for people that the tests evaluate.

They are written so that Python can compute them, with exp, log, tanh, abs, erf, max, sum, sign and
so on from the textbook: tests/test_explain.py holds each of them to the NumPy backend. z is a
unit's weighted sum, a its output, g the gradient that reaches a from above, o and t an output and
its target, n the number of outputs, L the loss of a row.
"""

from __future__ import annotations

from typing import NamedTuple

from mlpfast.spec import ELU_ALPHA, LEAKY_RELU_SLOPE, POISSON_EPSILON, NetSpec


class ActivationFormula(NamedTuple):
    """An activation: its output, its slope da/dz and delta = dL/dz.

    Attributes
    ----------
    output, slope : str
        In z, and in the output a where that is shorter. In softmax, z and a without an index are
        all units' together.
    delta : str
        In g = dL/da and the above.
    """

    output: str
    slope: str
    delta: str


class LossFormula(NamedTuple):
    """A loss: its value on a row and its gradient by an output.

    Attributes
    ----------
    value, gradient : str
        In all outputs o and targets t of a row, and in a single pair.
    """

    value: str
    gradient: str


def _unit(output: str, slope: str) -> ActivationFormula:
    return ActivationFormula(output, slope, "g" if slope == "1" else f"g * {slope}")


_BELOW = f"{ELU_ALPHA:g} * " if ELU_ALPHA != 1 else ""
_CDF = "(1 + erf(z / sqrt(2))) / 2"

ACTIVATION_FORMULAS: dict[str, ActivationFormula] = {
    "identity": _unit("z", "1"),
    "step": _unit("1 if z > 0 else 0", "none"),
    "sigmoid": _unit("1 / (1 + exp(-z))", "a * (1 - a)"),
    "tanh": _unit("tanh(z)", "(1 - a**2)"),
    "relu": _unit("max(z, 0)", "(1 if z > 0 else 0)"),
    "leaky_relu": _unit(
        f"z if z > 0 else {LEAKY_RELU_SLOPE:g} * z", f"(1 if z > 0 else {LEAKY_RELU_SLOPE:g})"
    ),
    "elu": _unit(f"z if z > 0 else {_BELOW}(exp(z) - 1)", f"(1 if z > 0 else a + {ELU_ALPHA:g})"),
    "softplus": _unit("log(1 + exp(z))", "1 / (1 + exp(-z))"),
    "silu": _unit("z / (1 + exp(-z))", "(1 + z - a) / (1 + exp(-z))"),
    "gelu": _unit(f"z * {_CDF}", f"({_CDF} + z * exp(-z**2 / 2) / sqrt(2 * pi))"),
    "exp": _unit("exp(z)", "a"),
    "softmax": ActivationFormula(
        "exp(z) / sum(exp(z))", "a * (1 - a), and -a_i * a_j of the others", "a * (g - sum(g * a))"
    ),
}

LOSS_FORMULAS: dict[str, LossFormula] = {
    "mse": LossFormula("sum((o - t)**2) / n", "2 * (o - t) / n"),
    "squared_error": LossFormula("sum((o - t)**2) / 2", "o - t"),
    "mae": LossFormula("sum(abs(o - t)) / n", "sign(o - t) / n"),
    "huber": LossFormula(
        "sum(where(abs(o - t) <= c, (o - t)**2 / 2, c * (abs(o - t) - c / 2))) / n",
        "clip(o - t, -c, c) / n",
    ),
    "quantile": LossFormula(
        "sum(where(o > t, (1 - q) * (o - t), q * (t - o))) / n",
        "where(o > t, 1 - q, where(o < t, -q, 0)) / n",
    ),
    "binary_crossentropy": LossFormula(
        "-sum(t * log(o) + (1 - t) * log(1 - o)) / n", "(o - t) / (o * (1 - o)) / n"
    ),
    "categorical_crossentropy": LossFormula("-sum(t * log(o))", "-t / o"),
    "poisson": LossFormula(
        f"sum(o - t * log(o + {POISSON_EPSILON:g})) / n", f"(1 - t / (o + {POISSON_EPSILON:g})) / n"
    ),
    "binary_log_loss": LossFormula(
        "-sum(t * log(o) + (1 - t) * log(1 - o))", "(o - t) / (o * (1 - o))"
    ),
    "log_loss": LossFormula("-sum(t * log(o))", "-t / o"),
    "poisson_deviance": LossFormula("sum(t * log(t / o) - t + o)", "1 - t / o"),
}

#: delta of the output layer for the pairs whose loss is computed from the logits: the slope of the
#: activation cancels against the gradient of the loss.
DELTA_FROM_LOGITS: dict[str, str] = {
    "binary_crossentropy": "(o - t) / n",
    "categorical_crossentropy": "o * sum(t) - t",
    "poisson": "(o - t) / n",
    "binary_log_loss": "o - t",
    "log_loss": "o * sum(t) - t",
    "poisson_deviance": "o - t",
}

#: What a parametric loss calls its parameter above.
PARAMETER_NAMES = {"huber": "c", "quantile": "q"}


def loss_text(spec: NetSpec) -> str:
    """Return the formula of the net's loss on a row, with the value of its parameter."""
    text = LOSS_FORMULAS[spec.loss].value
    if spec.loss == "poisson" and spec.loss_from_logits:
        text = "sum(o - t * log(o)) / n"
    if spec.loss in PARAMETER_NAMES:
        text += f", {PARAMETER_NAMES[spec.loss]} = {spec.loss_parameter:g}"
    return text


def output_delta_text(spec: NetSpec) -> str:
    """Return the formula of delta in the output layer."""
    if spec.loss_from_logits:
        return DELTA_FROM_LOGITS[spec.loss]
    delta = ACTIVATION_FORMULAS[spec.activations[-1]].delta
    return f"{delta}, g = dL/do = {LOSS_FORMULAS[spec.loss].gradient}"


def hidden_delta_text(name: str) -> str:
    """Return the formula of delta in a hidden layer: backpropagation."""
    return f"{ACTIVATION_FORMULAS[name].delta}, g = sum(weight above * delta above)"
