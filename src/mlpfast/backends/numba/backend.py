"""The Numba backend: training and prediction compiled, all else as the NumPy backend has it.

A net with an operation that has no kernel here runs on the NumPy backend altogether. To add a
kernel: see `activations.py`, `losses.py` and `updates.py`.
"""

from __future__ import annotations

import ctypes
import os
from dataclasses import replace
from typing import Any

import numba
import numpy as np

from mlpfast.backends import dropout
from mlpfast.backends import numpy as plain
from mlpfast.backends.base import (
    TOTALS,
    Array,
    Data,
    Epochs,
    FastPredict,
    PlanChoice,
    PlanRequest,
    Report,
    RunOptions,
)
from mlpfast.backends.numba import passes, updates
from mlpfast.backends.numba.kernels import KERNELS
from mlpfast.backends.numba.memory import (
    ROWS,
    Memory,
    memory_for,
    plan_of,
    supports,
    supports_training,
)
from mlpfast.backends.numba.team import run_team, size_team
from mlpfast.spec import NetSpec, Optimizer

_SINGLE_ROWS = 2  # up to so many are predicted one by one

_STATUS = {passes.OK: "ok", passes.INTERRUPTED: "interrupted", passes.DIVERGED: "diverged"}
_NO_ORDERS = np.empty((0, 0), np.int64)


# The system's function that lets other threads run.
_YIELD = ctypes.cast(
    ctypes.CDLL("kernel32").SwitchToThread if os.name == "nt" else ctypes.CDLL(None).sched_yield,
    ctypes.c_void_p,
).value


def _describe(memory: Memory, spec: NetSpec, params: Array, data: Data) -> None:
    """Write where parameters and rows lie; the caller keeps them alive."""
    run, x, y, weight = memory.run[0], data.x, data.y, data.sample_weight
    run["flat_w"], run["yield_"], run["n"] = params.ctypes.data, _YIELD, len(x)
    run["gather"] = KERNELS["gather"].address(spec.dtype, x.dtype.name)
    run["rows_x"], run["stride_x"], run["scale_x"] = x.ctypes.data, x.strides[0], data.input_scale
    run["labels"], run["rows_y"], run["stride_y"] = y.ndim == 1, y.ctypes.data, y.strides[0]
    run["rows_weight"] = 0 if weight is None else weight.ctypes.data


class NumbaTrainer(plain.NumpyTrainer):
    """Mini-batch training, several epochs in one compiled call."""

    def __init__(self, spec: NetSpec, params: Array, optimizer: Optimizer) -> None:
        super().__init__(spec, params, optimizer)
        self._memory: tuple[Any, Memory] | None = None

    def run(self, data: Data, epochs: Epochs, options: RunOptions) -> Report:
        spec, n, keys = self.spec, len(data), epochs.dropout_keys
        dropout.check_keys(spec, keys)
        batch_size = min(options.batch_size, n)
        team, seconds = size_team(spec, n, batch_size, len(epochs.learning_rates))
        if self._memory is None or self._memory[0] != (batch_size, team):
            self._memory = (batch_size, team), memory_for(spec, batch_size, team, train=True)
        memory = self._memory[1]
        _describe(memory, spec, self.params, data)
        run = memory.run[0]
        kernel, run["moments"], numbers = updates.rule_of(self.optimizer)
        numbers = np.tile(numbers, (memory.team, 1))
        run["update"], run["numbers"] = kernel.address(spec.dtype), numbers.ctypes.data
        run["flat_m"], run["flat_v"] = self.m.ctypes.data, self.v.ctypes.data
        run["batch_size"], run["want_metrics"] = batch_size, options.want_metrics
        run["l2_per_row"], run["check_finite"] = options.l2_per_row, options.check_finite
        run["want_penalty"] = options.want_penalty and any(options.l2)
        memory.layers["l2"] = options.l2
        halves = np.empty((0, 2), np.int64)
        if keys is not None:
            halves = np.stack([keys & 0xFFFFFFFF, keys >> np.uint64(32)], axis=1).astype(np.int64)
        rates = epochs.learning_rates.reshape(len(epochs.learning_rates), -1)
        orders = _NO_ORDERS if epochs.orders is None else np.ascontiguousarray(epochs.orders)
        history = np.zeros((len(rates), len(TOTALS)))
        state = self.steps, rates, orders, halves, options.stop, history
        done, status, self.steps = _train(memory, seconds, *state)
        return Report(history[:done], _STATUS[status])


def _compiles(spec: NetSpec, clips: bool) -> bool:
    """Whether a trainer of the net is compiled, and not the NumPy backend's."""
    return supports_training(spec) and not clips


def _train(memory: Memory, seconds: float, steps: int, *arguments: Array) -> tuple[int, int, int]:
    """Call `passes.train` in as many threads as the memory is for."""
    memory.run["sync"][0], stop = memory.sync.ctypes.data, arguments[3]
    memory.sync[:] = 0
    given = memory.run, memory.layers, steps, *arguments
    result: tuple[int, int, int] = run_team(passes.train, memory.team, given, seconds, stop)
    return result


