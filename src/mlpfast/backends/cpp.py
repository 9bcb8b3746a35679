"""Adapts the compiled extension to the backend protocol."""

from __future__ import annotations

import os
import threading
from functools import lru_cache
from typing import Any

import numpy as np

from mlpfast import _core
from mlpfast.backends import dropout
from mlpfast.backends.base import (
    Array,
    Data,
    Epochs,
    FastGradient,
    FastPredict,
    Gradient,
    PlanChoice,
    PlanRequest,
    Report,
    RunOptions,
    no_fast_gradient,
)
from mlpfast.backends.threads import num_threads
from mlpfast.spec import NetSpec, Optimizer

# Of one optimizer or another, as the extension calls them too.
_HYPERPARAMETERS = (
    *("momentum", "nesterov", "beta_1", "beta_2", "epsilon", "weight_decay"),
    *("scaled_velocity", "epsilon_hat", "epsilon_in_root"),
)


def _network(spec: NetSpec, isa: str) -> Any:
    """Return the compiled description of a net that predicts; it holds no parameters."""
    return _network_with_dropout(spec.without_dropout, isa)


@lru_cache(maxsize=64)
def _network_with_dropout(spec: NetSpec, isa: str) -> Any:
    """Return the compiled description of a net that is trained."""
    make = _core.Network32 if spec.dtype == "float32" else _core.Network64
    return make(
        spec.sizes,
        spec.activations,
        spec.loss,
        spec.loss_parameter or 0.0,
        spec.reduction,
        spec.bias,
        spec.dropout,
        isa,
    )


class CppTrainer:
    """Mini-batch training in compiled code, any number of epochs a call."""

    def __init__(self, spec: NetSpec, params: Array, optimizer: Optimizer, isa: str) -> None:
        self._spec, self._params = spec, params
        o: Any = optimizer
        hyper = {name: getattr(o, name) for name in _HYPERPARAMETERS if hasattr(o, name)}
        if o.name == "rmsprop":
            hyper["beta_2"] = o.rho
        hyper |= {"clip_norm": o.clip_norm or 0.0, "clip_value": o.clip_value or 0.0}
        make = _core.Trainer32 if spec.dtype == "float32" else _core.Trainer64
        self._has_moments = o.name != "sgd" or o.momentum > 0
        self._trainer = make(_network_with_dropout(spec, isa), o.name, **hyper)

    @property
    def steps(self) -> int:
        return self._trainer.steps

    @property
    def plan(self) -> dict[str, Any] | None:
        """What the last run was made with: some fields of `PlanChoice`."""
        facts: dict[str, Any] | None = self._trainer.plan
        return facts

    @property
    def saves_each_epoch(self) -> bool:
        return True

    @property
    def checks_input(self) -> bool:
        # The parameters are only written at the end of a run, but the moments as it goes.
        return not self._has_moments or self.steps == 0

    def run(self, data: Data, epochs: Epochs, options: RunOptions) -> Report:
        dropout.check_keys(self._spec, epochs.dropout_keys)
        totals, status, row = self._trainer.run(
            self._params,
            data.x,
            data.y,
            data.sample_weight,
            data.input_scale,
            epochs.orders,
            epochs.learning_rates,
            min(options.batch_size, len(data)),
            options.l2,
            options.l2_per_row,
            options.want_penalty,
            options.check_finite,
            options.want_metrics,
            num_threads(),
            options.stop,
            epochs.dropout_keys,
            threading.current_thread() is threading.main_thread(),
        )
        return Report(totals, status, row)

    def state(self) -> dict[str, Any]:
        m, v = np.zeros_like(self._params), np.zeros_like(self._params)
        self._trainer.get_moments(m, v)
        return {"steps": self.steps, "m": m, "v": v}

    def load_state(self, state: dict[str, Any]) -> None:
        self._trainer.set_moments(state["steps"], state["m"], state["v"])


class CppBackend:
    """The compiled kernels for one instruction set."""

    def __init__(self, isa: str) -> None:
        self.name = "cpp"
        self._isa: str = _core.choose_isa(isa)

    def describe(self) -> dict[str, Any]:
        return {"isa": self._isa, "isas": _core.isas()}

    def dense_forward(
        self, x: Array, w: Array, b: Array | None, activation: str, out: Array
    ) -> None:
        run = _core.layer_forward32 if x.dtype == np.float32 else _core.layer_forward64
        run(x, w, b, activation, out, self._isa, num_threads())

    def dense_backward(
        self, x: Array, w: Array, kept: Array, grad_a: Array, activation: str, need_dx: bool
    ) -> tuple[Array | None, Array, Array]:
        run = _core.layer_backward32 if x.dtype == np.float32 else _core.layer_backward64
        dx = np.empty_like(x) if need_dx else None
        dw, db = np.empty_like(w), np.empty(w.shape[1], w.dtype)
        run(x, w, kept, grad_a, activation, dx, dw, db, self._isa, num_threads())
        return dx, dw, db

    def forward(
        self, spec: NetSpec, params: Array, x: Array, input_scale: float, out: Array
    ) -> None:
        _network(spec, self._isa).forward(params, x, input_scale, out, num_threads())

    def fast_predict(self, spec: NetSpec, params: Array) -> FastPredict:
        return _network(spec, self._isa).fast_predict(params)

    def fast_gradient(self, spec: NetSpec, params: Array) -> FastGradient:
        return _network(spec, self._isa).fast_gradient(params) or no_fast_gradient

    def loss_and_grad(self, spec: NetSpec, params: Array, data: Data, grad: Array) -> float:
        loss: float = _network(spec, self._isa).loss_and_grad(
            params, data.x, data.y, data.sample_weight, data.input_scale, grad, num_threads()
        )
        return loss

    def gradient_of(self, spec: NetSpec, params: Array, data: Data) -> Gradient:
        make = _core.Gradient32 if spec.dtype == "float32" else _core.Gradient64
        x, y, weight = data.x, data.y, data.sample_weight
        return make(
            *(_network(spec, self._isa), params, x, y, weight, data.input_scale, num_threads())
        )

    def evaluate(self, spec: NetSpec, params: Array, data: Data) -> Array:
        totals: Array = _network(spec, self._isa).evaluate(
            params, data.x, data.y, data.sample_weight, data.input_scale, num_threads()
        )
        return totals[0]

    def plan_for(self, spec: NetSpec, request: PlanRequest) -> PlanChoice:
        n, batch_size, shuffled, clips = request
        net = _network_with_dropout(spec, self._isa)
        facts = net.choose_plan(n, batch_size, not shuffled, clips, num_threads())
        facts |= {"rows": request.rows, "last_rows": request.last_rows}
        return PlanChoice(**facts, backend=self.name, isa=self._isa)

    def trainer(self, spec: NetSpec, params: Array, optimizer: Optimizer) -> CppTrainer:
        return CppTrainer(spec, params, optimizer, self._isa)


def make(isa: str = "") -> CppBackend:
    """Return the backend for `isa`, else for MLPFAST_ISA, else for the best there is."""
    return CppBackend(isa or os.environ.get("MLPFAST_ISA", ""))
