"""What a net, its loss and its optimizer are: frozen descriptions, checked when they are made.

Everything here is plain data. A backend receives a :class:`NetSpec` and an optimizer and may rely
on every field being valid, so that no backend checks anything twice.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cache, cached_property
from typing import Any, NamedTuple, TypeAlias

import numpy as np

ACTIVATIONS = (
    "identity",
    "step",
    "sigmoid",
    "tanh",
    "relu",
    "leaky_relu",
    "elu",
    "softplus",
    "silu",
    "gelu",
    "exp",
    "softmax",
)

#: Activations whose derivative cannot be had from their output: the backward pass keeps the
#: pre-activation ``z = x @ w + b`` for them.
FROM_PREACTIVATION = frozenset({"silu", "gelu"})

#: Activations that have no useful derivative: a net with one of them can run but not learn.
FORWARD_ONLY = frozenset({"step"})

LOSSES = (
    "mse",
    "squared_error",
    "mae",
    "huber",
    "quantile",
    "binary_crossentropy",
    "categorical_crossentropy",
    "poisson",
    "binary_log_loss",
    "log_loss",
    "poisson_deviance",
)

#: How the losses of a batch's rows become one number: their mean, weighted by the sample weights;
#: their weighted sum; or that sum divided by the number of rows (Keras' ``sum_over_batch_size``),
#: where the weights are factors of the loss alone and other figures are not weighted.
REDUCTIONS = ("mean", "sum", "mean_over_rows")

#: Pairs of loss and output activation whose loss and delta are computed from the logits z.
FROM_LOGITS = frozenset(
    {
        ("binary_crossentropy", "sigmoid"),
        ("categorical_crossentropy", "softmax"),
        ("poisson", "exp"),
        ("binary_log_loss", "sigmoid"),
        ("log_loss", "softmax"),
        ("poisson_deviance", "exp"),
    }
)

#: The only output activation that makes sense with these losses.
REQUIRED_OUTPUT = {
    "binary_crossentropy": "sigmoid",
    "categorical_crossentropy": "softmax",
    "binary_log_loss": "sigmoid",
    "log_loss": "softmax",
    "poisson_deviance": "exp",
}

LEAKY_RELU_SLOPE = 0.01
ELU_ALPHA = 1.0
#: Keeps the logarithm of the Poisson loss finite where the output is 0 (Keras' value).
POISSON_EPSILON = 1e-7

#: A learning rate: a number, or a function from the epoch (0, 1, ...) to a number; or from the
#: number of updates made so far, if its attribute ``per_step`` is true (`schedules.PerStep`).
LearningRate: TypeAlias = float | Callable[[int], float]


def check_choice(name: str, value: object, choices: Sequence[str]) -> str:
    """Return `value` if it is one of `choices`, else raise an error that lists them."""
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a string, got {type(value).__name__}")
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}; got {value!r}")
    return value


def check_int(name: str, value: object, minimum: int) -> int:
    """Return `value` as an int if it is an integer of at least `minimum`."""
    if type(value) is int:
        pass  # the short way for what nearly everybody gives
    elif isinstance(value, bool | np.bool_) or not isinstance(value, numbers.Integral):
        raise TypeError(f"{name} must be an integer, got {value!r} ({type(value).__name__})")
    if value < minimum:
        raise ValueError(f"{name} must be at least {minimum}, got {value}")
    return int(value)


def check_real(
    name: str,
    value: object,
    *,
    low: float = -math.inf,
    high: float = math.inf,
    open_low: bool = False,
    open_high: bool = False,
) -> float:
    """Return `value` as a float if it is a finite real number in the interval low..high."""
    if type(value) is float:
        pass
    elif isinstance(value, bool | np.bool_) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name} must be a number, got {value!r} ({type(value).__name__})")
    number = float(value)
    below = number <= low if open_low else number < low
    above = number >= high if open_high else number > high
    if not math.isfinite(number) or below or above:
        left, right = "[("[open_low], "])"[open_high]
        raise ValueError(f"{name} must be in {left}{low:g}, {high:g}{right}, got {value!r}")
    return number


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


#: The losses that have a parameter.
PARAMETRIC_LOSSES: dict[str, type[Huber | Quantile]] = {"huber": Huber, "quantile": Quantile}

#: A loss as a user writes it: a name of `LOSSES`, or one with its parameter.
Loss: TypeAlias = str | Huber | Quantile


def split_loss(loss: Loss) -> tuple[str, float | None]:
    """Return the name of a loss, and its parameter if one is given."""
    if isinstance(loss, Huber | Quantile):
        return type(loss).__name__.lower(), loss.parameter
    return check_choice("loss", loss, LOSSES), None


class LayerSlices(NamedTuple):
    """Where one layer lies in the flat parameter buffer."""

    w: slice
    b: slice
    shape: tuple[int, int]


@dataclass(frozen=True)
class NetSpec:
    """A chain of dense layers and the loss that trains it.

    Parameters
    ----------
    sizes : tuple of int
        Units of every layer, inputs first: ``(n_in, hidden..., n_out)``.
    activations : tuple of str
        One a layer, the output layer's last; ``len(sizes) - 1`` names of `ACTIVATIONS`.
    loss, reduction : str
        A name of `LOSSES` and one of `REDUCTIONS`.
    dtype : str
        ``"float32"`` or ``"float64"``.
    bias : bool
        Whether the layers have biases.
    loss_parameter : float, optional
        The delta of "huber", the quantile of "quantile"; None stands for the default of `Huber`
        and `Quantile`. Other losses have none.
    dropout : tuple of float in [0, 1)
        Shares of the inputs of every layer that training drops: of the net's inputs first, then
        of each hidden layer's outputs. Empty for none.
    """

    sizes: tuple[int, ...]
    activations: tuple[str, ...]
    loss: str = "mse"
    reduction: str = "mean"
    dtype: str = "float32"
    bias: bool = True
    loss_parameter: float | None = None
    dropout: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if len(self.sizes) < 2:
            raise ValueError(
                f"layer_sizes must name at least the inputs and the outputs, got {list(self.sizes)}"
            )
        for i, size in enumerate(self.sizes):
            check_int(f"layer_sizes[{i}]", size, 1)
        if len(self.activations) != len(self.sizes) - 1:
            raise ValueError(
                f"activation must be one name or one a hidden layer ({len(self.sizes) - 2}), "
                f"got {len(self.activations) - 1}"
            )
        for name in self.activations[:-1]:
            check_choice("activation", name, ACTIVATIONS)
        check_choice("output_activation", self.activations[-1], ACTIVATIONS)
        check_choice("loss", self.loss, LOSSES)
        self._set_loss_parameter()
        check_choice("reduction", self.reduction, REDUCTIONS)
        check_choice("dtype", self.dtype, ("float32", "float64"))
        if not isinstance(self.bias, bool):
            raise TypeError(f"bias must be True or False, got {self.bias!r}")
        self._set_dropout()
        required = REQUIRED_OUTPUT.get(self.loss)
        if required and self.activations[-1] != required:
            raise ValueError(
                f"loss={self.loss!r} is computed from the logits of a {required} output: set "
                f"output_activation={required!r} (got {self.activations[-1]!r})"
            )

    def _set_loss_parameter(self) -> None:
        kind, given = PARAMETRIC_LOSSES.get(self.loss), self.loss_parameter
        if kind is not None:
            loss = kind() if given is None else kind(given)
            object.__setattr__(self, "loss_parameter", loss.parameter)  # frozen but for this
        elif given is not None:
            raise ValueError(
                f"loss_parameter is for {' and '.join(PARAMETRIC_LOSSES)}, got {given!r} with "
                f"loss={self.loss!r}"
            )

    def _set_dropout(self) -> None:
        if not isinstance(self.dropout, tuple) or len(self.dropout) not in (0, self.n_layers):
            raise ValueError(
                f"dropout must be empty or a tuple of one rate a layer ({self.n_layers}), got "
                f"{self.dropout!r}"
            )
        rates = tuple(_check_rate("dropout", rate) for rate in self.dropout)
        # One way to say that nothing is dropped.
        object.__setattr__(self, "dropout", rates if any(rates) else ())

    @classmethod
    def create(
        cls,
        layer_sizes: Sequence[int],
        activation: str | Sequence[str] = "relu",
        output_activation: str = "identity",
        loss: Loss = "mse",
        reduction: str = "mean",
        dtype: Any = "float32",
        bias: bool = True,
        dropout: float | Sequence[float] = 0.0,
        input_dropout: float = 0.0,
    ) -> NetSpec:
        """Make a spec from what a user writes.

        Activation and dropout are one for all hidden layers or a list.
        """
        if isinstance(layer_sizes, str) or not isinstance(layer_sizes, Sequence | np.ndarray):
            raise TypeError(
                f"layer_sizes must be a list of integers, got {type(layer_sizes).__name__}"
            )
        sizes = tuple(check_int(f"layer_sizes[{i}]", s, 1) for i, s in enumerate(layer_sizes))
        if isinstance(activation, str):
            hidden = (activation,) * max(len(sizes) - 2, 0)
            if not hidden:  # a single layer has no use for it, but a typo is still a typo
                check_choice("activation", activation, ACTIVATIONS)
        elif isinstance(activation, Sequence):
            hidden = tuple(activation)
        else:
            raise TypeError(
                f"activation must be a name or a list of names, got {type(activation).__name__}"
            )
        try:
            dtype_name = np.dtype(dtype).name
        except TypeError:
            dtype_name = dtype
        name, parameter = split_loss(loss)
        return cls(
            sizes,
            (*hidden, output_activation),
            name,
            reduction,
            dtype_name,
            bias,
            parameter,
            _rates(sizes, dropout, input_dropout),
        )

    @property
    def n_in(self) -> int:
        """Number of inputs."""
        return self.sizes[0]

    @property
    def n_out(self) -> int:
        """Number of outputs."""
        return self.sizes[-1]

    @property
    def n_layers(self) -> int:
        """Number of dense layers (weight matrices)."""
        return len(self.sizes) - 1

    @cached_property
    def n_params(self) -> int:
        """Number of parameters, weights and biases."""
        return sum((i + self.bias) * o for i, o in zip(self.sizes, self.sizes[1:], strict=False))

    @property
    def loss_from_logits(self) -> bool:
        """Whether loss and output activation form a pair that is computed from the logits."""
        return (self.loss, self.activations[-1]) in FROM_LOGITS

    @property
    def loss_label(self) -> str:
        """The loss as a person reads it, with its parameter."""
        return self.loss if self.loss_parameter is None else f"{self.loss}({self.loss_parameter:g})"

    @cached_property
    def without_dropout(self) -> NetSpec:
        """The net as it predicts."""
        return replace(self, dropout=()) if self.dropout else self

    @cached_property
    def trainable(self) -> bool:
        """Whether every activation has a derivative."""
        return not FORWARD_ONLY.intersection(self.activations)

    def layers(self) -> Iterator[LayerSlices]:
        """Yield where each layer's W (n_in, n_out), row-major, and b lie in the flat buffer."""
        start = 0
        for n_in, n_out in zip(self.sizes, self.sizes[1:], strict=False):
            middle = start + n_in * n_out
            stop = middle + (n_out if self.bias else 0)
            yield LayerSlices(slice(start, middle), slice(middle, stop), (n_in, n_out))
            start = stop

    def unflatten(self, flat: np.ndarray) -> list[tuple[np.ndarray, np.ndarray | None]]:
        """Return ``[(W, b), ...]``, views into a flat (n_params,) array; b is None without bias."""
        return [
            (flat[s.w].reshape(s.shape), flat[s.b] if self.bias else None) for s in self.layers()
        ]


