"""The Numba backend: the arithmetic of ``backends/numpy.py``, a whole run in one compiled call."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numba
import numpy as np

# numba.np.linalg looks SciPy's BLAS up when a product is compiled; without SciPy that would fail
# in the middle of a fit, so that it is asked for here, where a fallback is still possible.
import scipy.linalg.cython_blas  # noqa: F401

from mlpfast.backends import _numba_kernels as k
from mlpfast.backends.base import (
    Array,
    Data,
    FastGradient,
    FastPredict,
    Report,
    no_fast_gradient,
    no_fast_predict,
)
from mlpfast.spec import ACTIVATIONS, FROM_PREACTIVATION, LOSSES, NetSpec, Optimizer

# Rows that `forward` and `evaluate` push through the net at once: as many as fill this much.
_CHUNK_BYTES = 1 << 21
_CHUNK_ROWS = 4096

# A run that may take longer than this goes to a thread of its own, since Python cannot look at
# signals while compiled code holds the main thread.
_LONG_SECONDS = 0.05
_WAIT_SECONDS = 0.02

_STATUS = {k.OK: "ok", k.INTERRUPTED: "interrupted", k.DIVERGED: "diverged"}
_NO_ORDERS = np.empty((0, 0), np.int64)


@dataclass(frozen=True)
class Plan:
    """A net as the kernels see it.

    Attributes
    ----------
    table : (n_layers, 8) int64
        A row a layer; columns as in `_numba_kernels`.
    loss : (code, from_logits, mean)
    units : int
        Numbers that a row needs in `acts`: its inputs and every layer's outputs.
    kept : int
        Numbers that a row needs in `zs`.
    """

    table: Array
    loss: tuple[int, bool, bool]
    units: int
    kept: int


@lru_cache(maxsize=256)
def plan_of(spec: NetSpec) -> Plan:
    """Lay out the buffers of a net."""
    table = np.empty((spec.n_layers, 8), np.int64)
    below, kept = 0, 0
    for i, (part, name) in enumerate(zip(spec.layers(), spec.activations, strict=True)):
        n_in, n_out = part.shape
        keep = name in FROM_PREACTIVATION or (i == spec.n_layers - 1 and spec.loss_from_logits)
        table[i, k.N_IN], table[i, k.N_OUT] = n_in, n_out
        table[i, k.W_AT] = part.w.start
        table[i, k.B_AT] = part.b.start if spec.bias else -1
        table[i, k.ACTIVATION] = ACTIVATIONS.index(name)
        table[i, k.BELOW_AT], table[i, k.A_AT] = below, below + n_in
        table[i, k.Z_AT] = kept if keep else -1
        below += n_in
        kept += n_out if keep else 0
    loss = (LOSSES.index(spec.loss), spec.loss_from_logits, spec.reduction == "mean")
    return Plan(table, loss, below + spec.n_out, kept)


def _aligned(count: int, dtype: str) -> Array:
    """Return uninitialised numbers that begin on a cache line."""
    raw = np.empty(count * np.dtype(dtype).itemsize + 64, np.uint8)
    start = -raw.ctypes.data % 64
    return raw[start : start + count * np.dtype(dtype).itemsize].view(dtype)


def _buffers(spec: NetSpec, rows: int) -> tuple[Array, ...]:
    """Return acts, zs, targets, weights and two deltas for that many rows."""
    plan = plan_of(spec)
    delta = rows * max(spec.sizes[1:])
    counts = (rows * plan.units, rows * plan.kept, rows * spec.n_out, rows, delta, delta)
    return tuple(_aligned(count, spec.dtype) for count in counts)


def _where_x(x: Array, scale: float) -> tuple[int, int, int, float]:
    return k.X_KINDS.index(x.dtype.name), x.ctypes.data, x.strides[0], float(scale)


def _where_y(data: Data) -> tuple[int, int, int]:
    kind = 2 if data.y.ndim == 1 else k.X_KINDS.index(data.y.dtype.name)
    weight = data.sample_weight
    return kind, data.y.ctypes.data, 0 if weight is None else weight.ctypes.data


def _chunk(spec: NetSpec, n: int) -> int:
    """Rows to take at once, so that scratch memory stays small for any number of rows."""
    fitting = _CHUNK_BYTES // (plan_of(spec).units * np.dtype(spec.dtype).itemsize)
    return max(1, min(n, max(fitting, 64), _CHUNK_ROWS))


def _flat(a: Array) -> Array:
    """Return a one-dimensional view of a contiguous array."""
    return a.reshape(-1)


def _writable(a: Array) -> Array:
    """Return `a`, or a copy if it is read-only: Numba would compile anew for such an array."""
    return a if a.flags.writeable else a.copy()


class NumbaTrainer:
    """Optimizer state and scratch memory tied to one net's parameters."""

    checks_input = False
    saves_each_epoch = False

    def __init__(self, spec: NetSpec, params: Array, optimizer: Optimizer) -> None:
        self.spec, self.params, self.optimizer = spec, params, optimizer
        self.m, self.v, self.steps = np.zeros_like(params), np.zeros_like(params), 0
        self._grad, self._backup = np.empty_like(params), np.empty_like(params)
        self._rows = 0
        self._scratch: tuple[Array, ...] = ()

    def run(
        self,
        data: Data,
        orders: Array | None,
        learning_rates: Array | Sequence[float],
        batch_size: int,
        *,
        l2: float,
        want_metrics: bool,
        stop: Array,
    ) -> Report:
        n, spec = len(data), self.spec
        batch_size = min(batch_size, n)
        if self._rows < batch_size:
            self._scratch, self._rows = _buffers(spec, batch_size), batch_size
        plan = plan_of(spec)
        rates = np.asarray(learning_rates, np.float64)
        history = np.zeros((len(rates), 5))
        constants = self._constants(l2)
        rule = (k.OPTIMIZERS.index(self.optimizer.name), getattr(self.optimizer, "nesterov", False))

        def call() -> tuple[int, int, int]:
            return k.run(
                plan.table,
                plan.loss,
                rule,
                self.params,
                (self.steps, self.m, self.v),
                _where_x(data.x, data.input_scale),
                _where_y(data),
                n,
                _NO_ORDERS if orders is None else np.ascontiguousarray(orders),
                rates,
                batch_size,
                want_metrics,
                stop,
                (*self._scratch, self._grad, self._backup),
                constants,
                constants.astype(spec.dtype),
                history,
            )

        long = _seconds(spec, n, batch_size, len(rates)) > _LONG_SECONDS
        in_main = threading.current_thread() is threading.main_thread()
        done, status, self.steps = _in_thread(call, stop) if long and in_main else call()
        return Report(history[:done], _STATUS[status])

    def _constants(self, l2: float) -> Array:
        """Return the numbers that `_numba_kernels.update` reads, (8,) float64."""
        o: Any = self.optimizer
        beta_1 = getattr(o, "beta_1", 0.0)
        beta_2 = getattr(o, "beta_2", getattr(o, "rho", 0.0))
        constants = np.zeros(8)
        constants[k.MOMENTUM] = getattr(o, "momentum", 0.0)
        constants[k.BETA_1], constants[k.REST_1] = beta_1, 1 - beta_1
        constants[k.BETA_2], constants[k.REST_2] = beta_2, 1 - beta_2
        constants[k.EPSILON] = getattr(o, "epsilon", 0.0)
        constants[k.DECAY] = getattr(o, "weight_decay", 0.0)
        constants[k.L2] = l2
        return constants

    def state(self) -> dict[str, Any]:
        return {"steps": self.steps, "m": self.m.copy(), "v": self.v.copy()}

    def load_state(self, state: dict[str, Any]) -> None:
        self.steps = int(state["steps"])
        self.m[...], self.v[...] = state["m"], state["v"]


