"""The list of losses: what each is, which outputs and targets it is for, and its formulas.

A new loss is one record here, one entry in ``backends/numpy.py`` and one in
``src/cpp/kernels/ops.hpp``, which carries the same facts for the compiled kernels; the tests hold
the two to each other.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias

from mlpfast.spec.checks import check_choice, check_real

#: How the losses of a batch's rows become one number: their mean, weighted by the sample weights;
#: their weighted sum; or that sum divided by the number of rows (Keras' ``sum_over_batch_size``),
#: where the weights are factors of the loss alone and other figures are not weighted.
REDUCTIONS = ("mean", "sum", "mean_over_rows")

#: Keeps the logarithm of the Poisson loss finite where the output is 0 (Keras' value).
POISSON_EPSILON = 1e-7


@dataclass(frozen=True)
class Huber:
    """The loss of Huber (1964): ``1/2 e^2`` up to ``abs(e) = delta``, a line from there on.

    The mean over outputs, with e = o - t, of ``1/2 e^2`` or ``delta (abs(e) - delta / 2)``.

    Parameters
    ----------
    delta : float > 0, default 1
    """

    delta: float = 1.0

    def __post_init__(self) -> None:
        check_real("delta", self.delta, low=0.0, open_low=True)

    @property
    def parameter(self) -> float:
        """The delta, as `NetSpec` keeps it."""
        return float(self.delta)


@dataclass(frozen=True)
class Quantile:
    """The pinball loss of Koenker and Bassett (1978), least where o is that quantile of t.

    The mean over outputs, with e = o - t, of ``(1 - quantile) e`` above the target and of
    ``-quantile e`` below it. A quantile of 0.5 is half the absolute error.

    Parameters
    ----------
    quantile : float in (0, 1), default 0.5
    """

    quantile: float = 0.5

    def __post_init__(self) -> None:
        check_real("quantile", self.quantile, low=0.0, high=1.0, open_low=True, open_high=True)

    @property
    def parameter(self) -> float:
        """The quantile, as `NetSpec` keeps it."""
        return float(self.quantile)


@dataclass(frozen=True)
class LossRecord:
    """What there is to know about a loss.

    The formulas are text for people which Python can compute; the tests evaluate them. o and t are
    the outputs and targets of a row, n the number of outputs.

    Attributes
    ----------
    name : str
    value : str
        Loss of a row, in all of its outputs and targets.
    gradient : str
        dL/do of one output, in one o and t.
    logits_output : str, optional
        Output activation with which loss and delta are computed from the logits z.
    logits_delta : str
        dL/dz of that pair: the slope of the activation cancels against the gradient of the loss.
    logits_value : str
        Loss of that pair; `value` unless given.
    needs_output : bool
        Whether `logits_output` is the only output activation that makes sense.
    low, high : float
        Range of the targets.
    parameter : type, optional
        `Huber` or the like, whose instances carry the parameter of the loss.
    symbol : str
        What the formulas call the parameter.
    keras : str
        The class in Keras, where it is a function of outputs and targets without options.
    sklearn : str
        What `MLPRegressor` calls it, if it has it.
    """

    name: str
    value: str
    gradient: str
    logits_output: str | None = None
    logits_delta: str = ""
    logits_value: str = ""
    needs_output: bool = False
    low: float = -math.inf
    high: float = math.inf
    parameter: type[Huber | Quantile] | None = None
    symbol: str = ""
    keras: str = ""
    sklearn: str = ""

    @property
    def required_output(self) -> str | None:
        """The only output activation that makes sense with it, if there is one."""
        return self.logits_output if self.needs_output else None


_LOG_LIKELIHOOD = "t * log(o) + (1 - t) * log(1 - o)"

_LIST = (
    LossRecord("mse", "sum((o - t)**2) / n", "2 * (o - t) / n", keras="MeanSquaredError"),
    LossRecord("squared_error", "sum((o - t)**2) / 2", "o - t", sklearn="squared_error"),
    LossRecord(
        "mae",
        "sum(abs(o - t)) / n",
        "sign(o - t) / n",
        keras="MeanAbsoluteError",
        sklearn="absolute_error",
    ),
    LossRecord(
        "huber",
        "sum(where(abs(o - t) <= c, (o - t)**2 / 2, c * (abs(o - t) - c / 2))) / n",
        "clip(o - t, -c, c) / n",
        parameter=Huber,
        symbol="c",
        sklearn="huber",
    ),
    LossRecord(
        "log_cosh",
        "sum(log(cosh(o - t))) / n",
        "tanh(o - t) / n",
        keras="LogCosh",
        sklearn="log_cosh",
    ),
    LossRecord(
        "quantile",
        "sum(where(o > t, (1 - q) * (o - t), q * (t - o))) / n",
        "where(o > t, 1 - q, where(o < t, -q, 0)) / n",
        parameter=Quantile,
        symbol="q",
        sklearn="quantile",
    ),
    LossRecord(
        "binary_crossentropy",
        f"-sum({_LOG_LIKELIHOOD}) / n",
        "(o - t) / (o * (1 - o)) / n",
        logits_output="sigmoid",
        logits_delta="(o - t) / n",
        needs_output=True,
        low=0.0,
        high=1.0,
    ),
    LossRecord(
        "categorical_crossentropy",
        "-sum(t * log(o))",
        "-t / o",
        logits_output="softmax",
        logits_delta="o * sum(t) - t",
        needs_output=True,
        low=0.0,
    ),
    LossRecord(
        "poisson",
        f"sum(o - t * log(o + {POISSON_EPSILON:g})) / n",
        f"(1 - t / (o + {POISSON_EPSILON:g})) / n",
        logits_output="exp",
        logits_delta="(o - t) / n",
        logits_value="sum(o - t * log(o)) / n",
        low=0.0,
        keras="Poisson",
    ),
    LossRecord(
        "binary_log_loss",
        f"-sum({_LOG_LIKELIHOOD})",
        "(o - t) / (o * (1 - o))",
        logits_output="sigmoid",
        logits_delta="o - t",
        needs_output=True,
        low=0.0,
        high=1.0,
    ),
    LossRecord(
        "log_loss",
        "-sum(t * log(o))",
        "-t / o",
        logits_output="softmax",
        logits_delta="o * sum(t) - t",
        needs_output=True,
        low=0.0,
    ),
    LossRecord(
        "poisson_deviance",
        "sum(t * log(t / o) - t + o)",
        "1 - t / o",
        logits_output="exp",
        logits_delta="o - t",
        needs_output=True,
        low=0.0,
        sklearn="poisson",
    ),
)

#: Every loss by its name. The order is that of the compiled kernels' list.
LOSS_RECORDS = MappingProxyType({record.name: record for record in _LIST})

#: The names of all losses.
LOSSES = tuple(LOSS_RECORDS)

#: Pairs of loss and output activation whose loss and delta are computed from the logits z.
FROM_LOGITS = frozenset(
    (record.name, record.logits_output) for record in _LIST if record.logits_output
)

#: The only output activation that makes sense with these losses.
REQUIRED_OUTPUT = {
    record.name: record.required_output for record in _LIST if record.required_output
}

#: The losses that have a parameter.
PARAMETRIC_LOSSES: dict[str, type[Huber | Quantile]] = {
    record.name: record.parameter for record in _LIST if record.parameter
}

#: A loss as a user writes it: a name of `LOSSES`, or one with its parameter.
Loss: TypeAlias = str | Huber | Quantile


def split_loss(loss: Loss) -> tuple[str, float | None]:
    """Return the name of a loss, and its parameter if one is given."""
    if isinstance(loss, Huber | Quantile):
        return type(loss).__name__.lower(), loss.parameter
    return check_choice("loss", loss, LOSSES), None
