"""Keras' optimizers: arguments that become one of mlpfast's, in Keras' form of the rule."""

from __future__ import annotations

from typing import Any, ClassVar

from mlpfast import spec
from mlpfast.keras._unsupported import check_none, lookup, refuse, there_are
from mlpfast.keras.optimizers import schedules
from mlpfast.keras.optimizers.schedules import InverseTimeDecay, LearningRateSchedule
from mlpfast.spec import check_real
from mlpfast.spec.schedules import PerStep

#: What to do without what there is not.
_INSTEAD = {
    "clipnorm": "there are global_clipnorm, of all gradients together, and clipvalue",
    "weight_decay": "Adam and AdamW have it; for the others there is kernel_regularizer=L2(...)",
}
_CLIPS = {"clipvalue": "clip_value", "global_clipnorm": "clip_norm"}


class Optimizer:
    """Base of the optimizers.

    Parameters
    ----------
    learning_rate : float or LearningRateSchedule
        May be set anew at any time, by a callback for example. ``lr`` is an older name for it.
    clipvalue, global_clipnorm : float, optional
        See `mlpfast.spec.Optimizer`, whose clip_value and clip_norm they are.
    decay : float, optional
        Of older versions: the rate is divided by ``1 + decay * updates``.
    name : str, optional

    Raises
    ------
    UnsupportedError
        For clipnorm (of each variable on its own), use_ema, amsgrad and whatever else mlpfast's
        rules have not.
    """

    _defaults: ClassVar[dict[str, Any]]

    def __init__(self, learning_rate: Any = None, **arguments: Any) -> None:
        kind = type(self).__name__
        if type(self) not in CLASSES.values():
            refuse(f"optimizer {kind}, a class of one's own,", there_are(CLASSES))
        lr = arguments.pop("lr", None)
        if lr is not None:
            learning_rate = lr
        self.name = arguments.pop("name", None) or kind.lower()
        decay = arguments.pop("decay", None) or 0.0
        self.clipvalue = arguments.pop("clipvalue", None)
        self.global_clipnorm = arguments.pop("global_clipnorm", None)
        for name, default in self._defaults.items():
            setattr(self, name, arguments.pop(name, default))
        known = ("ema_momentum", "ema_overwrite_frequency", "jit_compile", "is_legacy_optimizer")
        others = ("clipnorm", "amsgrad", "centered", "use_ema", "loss_scale_factor")
        for name in known:  # which do nothing on their own
            arguments.pop(name, None)
        for name in (*others, "weight_decay", "gradient_accumulation_steps"):
            value = arguments.pop(name, None)
            if value is not None and value is not False and name in _INSTEAD:
                refuse(f"{kind}: {name}={value!r}", _INSTEAD[name])
            check_none(kind, **{name: value})
        if arguments:
            raise TypeError(f"{kind} got an unknown argument {next(iter(arguments))!r}")
        if decay:
            learning_rate = InverseTimeDecay(learning_rate, 1, check_real("decay", decay, low=0.0))
        self.learning_rate = learning_rate
        self._steps: Any = lambda: 0  # a model puts its own count here
        self.rule()  # complains about what does not fit

    def _arguments(self) -> dict[str, Any]:
        """Return what the class of `mlpfast.spec` takes beside the rate and the clipping."""
        raise NotImplementedError

    @property
    def learning_rate(self) -> Any:
        """The rate as a number, of the next update if there is a schedule; may be set."""
        rate = self._learning_rate
        return rate(self.iterations) if isinstance(rate, LearningRateSchedule) else rate

    @learning_rate.setter
    def learning_rate(self, value: Any) -> None:
        if isinstance(getattr(self, "_learning_rate", None), LearningRateSchedule):
            raise TypeError("the learning rate follows a schedule, and cannot be set")
        if callable(value) and not isinstance(value, LearningRateSchedule):
            refuse("a learning rate that is a function", "derive it from LearningRateSchedule")
        if not callable(value):
            value = check_real("learning_rate", value, low=0.0)
        self._learning_rate = value

    lr = learning_rate

    @property
    def iterations(self) -> int:
        """Updates made so far."""
        return int(self._steps())

    def rule(self) -> spec.Optimizer:
        """Return what mlpfast trains with; its rate follows this object's."""
        clips = {
            theirs: getattr(self, ours)
            for ours, theirs in _CLIPS.items()
            if getattr(self, ours) is not None
        }
        kind: Any = getattr(spec, self._kind())
        rate: Any = self._learning_rate
        if isinstance(rate, LearningRateSchedule):
            rate = PerStep(rate)
        else:
            rate = lambda _: float(self.learning_rate)  # noqa: E731 - what it is at the time
        return kind(rate, **self._arguments(), **clips)

    def constant_rate(self) -> float | None:
        """Return the rate if it can change only by being set, else None."""
        return None if callable(self._learning_rate) else float(self._learning_rate)

    def _kind(self) -> str:
        return type(self).__name__

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make it again."""
        rate = self._learning_rate
        if isinstance(rate, LearningRateSchedule):
            rate = {
                "module": "keras.optimizers.schedules",
                "class_name": type(rate).__name__,
                "config": rate.get_config(),
                "registered_name": None,
            }
        own = {name: getattr(self, name) for name in self._defaults}
        clips = {name: getattr(self, name) for name in _CLIPS}
        return {"name": self.name, "learning_rate": rate, **clips, **own}

    def __repr__(self) -> str:
        inner = ", ".join(f"{k}={v!r}" for k, v in self.get_config().items() if k != "name")
        return f"{type(self).__name__}({inner})"


class SGD(Optimizer):
    """Gradient descent, ``v = momentum * v - lr * g``; ``w += v``.

    With nesterov, ``w += momentum * v - lr * g``.
    """

    _defaults: ClassVar[dict[str, Any]] = {"momentum": 0.0, "nesterov": False}
    momentum: float
    nesterov: bool

    def __init__(
        self,
        learning_rate: Any = 0.01,
        momentum: float = 0.0,
        nesterov: bool = False,
        **arguments: Any,
    ) -> None:
        super().__init__(learning_rate, momentum=momentum, nesterov=nesterov, **arguments)

    def _arguments(self) -> dict[str, Any]:
        # Without a momentum there is nothing to look ahead to: Keras' formula is then the same.
        ahead = self.nesterov and self.momentum > 0
        return {"momentum": self.momentum, "nesterov": ahead, "scaled_velocity": True}


class Adam(Optimizer):
    """Adam with Keras' epsilon, the paper's epsilon hat; `weight_decay` makes it an `AdamW`."""

    _defaults: ClassVar[dict[str, Any]] = {
        "beta_1": 0.9,
        "beta_2": 0.999,
        "epsilon": 1e-7,
        "weight_decay": None,
    }
    beta_1: float
    beta_2: float
    epsilon: float
    weight_decay: float | None

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float | None = 1e-7,
        amsgrad: bool = False,
        **arguments: Any,
    ) -> None:
        epsilon = 1e-7 if epsilon is None else epsilon
        moments = {"beta_1": beta_1, "beta_2": beta_2, "epsilon": epsilon}
        super().__init__(learning_rate, amsgrad=amsgrad, **moments, **arguments)

    def _kind(self) -> str:
        return "AdamW" if self.weight_decay else "Adam"

    def _arguments(self) -> dict[str, Any]:
        decay = {"weight_decay": self.weight_decay} if self.weight_decay else {}
        moments = {name: getattr(self, name) for name in ("beta_1", "beta_2", "epsilon")}
        return {**moments, **decay, "epsilon_hat": True}


class AdamW(Adam):
    """Adam whose weights, biases included, first shrink by ``lr * weight_decay * w``."""

    def __init__(
        self,
        learning_rate: Any = 0.001,
        weight_decay: float = 0.004,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
        **arguments: Any,
    ) -> None:
        moments = {"beta_1": beta_1, "beta_2": beta_2, "epsilon": epsilon}
        arguments["weight_decay"] = check_real("weight_decay", weight_decay, low=0.0)
        super().__init__(learning_rate, amsgrad=amsgrad, **moments, **arguments)


class RMSprop(Optimizer):
    """RMSprop with Keras' epsilon, which stands under the root."""

    _defaults: ClassVar[dict[str, Any]] = {"rho": 0.9, "momentum": 0.0, "epsilon": 1e-7}
    rho: float
    momentum: float
    epsilon: float

    def __init__(
        self,
        learning_rate: Any = 0.001,
        rho: float = 0.9,
        momentum: float = 0.0,
        epsilon: float | None = 1e-7,
        centered: bool = False,
        **arguments: Any,
    ) -> None:
        epsilon = 1e-7 if epsilon is None else epsilon
        numbers = {"rho": rho, "momentum": momentum, "epsilon": epsilon}
        super().__init__(learning_rate, centered=centered, **numbers, **arguments)

    def _arguments(self) -> dict[str, Any]:
        own = {name: getattr(self, name) for name in self._defaults}
        return {**own, "epsilon_in_root": True, "scaled_velocity": True}


CLASSES: dict[str, type[Optimizer]] = {kind.__name__: kind for kind in (SGD, Adam, AdamW, RMSprop)}


def get(identifier: Any) -> Optimizer:
    """Return the optimizer that a name, a class or an instance stands for."""
    if isinstance(identifier, Optimizer):
        return identifier
    if isinstance(identifier, type) and issubclass(identifier, Optimizer):
        return identifier()
    by_name = {name.lower(): kind for name, kind in CLASSES.items()}
    if not isinstance(identifier, str) or identifier.lower() not in by_name:
        refuse(f"optimizer {identifier!r}", f"there are {', '.join(CLASSES)}")
    return by_name[identifier.lower()]()


def __getattr__(name: str) -> Any:
    return lookup(__name__, name, "optimizer", CLASSES)


__all__ = ["SGD", "Adam", "AdamW", "Optimizer", "RMSprop", "get", "schedules"]