def _seconds(spec: NetSpec, n: int, batch_size: int, epochs: int) -> float:
    """Estimate, rather too high than too low, how long a run takes."""
    row = 6 * spec.n_params / 10e9 + sum(spec.sizes) * 5e-9
    step = 1e-6 + spec.n_params * 2e-9
    return epochs * (n * row + -(-n // batch_size) * step)


def _in_thread(call: Callable[[], Any], stop: Array) -> Any:
    """Run `call` beside the main thread, which meanwhile wakes up to handle signals."""
    result: list[Any] = []
    errors: list[BaseException] = []
    # Not Thread.join: in Python 3.11 an exception in it marks a running thread as ended.
    done = threading.Event()

    def work() -> None:
        try:
            result.append(call())
        except BaseException as error:  # noqa: BLE001 - raised again in the main thread
            errors.append(error)
        finally:
            done.set()

    threading.Thread(target=work, name="mlpfast-numba", daemon=True).start()
    try:
        while not done.wait(_WAIT_SECONDS):
            pass
    except BaseException:
        # A signal handler of the caller's own raised: nothing may go on writing to the parameters.
        stop[0] = 1
        done.wait()
        raise
    if errors:
        raise errors[0]
    return result[0]


class NumbaBackend:
    """The backend protocol in terms of the compiled functions."""

    name = "numba"

    def describe(self) -> dict[str, Any]:
        return {"isa": "numba", "numba": numba.__version__, "numpy": np.__version__}

    def dense_forward(
        self, x: Array, w: Array, b: Array | None, activation: str, out: Array
    ) -> None:
        bias = np.empty(0, w.dtype) if b is None else _writable(b)
        k.dense_forward(_writable(x), _writable(w), bias, ACTIVATIONS.index(activation), out)

    def dense_backward(
        self, x: Array, w: Array, kept: Array, grad_a: Array, activation: str, need_dx: bool
    ) -> tuple[Array | None, Array, Array]:
        dx = np.empty((len(x) if need_dx else 0, x.shape[1]), x.dtype)
        dw, db = np.empty_like(w), np.empty(w.shape[1], w.dtype)
        k.dense_backward(
            *(_writable(x), _writable(w), _writable(kept), grad_a.copy()),
            *(ACTIVATIONS.index(activation), dx, dw, db),
        )
        return (dx if need_dx else None), dw, db

    def forward(
        self, spec: NetSpec, params: Array, x: Array, input_scale: float, out: Array
    ) -> None:
        n, plan = len(x), plan_of(spec)
        rows = _chunk(spec, n)
        acts = _aligned(rows * plan.units, spec.dtype)
        zs = _aligned(rows * plan.kept, spec.dtype)
        k.forward(plan.table, params, _where_x(x, input_scale), n, acts, zs, _flat(out))

    def fast_predict(self, spec: NetSpec, params: Array) -> FastPredict:
        return no_fast_predict

    def fast_gradient(self, spec: NetSpec, params: Array) -> FastGradient:
        return no_fast_gradient

    def loss_and_grad(self, spec: NetSpec, params: Array, data: Data, grad: Array) -> float:
        n, plan = len(data), plan_of(spec)
        none, no_constants = np.empty(0, spec.dtype), np.zeros(8)
        history = np.zeros((1, 5))
        k.run(
            plan.table,
            plan.loss,
            (-1, False),
            params,
            (0, none, none),
            _where_x(data.x, data.input_scale),
            _where_y(data),
            n,
            _NO_ORDERS,
            np.zeros(1),
            n,
            False,
            np.zeros(1, np.uint8),
            (*_buffers(spec, n), grad, np.empty_like(params)),
            no_constants,
            no_constants.astype(spec.dtype),
            history,
        )
        total, weight = history[0, :2].tolist()
        if spec.reduction == "sum":
            return float(total)
        return float(total / weight) if weight > 0 else 0.0

    def evaluate(self, spec: NetSpec, params: Array, data: Data) -> Array:
        n, plan = len(data), plan_of(spec)
        acts, zs, targets, weights, delta, _ = _buffers(spec, _chunk(spec, n))
        sums = np.zeros(5)
        x, y = _where_x(data.x, data.input_scale), _where_y(data)
        k.evaluate(plan.table, plan.loss, params, x, y, n, acts, zs, targets, weights, delta, sums)
        return sums

    def trainer(self, spec: NetSpec, params: Array, optimizer: Optimizer) -> NumbaTrainer:
        return NumbaTrainer(spec, params, optimizer)


def make(_: str = "") -> NumbaBackend:
    """Return the backend."""
    return NumbaBackend()
