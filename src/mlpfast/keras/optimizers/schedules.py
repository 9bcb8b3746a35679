"""Keras' learning-rate schedules: functions of the number of updates made so far."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from mlpfast.spec import check_int, check_real

__all__ = [
    "CosineDecay",
    "CosineDecayRestarts",
    "ExponentialDecay",
    "InverseTimeDecay",
    "LearningRateSchedule",
    "PiecewiseConstantDecay",
    "PolynomialDecay",
]


class LearningRateSchedule:
    """Base of the schedules; write your own by overriding ``__call__(step)``."""

    #: The arguments that are numbers above 0.
    _positive: tuple[str, ...] = ("decay_steps",)

    def __call__(self, step: int) -> float:
        """Return the learning rate of the update that follows `step` others."""
        raise NotImplementedError

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make it again."""
        return dict(vars(self))

    def _check(self) -> None:
        for name in self._positive:
            check_real(name, getattr(self, name), low=0.0, open_low=True)


class ExponentialDecay(LearningRateSchedule):
    """``initial * rate ** (step / decay_steps)``, the exponent rounded down if `staircase`."""

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        decay_rate: float,
        staircase: bool = False,
        name: str = "ExponentialDecay",
    ) -> None:
        self.initial_learning_rate, self.decay_steps = initial_learning_rate, decay_steps
        self.decay_rate, self.staircase, self.name = decay_rate, staircase, name
        self._check()

    def _progress(self, step: int) -> float:
        p = step / self.decay_steps
        return math.floor(p) if self.staircase else p

    def __call__(self, step: int) -> float:
        return self.initial_learning_rate * self.decay_rate ** self._progress(step)


class InverseTimeDecay(ExponentialDecay):
    """``initial / (1 + rate * step / decay_steps)``, the quotient rounded down if `staircase`."""

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        decay_rate: float,
        staircase: bool = False,
        name: str = "InverseTimeDecay",
    ) -> None:
        super().__init__(initial_learning_rate, decay_steps, decay_rate, staircase, name)

    def __call__(self, step: int) -> float:
        return self.initial_learning_rate / (1 + self.decay_rate * self._progress(step))


class PiecewiseConstantDecay(LearningRateSchedule):
    """``values[i]`` for the steps up to and with ``boundaries[i]``, the last value for others."""

    _positive = ()

    def __init__(
        self,
        boundaries: Sequence[float],
        values: Sequence[float],
        name: str = "PiecewiseConstant",
    ) -> None:
        if len(boundaries) != len(values) - 1:
            raise ValueError(
                f"boundaries must be one fewer than values, got {len(boundaries)} and {len(values)}"
            )
        self.boundaries, self.values, self.name = list(boundaries), list(values), name

    def __call__(self, step: int) -> float:
        return self.values[sum(step > boundary for boundary in self.boundaries)]


class PolynomialDecay(LearningRateSchedule):
    """``(initial - end) * (1 - step / decay_steps) ** power + end``, and then `end`.

    With `cycle`, decay_steps becomes its first multiple that is not below step.
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        end_learning_rate: float = 0.0001,
        power: float = 1.0,
        cycle: bool = False,
        name: str = "PolynomialDecay",
    ) -> None:
        self.initial_learning_rate, self.decay_steps = initial_learning_rate, decay_steps
        self.end_learning_rate, self.power = end_learning_rate, power
        self.cycle, self.name = cycle, name
        self._check()

    def __call__(self, step: int) -> float:
        steps = self.decay_steps
        if self.cycle:
            steps *= max(1, math.ceil(step / steps))
        p = min(step, steps) / steps
        span = self.initial_learning_rate - self.end_learning_rate
        return span * (1 - p) ** self.power + self.end_learning_rate


class CosineDecay(LearningRateSchedule):
    """Half a cosine down to `alpha` times the rate (Loshchilov and Hutter, 2017).

    With `warmup_target`, a line up to it over `warmup_steps` comes first.
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        alpha: float = 0.0,
        name: str = "CosineDecay",
        warmup_target: float | None = None,
        warmup_steps: int = 0,
    ) -> None:
        self.initial_learning_rate, self.decay_steps = initial_learning_rate, decay_steps
        self.alpha, self.name = alpha, name
        self.warmup_target = warmup_target
        self.warmup_steps = check_int("warmup_steps", warmup_steps, 0)
        self._check()

    def __call__(self, step: int) -> float:
        rate = self.initial_learning_rate
        if self.warmup_target is not None:
            if step < self.warmup_steps:
                return (self.warmup_target - rate) * step / self.warmup_steps + rate
            step, rate = step - self.warmup_steps, self.warmup_target
        cosine = math.cos(math.pi * min(step, self.decay_steps) / self.decay_steps)
        return rate * ((1 - self.alpha) * 0.5 * (1 + cosine) + self.alpha)


class CosineDecayRestarts(LearningRateSchedule):
    """`CosineDecay` again and again, each `t_mul` times as long and `m_mul` times as high."""

    _positive = ("first_decay_steps",)

    def __init__(
        self,
        initial_learning_rate: float,
        first_decay_steps: float,
        t_mul: float = 2.0,
        m_mul: float = 1.0,
        alpha: float = 0.0,
        name: str = "SGDRDecay",
    ) -> None:
        self.initial_learning_rate = initial_learning_rate
        self.first_decay_steps, self.t_mul, self.m_mul = first_decay_steps, t_mul, m_mul
        self.alpha, self.name = alpha, name
        self._check()

    def __call__(self, step: int) -> float:
        length, height = float(self.first_decay_steps), 1.0
        rest = float(step)
        while rest >= length:
            rest -= length
            length *= self.t_mul
            height *= self.m_mul
        cosine = 0.5 * height * (1 + math.cos(math.pi * rest / length))
        return self.initial_learning_rate * ((1 - self.alpha) * cosine + self.alpha)


CLASSES: dict[str, type[LearningRateSchedule]] = {
    kind.__name__: kind
    for kind in (
        *(ExponentialDecay, InverseTimeDecay, PiecewiseConstantDecay, PolynomialDecay),
        *(CosineDecay, CosineDecayRestarts),
    )
}
