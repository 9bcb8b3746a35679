"""Net: a description, its parameters, the engine that runs it, and all state of its training."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Self

import numpy as np

from mlpfast import backends
from mlpfast.arrays import as_array, as_finite
from mlpfast.backends.base import Array, Backend, Trainer, no_fast_gradient
from mlpfast.initializers import RandomState, assign, random_source
from mlpfast.spec import NetSpec, Optimizer

__all__ = [
    "Net",
]

_ALIGNMENT = 64
# Vector kernels may read, never use, up to one vector beyond the last parameter.
_SLACK = 64


def _aligned(n: int, dtype: str) -> Array:
    """Return n zeros that begin on a cache line and have readable memory behind them."""
    itemsize = np.dtype(dtype).itemsize
    raw = np.zeros(n * itemsize + _ALIGNMENT + _SLACK, np.uint8)
    start = -raw.ctypes.data % _ALIGNMENT
    return raw[start : start + n * itemsize].view(dtype)


class Net:
    """A net and its training state: everything that a checkpoint has to hold.

    Attributes
    ----------
    spec : NetSpec
        What the net is, frozen.
    params : (n_params,) array
        Every parameter, layer by layer W (n_in, n_out) row-major, then b. Writable.
    weights, biases : list of arrays
        Views into `params`, of shapes (n_in, n_out) and (n_out,).
    engine : Backend
        What runs it.
    requested_backend : str or None
        The backend that was asked for, None for the fastest there is.
    generator : numpy.random.Generator or RandomState
        Source of the row orders and of what is dropped.
    trainer : Trainer or None
        Holds the optimizer's moments and step count, once the net has been trained.
    optimizer : Optimizer or None
        The one that `trainer` was made for.
    """

    spec: NetSpec
    engine: Backend
    requested_backend: str | None
    generator: RandomState
    trainer: Trainer | None
    optimizer: Optimizer | None

    def _setup(
        self,
        spec: NetSpec,
        backend: str | None,
        generator: RandomState,
        params: Array | None = None,
    ) -> None:
        self.spec = spec
        self.generator = generator
        self.requested_backend = backend
        self.engine = backends.resolve(backend)
        self._params = _aligned(spec.n_params, spec.dtype) if params is None else params
        self.fast_predict = self.engine.fast_predict(spec, self._params)
        self.fast_gradient = (
            self.engine.fast_gradient(spec, self._params) if spec.trainable else no_fast_gradient
        )
        self.trainer = None
        self.optimizer = None

    @classmethod
    def from_spec(
        cls, spec: NetSpec, params: Any, *, random_state: Any = None, backend: str | None = None
    ) -> Self:
        """Make a net from a spec and its flat parameters (copied)."""
        net = cls.__new__(cls)
        net._setup(spec, backend, random_source(random_state, None))
        net.params = params
        return net

    def view(self, spec: NetSpec) -> Self:
        """Return a net with another spec of the same sizes on the same parameters and generator.

        What changes the parameters of one changes those of both. The training state is its own.
        """
        net = type(self).__new__(type(self))
        net._setup(spec, self.requested_backend, self.generator, self._params)
        return net

    # ------------------------------------------------------------------ parameters

    @property
    def n_params(self) -> int:
        """Number of parameters."""
        return self.spec.n_params

    @property
    def params(self) -> Array:
        """Flat array of all parameters; writing into it changes the net."""
        return self._params

    @params.setter
    def params(self, value: Any) -> None:
        array = as_array("params", value)
        if array.shape != self._params.shape:
            raise ValueError(f"params must have shape {self._params.shape}, got {array.shape}")
        self._params[...] = as_finite("params", array, self.spec.dtype)

    @property
    def weights(self) -> list[Array]:
        """One (n_in, n_out) view a layer."""
        return [w for w, _ in self.spec.unflatten(self._params)]

    @weights.setter
    def weights(self, value: Sequence[Any]) -> None:
        assign(self.spec, self._params, value, None)

    @property
    def biases(self) -> list[Array]:
        """One (n_out,) view a layer; empty for a net without biases."""
        return [b for _, b in self.spec.unflatten(self._params) if b is not None]

    @biases.setter
    def biases(self, value: Sequence[Any]) -> None:
        assign(self.spec, self._params, None, value)

    @property
    def backend(self) -> str:
        """Name of the engine that runs this net."""
        return self.engine.name

    # ------------------------------------------------------------------ training state

    def check_trainable(self) -> None:
        """Raise a ValueError if an activation has no gradient."""
        if not self.spec.trainable:
            raise ValueError(
                "activation 'step' has no gradient: a net with it can run but not learn"
            )

    def trainer_for(self, optimizer: Optimizer) -> Trainer:
        """Return the trainer for a rule: the one there is, with its moments, if the rule is its."""
        if self.trainer is not None and self.optimizer is optimizer:
            return self.trainer
        if self.trainer is None or self.optimizer is None or self.optimizer.rule != optimizer.rule:
            self.trainer = self.engine.trainer(self.spec, self._params, optimizer)
            self.optimizer = optimizer
        return self.trainer

    def reset_optimizer(self) -> None:
        """Forget the optimizer's moments and its step count; the next fit starts afresh."""
        self.trainer = self.optimizer = None

    def state(self) -> dict[str, Any]:
        """Return a copy of all that training changes.

        Returns
        -------
        dict
            "params" (n_params,), "rng", "optimizer" (its schedule left out: each fit brings its
            own rate) and "moments", as `Trainer.state` has them; the last two are None before the
            first fit.
        """
        return {
            "params": self._params.copy(),
            "rng": copy.deepcopy(self.generator),
            "optimizer": _without_schedule(self.optimizer),
            "moments": self.trainer.state() if self.trainer is not None else None,
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Take over (copied) what `state` returned, from a net of the same spec.

        Raises
        ------
        ValueError
            If the parameters or the moments do not fit; the net is unchanged.
        """
        trainer = self._trainer_from(state)
        self.params = state["params"]
        self.generator = copy.deepcopy(state["rng"])
        self.trainer, self.optimizer = trainer

    def _trainer_from(self, state: dict[str, Any]) -> tuple[Trainer | None, Optimizer | None]:
        """Return a trainer with the moments of a state, and its optimizer, if there are any."""
        optimizer, moments = state["optimizer"], state["moments"]
        if optimizer is None or moments is None:
            return None, None
        for name in ("m", "v"):
            if np.shape(moments[name]) != self._params.shape:
                raise ValueError(
                    f"moments {name!r} must have shape {self._params.shape}, got "
                    f"{np.shape(moments[name])}"
                )
        trainer = self.engine.trainer(self.spec, self._params, optimizer)
        trainer.load_state(moments)
        return trainer, optimizer

    def copy(self) -> Self:
        """Return an independent net with the same weights, generator and moments."""
        net = type(self).__new__(type(self))
        net.__setstate__(self.__getstate__())
        return net

    def __copy__(self) -> Self:
        return self.copy()

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self.copy()

    def __getstate__(self) -> dict[str, Any]:
        return {"spec": self.spec, "backend": self.requested_backend, **self.state()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._setup(state["spec"], state["backend"], state["rng"])
        self._params[...] = state["params"]  # as they are, NaN among them
        self.trainer, self.optimizer = self._trainer_from(state)


def _without_schedule(optimizer: Optimizer | None) -> Optimizer | None:
    """Return `optimizer` with a number for its rate, as a function may not pickle."""
    if optimizer is not None and callable(optimizer.learning_rate):
        return replace(optimizer, learning_rate=0.0)
    return optimizer