def _check_rate(name: str, value: object) -> float:
    return check_real(name, value, low=0.0, high=1.0, open_high=True)


def _rates(
    sizes: Sequence[int], dropout: float | Sequence[float], input_dropout: float
) -> tuple[float, ...]:
    """Return the rate of each layer's inputs."""
    n_hidden = max(len(sizes) - 2, 0)
    first = _check_rate("input_dropout", input_dropout)
    if isinstance(dropout, Sequence | np.ndarray) and not isinstance(dropout, str):
        if len(dropout) != n_hidden:
            raise ValueError(
                f"dropout must be one rate or one a hidden layer ({n_hidden}), got {len(dropout)}"
            )
        rates = [_check_rate(f"dropout[{i}]", rate) for i, rate in enumerate(dropout)]
    else:
        rates = [_check_rate("dropout", dropout)] * n_hidden
    return (first, *rates) if len(sizes) > 1 else ()


_SWITCHES = ("nesterov", "scaled_velocity", "epsilon_hat", "epsilon_in_root")


@dataclass(frozen=True)
class Optimizer:
    """Base of the optimizers: how a gradient becomes a step.

    Subclasses are frozen descriptions; the moments live in the trainer of a backend.

    Every optimizer can clip the gradient of a batch before it takes it in, the l2 term included,
    a weight decay of its own not:

    clip_norm : float > 0, optional
        Where the Euclidean norm of the gradient by all parameters is larger, the gradient is
        scaled to it (Pascanu et al., 2013; Keras' ``global_clipnorm``).
    clip_value : float > 0, optional
        Each element is brought to within plus and minus this (Keras' ``clipvalue``). One of the
        two at most.
    """

    learning_rate: LearningRate
    clip_norm: float | None = field(default=None, kw_only=True)
    clip_value: float | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        if not callable(self.learning_rate):
            check_real("learning_rate", self.learning_rate, low=0.0)
        for each in fields(self):
            value = getattr(self, each.name)
            if each.name in ("momentum", "beta_1", "beta_2", "rho"):
                # A velocity that holds the learning rate may be kept whole.
                kept = getattr(self, "scaled_velocity", False) and each.name == "momentum"
                check_real(each.name, value, low=0.0, high=1.0, open_high=not kept)
            elif each.name == "epsilon" or (each.name.startswith("clip_") and value is not None):
                check_real(each.name, value, low=0.0, open_low=True)
            elif each.name == "weight_decay":
                check_real(each.name, value, low=0.0)
            elif each.name in _SWITCHES and not isinstance(value, bool):
                raise TypeError(f"{each.name} must be True or False, got {value!r}")
        if self.clip_norm is not None and self.clip_value is not None:
            raise ValueError(
                f"only one of clip_norm and clip_value may be given, got {self.clip_norm} and "
                f"{self.clip_value}"
            )

    @property
    def clips(self) -> bool:
        """Whether gradients are clipped."""
        return self.clip_norm is not None or self.clip_value is not None

    @property
    def name(self) -> str:
        """Name of the rule, as `fit` takes it."""
        return type(self).__name__.lower()

    @cached_property
    def rule(self) -> tuple[Any, ...]:
        """All but the learning rate: two optimizers with one rule can share their moments."""
        rest = (getattr(self, f.name) for f in fields(self) if f.name != "learning_rate")
        return (self.name, *rest)

    @property
    def per_step(self) -> bool:
        """Whether the learning rate is a function of the step, not of the epoch."""
        return bool(getattr(self.learning_rate, "per_step", False))

    def learning_rate_at(self, epoch: int) -> float:
        """Learning rate of the given epoch (counted from 0 within a fit), or step if `per_step`."""
        rate = self.learning_rate
        if not callable(rate):
            return float(rate)
        return check_real(f"learning_rate({epoch})", rate(epoch), low=0.0)


