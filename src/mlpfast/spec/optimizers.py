"""The optimizers: frozen descriptions of how a gradient becomes a step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from functools import cache, cached_property
from typing import Any, TypeAlias

import numpy as np

from mlpfast.spec.checks import check_choice, check_real

#: A learning rate: a number, or a function from the epoch (0, 1, ...) to a number; or from the
#: number of updates made so far, if its attribute ``per_step`` is true (`schedules.PerStep`).
LearningRate: TypeAlias = float | Callable[[int], float]

_SWITCHES = ("nesterov", "scaled_velocity", "epsilon_hat", "epsilon_in_root")


@dataclass(frozen=True)
class Optimizer:
    """Base of the optimizers: how a gradient becomes a step.

    Subclasses are frozen descriptions; the moments live in the trainer of a backend.

    Every optimizer can clip the gradient of a batch before it takes it in, the l2 term included,
    a weight decay of its own not:

    clip_norm : float > 0, optional
        Where the Euclidean norm of the gradient (of all parameters) is larger, it is
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
