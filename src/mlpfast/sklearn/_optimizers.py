"""The stochastic optimizers as scikit-learn drives them: learning-rate modes around a trainer.

The rules are those of scikit-learn's ``sgd`` and ``adam``; the updates themselves are made by a
trainer of a backend, which these hold together with its moments.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from mlpfast.backends.base import Array, Trainer
from mlpfast.net import Net
from mlpfast.spec import SGD, Adam, AdamW, NetSpec, Optimizer, check_real
from mlpfast.training.epochs import scheduled_rates


class StochasticOptimizer:
    """A rule, its learning rate, and its moments as they are after the last update.

    Attributes
    ----------
    rule : Optimizer
        What a backend needs to know; its learning rate is not used.
    learning_rate_init : float
    rate : float
        The one in force.
    """

    def __init__(
        self, rule: Optimizer, learning_rate_init: float, schedule: Callable[[int], float] | None
    ) -> None:
        self.rule = rule
        self.learning_rate_init = learning_rate_init
        self.rate = float(learning_rate_init)
        self.schedule = schedule
        reset = getattr(schedule, "reset", None)
        if reset is not None:
            reset()
        self._epochs = 0
        self._net: Net | None = None
        self._spec: NetSpec | None = None
        self._trainer: Trainer | None = None
        self._kept: dict[str, Any] | None = None  # the moments while there is no trainer

    def trainer_of(self, net: Net) -> Trainer:
        """Return the trainer of `net`, with the moments that there are."""
        if self._trainer is None or self._net is not net:
            state = self._state()
            self._trainer = net.engine.trainer(net.spec, net.params, self.rule)
            if state is not None:
                self._trainer.load_state(state)
            self._net, self._spec, self._kept = net, net.spec, None
        return self._trainer

    @property
    def observe(self) -> Callable[[dict[str, float]], None] | None:
        """What takes the figures of each epoch on behalf of the schedule, if it wants them."""
        return getattr(self.schedule, "observe", None)

    @property
    def learning_rate(self) -> float:
        """The learning rate in force."""
        return self.rate

    @learning_rate.setter
    def learning_rate(self, value: float) -> None:
        self.rate = _rate(value)

    def next_rates(self, trainer: Trainer, steps: int) -> Array:
        """Return the rate of the epoch that begins (1,), or those of its steps (1, steps)."""
        schedule = self.schedule
        if schedule is None:
            return np.array([self.rate])
        first = self._epochs
        self._epochs += 1
        rates = scheduled_rates(
            lambda i: _rate(schedule(i)),
            first,
            1,
            steps=steps if getattr(schedule, "per_step", False) else 0,
            steps_made=trainer.steps,
        )
        self.rate = float(rates.flat[-1])
        return rates

    def iteration_ends(self, time_step: int) -> None:
        """Adapt the rate after an epoch, with `time_step` rows trained on in all."""

    def trigger_stopping(self, msg: str, verbose: Any) -> bool:
        """Return whether to stop where there has been no improvement for long."""
        if verbose:
            print(msg + " Stopping.")
        return True

    def _state(self) -> dict[str, Any] | None:
        return self._kept if self._trainer is None else self._trainer.state()

    def _moments(self, name: str) -> list[Array]:
        """Return a moment, the parts for the weights first, then those for the biases."""
        state = self._state()
        if state is None or self._spec is None:
            return []
        parts = self._spec.unflatten(state[name])
        return [w for w, _ in parts] + [b for _, b in parts if b is not None]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_net": None, "_trainer": None, "_kept": self._state()}


def _rate(value: object) -> float:
    return check_real("learning_rate", value, low=0.0)


class SGDOptimizer(StochasticOptimizer):
    """Gradient descent with momentum; the velocity holds the learning rate.

    Attributes
    ----------
    lr_schedule : {"constant", "adaptive", "invscaling"} or callable
    momentum, power_t : float
    nesterov : bool
    """

    def __init__(
        self,
        learning_rate_init: float,
        lr_schedule: Any,
        momentum: float,
        nesterov: bool,
        power_t: float,
        clip: dict[str, Any],
    ) -> None:
        self.lr_schedule = lr_schedule
        self.momentum, self.nesterov, self.power_t = momentum, nesterov, power_t
        rule = SGD(
            momentum=float(momentum),
            nesterov=bool(nesterov) and momentum > 0,
            scaled_velocity=True,
            **clip,
        )
        super().__init__(rule, learning_rate_init, lr_schedule if callable(lr_schedule) else None)

    @property
    def velocities(self) -> list[Array]:
        """Copies of the velocities, in the order of ``coefs_ + intercepts_``."""
        return self._moments("m")

    def iteration_ends(self, time_step: int) -> None:
        if self.lr_schedule == "invscaling":
            self.rate = float(self.learning_rate_init) / (time_step + 1) ** self.power_t

    def trigger_stopping(self, msg: str, verbose: Any) -> bool:
        if self.lr_schedule != "adaptive":
            return super().trigger_stopping(msg, verbose)
        if self.rate <= 1e-6:
            if verbose:
                print(msg + " Learning rate too small. Stopping.")
            return True
        self.rate /= 5.0
        if verbose:
            print(msg + f" Setting learning rate to {self.rate:f}")
        return False


class AdamOptimizer(StochasticOptimizer):
    """Adam, or with a weight decay AdamW, with the paper's epsilon hat.

    Attributes
    ----------
    beta_1, beta_2, epsilon : float
    """

    def __init__(
        self,
        learning_rate_init: float,
        schedule: Callable[[int], float] | None,
        beta_1: float,
        beta_2: float,
        epsilon: float,
        weight_decay: float,
        clip: dict[str, Any],
    ) -> None:
        self.beta_1, self.beta_2, self.epsilon = beta_1, beta_2, epsilon
        common: dict[str, Any] = {
            "beta_1": float(beta_1),
            "beta_2": float(beta_2),
            "epsilon": float(epsilon),
            "epsilon_hat": True,
            **clip,
        }
        rule = AdamW(weight_decay=weight_decay, **common) if weight_decay else Adam(**common)
        super().__init__(rule, learning_rate_init, schedule)

    @property
    def t(self) -> int:
        """Updates made."""
        if self._trainer is not None:
            return self._trainer.steps
        return 0 if self._kept is None else self._kept["steps"]

    @property
    def learning_rate(self) -> float:
        """The rate of the last update, its bias correction included, as scikit-learn has it."""
        t = self.t
        if t == 0:
            return self.rate
        return self.rate * math.sqrt(1 - self.beta_2**t) / (1 - self.beta_1**t)

    @learning_rate.setter
    def learning_rate(self, value: float) -> None:
        """Do nothing: as in scikit-learn the next update computes it from `learning_rate_init`."""

    def next_rates(self, trainer: Trainer, steps: int) -> Array:
        if self.schedule is None:
            self.rate = _rate(self.learning_rate_init)
        return super().next_rates(trainer, steps)

    @property
    def ms(self) -> list[Array]:
        """Copies of the first moments, in the order of ``coefs_ + intercepts_``."""
        return self._moments("m")

    @property
    def vs(self) -> list[Array]:
        """Copies of the second moments."""
        return self._moments("v")