@dataclass(frozen=True)
class SGD(Optimizer):
    """Stochastic gradient descent with optional (Nesterov) momentum.

    ``v = momentum * v + g``; ``w -= lr * v``, or with Nesterov's look-ahead
    ``w -= lr * (g + momentum * v)`` (Sutskever et al., 2013, in PyTorch's form).

    Parameters
    ----------
    learning_rate : float or callable, default 0.01
        Step size, or a schedule ``epoch -> step size``.
    momentum : float in [0, 1), default 0
    nesterov : bool, default False
        Needs a momentum above 0.
    scaled_velocity : bool, default False
        Keep the learning rate inside the velocity, ``v = momentum * v - lr * g``; ``w += v``, or
        ``w += momentum * v - lr * g``, as Sutskever et al., Keras and scikit-learn do. It is the
        same as long as the rate stays the same. The momentum may then be 1.
    clip_norm, clip_value : float > 0, optional
        See `Optimizer`; so have all the others.
    """

    learning_rate: LearningRate = 0.01
    momentum: float = 0.0
    nesterov: bool = False
    scaled_velocity: bool = field(default=False, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.nesterov and self.momentum == 0.0:
            raise ValueError("nesterov=True needs momentum > 0, got momentum=0.0")


@dataclass(frozen=True)
class Adam(Optimizer):
    """Adam (Kingma and Ba, 2015, algorithm 1).

    ``m = beta_1 m + (1 - beta_1) g``; ``v = beta_2 v + (1 - beta_2) g^2``;
    ``w -= lr * (m / (1 - beta_1^t)) / (sqrt(v / (1 - beta_2^t)) + epsilon)``.

    Parameters
    ----------
    learning_rate : float or callable, default 0.001
    beta_1, beta_2 : float in [0, 1), default 0.9 and 0.999
    epsilon : float > 0, default 1e-8
    epsilon_hat : bool, default False
        Whether epsilon is what section 2 of the paper calls epsilon hat, added to ``sqrt(v)``
        before the bias of v is corrected,
        ``w -= lr sqrt(1 - beta_2^t) / (1 - beta_1^t) m / (sqrt(v) + epsilon)``, as in Keras and
        scikit-learn.
    """

    learning_rate: LearningRate = 0.001
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-8
    epsilon_hat: bool = field(default=False, kw_only=True)


@dataclass(frozen=True)
class AdamW(Optimizer):
    """Adam with decoupled weight decay (Loshchilov and Hutter, 2019).

    Every parameter, biases included, is first shrunk by ``w -= lr * weight_decay * w`` (as
    PyTorch does), then moved as by :class:`Adam`.
    """

    learning_rate: LearningRate = 0.001
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-8
    weight_decay: float = 0.01
    epsilon_hat: bool = field(default=False, kw_only=True)


@dataclass(frozen=True)
class RMSprop(Optimizer):
    """RMSprop (Tieleman and Hinton, 2012; PyTorch's form).

    ``v = rho v + (1 - rho) g^2``; ``u = momentum u + g / (sqrt(v) + epsilon)``; ``w -= lr u``.

    Parameters
    ----------
    learning_rate : float or callable, default 0.01
    rho : float in [0, 1), default 0.99
    epsilon : float > 0, default 1e-8
    momentum : float in [0, 1), default 0
    epsilon_in_root : bool, default False
        Whether g is divided by ``sqrt(v + epsilon)`` instead, as in Keras.
    scaled_velocity : bool, default False
        The same for u: ``u = momentum u - lr g / ...``; ``w += u``.
    """

    learning_rate: LearningRate = 0.01
    rho: float = 0.99
    epsilon: float = 1e-8
    momentum: float = 0.0
    epsilon_in_root: bool = field(default=False, kw_only=True)
    scaled_velocity: bool = field(default=False, kw_only=True)


OPTIMIZERS: dict[str, type[Optimizer]] = {
    "sgd": SGD,
    "adam": Adam,
    "adamw": AdamW,
    "rmsprop": RMSprop,
}


@cache
def _default(name: str) -> Optimizer:
    return OPTIMIZERS[name]()  # type: ignore[call-arg]


_ONE_EACH = (Sequence, np.ndarray)


def check_l2(value: Any, n_layers: int) -> tuple[float, ...]:
    """Return the l2 factor of each layer's weights, from one for all or one each."""
    if type(value) is float or isinstance(value, str) or not isinstance(value, _ONE_EACH):
        return (check_real("l2", value, low=0.0),) * n_layers
    if len(value) != n_layers:
        raise ValueError(f"l2 must be one number or one a layer ({n_layers}), got {len(value)}")
    return tuple(check_real(f"l2[{i}]", each, low=0.0) for i, each in enumerate(value))


def check_optimizer(optimizer: str | Optimizer) -> Optimizer:
    """Return the optimizer that a name or an instance stands for."""
    if isinstance(optimizer, Optimizer):
        return optimizer
    if isinstance(optimizer, str):
        return _default(check_choice("optimizer", optimizer.lower(), tuple(OPTIMIZERS)))
    raise TypeError(
        "optimizer must be a name or an instance of mlpfast.SGD, Adam, AdamW or RMSprop, got "
        f"{type(optimizer).__name__}"
    )