class NumbaBackend(plain.NumpyBackend):
    """The NumPy backend, with what is hot compiled."""

    name = "numba"

    def describe(self) -> dict[str, Any]:
        return {"isa": "numba", "numba": numba.__version__, "numpy": np.__version__}

    def forward(
        self, spec: NetSpec, params: Array, x: Array, input_scale: float, out: Array
    ) -> None:
        spec = spec.without_dropout
        if not supports(spec):
            super().forward(spec, params, x, input_scale, out)
            return
        n = len(x)
        data = Data(x, np.empty((n, 0)), None, input_scale)
        if n <= _SINGLE_ROWS:
            rows = np.ascontiguousarray(plain.batch_of(spec, data, slice(None))[0])
            if self.fast_predict(spec, params)(rows, out) is not NotImplemented:
                return
        memory = memory_for(spec, n, size_team(spec, n, n, 1, 1 / 3)[0], train=False)
        _describe(memory, spec, params, data)
        memory.run["rows_y"] = 0
        given = memory.run, memory.layers, out.ctypes.data
        run_team(passes.predict, memory.team, given, 0.0, np.zeros(1, np.uint8))

    def fast_predict(self, spec: NetSpec, params: Array) -> FastPredict:
        spec = spec.without_dropout
        if not supports(spec):
            return super().fast_predict(spec, params)
        n_in, n_out, dtype = spec.n_in, spec.n_out, np.dtype(spec.dtype)
        run, layers, size = plan_of(spec).run.copy(), plan_of(spec).layers, sum(spec.sizes)
        run["flat_w"] = params.ctypes.data
        spare: list[Array] = []

        def predict(x: Any, out: Any) -> Any:
            if type(x) is not np.ndarray or x.dtype != dtype:
                return NotImplemented
            if not (x.flags.c_contiguous and x.flags.aligned):
                return NotImplemented
            n = 1 if x.ndim == 1 else len(x)
            if not 0 < n <= _SINGLE_ROWS or x.shape[-1:] != (n_in,) or x.ndim > 2:
                return NotImplemented
            shape = (*x.shape[:-1], n_out)
            if out is None:
                out = np.empty(shape, dtype)
            elif (
                type(out) is not np.ndarray
                or out.shape != shape
                or out.dtype != dtype
                or not (out.flags.carray and out.dtype.isnative)
                or np.may_share_memory(out, x)
                or np.may_share_memory(out, params)
            ):
                return NotImplemented
            try:
                work = spare.pop()  # one of its own for each thread that is in here
            except IndexError:
                work = np.empty(size, dtype)
            given = run, layers, work.ctypes.data, x.ctypes.data, n, out.ctypes.data
            passes.predict_rows(*given)
            spare.append(work)
            return out

        return predict

    def loss_and_grad(self, spec: NetSpec, params: Array, data: Data, grad: Array) -> float:
        spec = spec.without_dropout
        if not supports_training(spec):
            return super().loss_and_grad(spec, params, data, grad)
        n = len(data)
        memory = memory_for(spec, n, size_team(spec, n, n, 1)[0], train=True)
        _describe(memory, spec, params, data)
        numbers, history = np.zeros((memory.team, updates.BYTES // 8)), np.zeros((1, len(TOTALS)))
        run = memory.run[0]
        run["batch_size"], run["numbers"], run["flat_m"] = n, numbers.ctypes.data, grad.ctypes.data
        nothing = _NO_ORDERS, np.empty((0, 2), np.int64), np.zeros(1, np.uint8)
        _train(memory, 0.0, 0, np.zeros((1, 1)), *nothing, history)
        return float(history[0, 0] * plain.scale(spec, history[0, 1]))

    def last_layer(self, spec: NetSpec, params: Array, x: Array) -> tuple[Array, Array]:
        if not supports(spec):
            return super().last_layer(spec, params, x)
        linear = (*spec.activations[:-1], "identity")
        z = np.empty((len(x), spec.n_out), spec.dtype)
        spec_of_z = replace(spec, activations=linear, loss="mse", loss_parameter=None)
        self.forward(spec_of_z, params, x, 1.0, z)
        return z, plain.FORWARD[spec.activations[-1]](z)

    def plan_for(self, spec: NetSpec, request: PlanRequest) -> PlanChoice:
        if not _compiles(spec, request.clips):
            return replace(super().plan_for(spec, request), plan="numpy")
        why = "blocks of rows go through the whole net, in code compiled for it"
        rows, last = request.rows, request.last_rows
        team = size_team(spec, request.n_rows, rows, 1)[0]
        return PlanChoice(self.name, why, team, rows, last, min(ROWS, rows), 1, self.name)

    def trainer(self, spec: NetSpec, params: Array, optimizer: Optimizer) -> plain.NumpyTrainer:
        compiled = _compiles(spec, optimizer.clips)
        return (NumbaTrainer if compiled else plain.NumpyTrainer)(spec, params, optimizer)


def make(_: str = "") -> NumbaBackend:
    """Return the backend."""
    return NumbaBackend()
