"""Learning-rate schedules: functions from the epoch (0, 1, ...) of a fit, or the step."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from mlpfast.spec.checks import check_choice, check_int, check_real

__all__ = [
    "CosineDecay",
    "ExponentialDecay",
    "PerStep",
    "ReduceOnPlateau",
    "StepDecay",
    "more_is_better",
]


def more_is_better(figure: str) -> bool:
    """Return whether the larger of two figures of that name is the better one."""
    return "accuracy" in figure or "r2" in figure


@dataclass(frozen=True)
class StepDecay:
    """``initial * factor ** (epoch // every)``."""

    initial: float
    factor: float = 0.5
    every: int = 10

    def __post_init__(self) -> None:
        check_real("initial", self.initial, low=0.0)
        check_real("factor", self.factor, low=0.0)
        check_int("every", self.every, 1)

    def __call__(self, epoch: int) -> float:
        return self.initial * self.factor ** (epoch // self.every)


@dataclass(frozen=True)
class ExponentialDecay:
    """``initial * rate ** epoch``."""

    initial: float
    rate: float = 0.95

    def __post_init__(self) -> None:
        check_real("initial", self.initial, low=0.0)
        check_real("rate", self.rate, low=0.0)

    def __call__(self, epoch: int) -> float:
        return self.initial * self.rate**epoch


@dataclass(frozen=True)
class CosineDecay:
    """Half a cosine from `initial` down to `final` over `epochs` (Loshchilov and Hutter, 2017).

    The first epoch runs at `initial`; from epoch `epochs` on the rate stays at `final`.
    """

    initial: float
    epochs: int
    final: float = 0.0

    def __post_init__(self) -> None:
        check_real("initial", self.initial, low=0.0)
        check_int("epochs", self.epochs, 1)
        check_real("final", self.final, low=0.0)

    def __call__(self, epoch: int) -> float:
        progress = min(epoch / self.epochs, 1.0)
        return self.final + 0.5 * (self.initial - self.final) * (1 + math.cos(math.pi * progress))


@dataclass(frozen=True)
class PerStep:
    """A rate for each update: `function` of the number of updates made so far.

    The count goes on over the fits of a net as long as the optimizer's moments do.

    Parameters
    ----------
    function : callable (int) -> float
    """

    function: Callable[[int], float]
    #: Tells `fit` what the argument is.
    per_step = True

    def __post_init__(self) -> None:
        if not callable(self.function):
            raise TypeError(f"function must be callable, got {type(self.function).__name__}")

    def __call__(self, step: int) -> float:
        return self.function(step)


@dataclass
class ReduceOnPlateau:
    """Multiply the rate by `factor` when a figure has not improved for more than `patience` epochs.

    Parameters
    ----------
    initial : float
    factor : float in (0, 1), default 0.1
    patience : int, default 10
    monitor : str, default "loss"
        A column of the history; with "accuracy" or "r2" in its name more is better, else less.
    min_delta : float, default 1e-4
        Smallest absolute change that counts as an improvement.
    minimum : float, default 0
        The rate never falls below it.
    """

    initial: float
    factor: float = 0.1
    patience: int = 10
    monitor: str = "loss"
    min_delta: float = 1e-4
    minimum: float = 0.0
    rate: float = field(init=False)
    _best: float = field(init=False, default=math.inf, repr=False)
    _wait: int = field(init=False, default=0, repr=False)

    def __post_init__(self) -> None:
        check_real("initial", self.initial, low=0.0)
        check_real("factor", self.factor, low=0.0, high=1.0, open_low=True, open_high=True)
        check_int("patience", self.patience, 0)
        check_real("min_delta", self.min_delta, low=0.0)
        check_real("minimum", self.minimum, low=0.0)
        self.rate = self.initial

    def reset(self) -> None:
        """Forget what was observed; called when a fit begins."""
        self.rate, self._best, self._wait = self.initial, math.inf, 0

    def __call__(self, epoch: int) -> float:
        return self.rate

    def observe(self, logs: dict[str, float]) -> None:
        """Take in the figures of an epoch that has ended."""
        check_choice("monitor", self.monitor, tuple(logs))
        value = -logs[self.monitor] if more_is_better(self.monitor) else logs[self.monitor]
        if value < self._best - self.min_delta:
            self._best, self._wait = value, 0
            return
        self._wait += 1
        if self._wait > self.patience:
            self.rate, self._wait = max(self.rate * self.factor, self.minimum), 0
