"""The Numba backend: the arithmetic of ``backends/numpy.py``, a whole run in one compiled call."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Any

import numba
import numpy as np

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
from mlpfast.backends.numba import calls as k
from mlpfast.backends.numba.jit import provide
from mlpfast.backends.numba.layers import DEPTH, PACK, TILE, X_KINDS
from mlpfast.backends.numba.vectors import VECTOR_BYTES
from mlpfast.backends.threads import num_threads
from mlpfast.spec import ACTIVATIONS, FROM_PREACTIVATION, LOSSES, REDUCTIONS, NetSpec, Optimizer

# Rows of a block, and of the chunks of a large batch whose gradients are summed on their own.
_ROWS = 128
_CHUNK = 512
# Nets of up to this many parameters go through a large batch block by block.
_NARROW_PARAMETERS = 16384

# Up to this many rows are predicted one by one.
_FEW_ROWS = 2

# A run that may take longer than this goes to a thread of its own, since Python cannot look at
# signals while compiled code holds the main thread; one that may take longer than the second
# number is worth starting threads for.
_LONG_SECONDS = 0.05
_TEAM_SECONDS = 0.001
_TEAM_FLOPS = 1e6
_WAIT_SECONDS = 0.02

_STATUS = {k.OK: "ok", k.INTERRUPTED: "interrupted", k.DIVERGED: "diverged"}
_NO_ORDERS = np.empty((0, 0), np.int64)
# Activations whose derivative can be had from an output of which some was dropped.
_BY_SIGN = frozenset({"identity", "relu", "leaky_relu"})


def _lanes(dtype: str) -> int:
    return VECTOR_BYTES // np.dtype(dtype).itemsize


def _up(count: int, unit: int) -> int:
    return -(-count // unit) * unit


def _odd(count: int, lanes: int) -> int:
    """Round up to an odd number of vectors, so that a column fills all sets of the cache."""
    return (-(-count // lanes) | 1) * lanes


@dataclass(frozen=True)
class Plan:
    """A net as the kernels see it.

    Attributes
    ----------
    table : (n_layers, k.COLUMNS) int64
        A row a layer; columns as in `_numba_kernels`.
    loss : (code, from_logits, mean, parameter)
    units, widest, deltas, gradient : int
        Rows that a block needs for outputs and kept z; the most units of a layer but the inputs,
        in whole vectors; numbers that a row needs for the deltas of all layers; numbers of a
        gradient with its gaps.
    """

    table: Array
    loss: tuple[int, bool, int, float]
    units: int
    widest: int
    deltas: int
    gradient: int


@lru_cache(maxsize=256)
def plan_of(spec: NetSpec) -> Plan:
    """Lay out the buffers of a net."""
    provide(spec.dtype)
    lanes = _lanes(spec.dtype)
    table = np.empty((spec.n_layers, k.COLUMNS), np.int64)
    units, deltas, gradient = 0, 0, 0
    for i, (part, name) in enumerate(zip(spec.layers(), spec.activations, strict=True)):
        n_in, n_out = part.shape
        last = i == spec.n_layers - 1
        rate = 0.0 if last or not spec.dropout else spec.dropout[i + 1]
        keep = name in FROM_PREACTIVATION or (last and spec.loss_from_logits)
        keep = keep or (rate > 0 and name not in _BY_SIGN)
        padded = _up(n_out, lanes)
        table[i, k.N_IN], table[i, k.N_OUT] = n_in, n_out
        table[i, k.W_AT] = part.w.start
        table[i, k.B_AT] = part.b.start if spec.bias else -1
        table[i, k.ACTIVATION] = ACTIVATIONS.index(name)
        table[i, k.A_AT] = units
        table[i, k.Z_AT] = units + padded if keep else -1
        table[i, k.D_AT], table[i, k.D_LD] = deltas, _odd(n_out, lanes)
        table[i, k.G_AT], table[i, k.G_LD] = gradient, padded
        table[i, k.THRESHOLD] = dropout.threshold(rate)
        units += padded * (2 if keep else 1)
        deltas += _odd(n_out, lanes)
        gradient += (n_in + 1) * padded
    parameter = spec.loss_parameter or 0.0
    reduction = REDUCTIONS.index(spec.reduction)
    loss = (LOSSES.index(spec.loss), spec.loss_from_logits, reduction, parameter)
    return Plan(table, loss, units, _up(max(spec.sizes[1:]), lanes), deltas, gradient)


def _zeros(count: int, dtype: str) -> Array:
    """Return zeros that begin on a cache line."""
    raw = np.zeros(count * np.dtype(dtype).itemsize + 64, np.uint8)
    start = -raw.ctypes.data % 64
    return raw[start : start + count * np.dtype(dtype).itemsize].view(dtype)


@dataclass(frozen=True)
class Room:
    """Memory for batches of up to so many rows, and what lies where in it."""

    rows: int
    team: int
    mem: Array
    places: Array
    doubles: Array
    sums: Array
    sync: Array


def _room(spec: NetSpec, rows: int, team: int, *, train: bool) -> Room:
    """Make room for training on batches of `rows`, or for going through that many rows."""
    plan, lanes = plan_of(spec), _lanes(spec.dtype)
    size = min(_ROWS, _up(max(rows, 1), lanes))
    blocks = -(-rows // size)
    narrow = train and rows >= 2 * _CHUNK and spec.n_params <= _NARROW_PARAMETERS
    team = max(1, min(team, -(-rows // _CHUNK) if narrow else blocks if not train else team))
    p = dict.fromkeys(k.PLACES, 0)
    p["layers"] = spec.n_layers
    p["rows"], p["ld"] = size, _odd(size, lanes)
    p["t_at"] = _up(spec.n_in, lanes) * p["ld"]
    p["weight_at"] = p["t_at"] + _up(spec.n_out, lanes) * p["ld"]
    p["x_size"] = p["weight_at"] + p["ld"]
    p["delta_at"] = plan.units * p["ld"]
    p["delta_size"] = plan.widest * p["ld"]
    p["by_row_at"] = p["delta_at"] + 2 * p["delta_size"]
    p["work_size"] = p["by_row_at"] + size * plan.deltas
    p["line_ld"] = _odd(max(spec.sizes[0], spec.sizes[-1]), lanes)
    p["slab_at"] = lanes * p["line_ld"]
    p["slab_size"] = max(TILE * plan.widest, 4096)
    p["flat_at"] = p["slab_at"] + p["slab_size"]
    p["pack_at"] = p["flat_at"] + p["slab_size"]
    p["own_size"] = p["pack_at"] + _up(DEPTH * PACK, lanes)
    p["chunk"] = _CHUNK if narrow else 0
    p["partial_size"] = plan.gradient
    p["work_at"] = p["x_size"] * (blocks if train else team)
    works = blocks if train and not narrow else team
    p["own_at"] = p["work_at"] + p["work_size"] * works
    p["partial_at"] = p["own_at"] + p["own_size"] * team
    total = p["partial_at"] + (p["partial_size"] * -(-rows // _CHUNK) if narrow else 0)
    places = np.array([p[name] for name in k.PLACES], np.int64)
    sums = np.zeros(_up(rows, lanes) // lanes * 5)
    doubles = np.zeros(2 * size * team)
    return Room(
        rows, team, _zeros(total, spec.dtype), places, doubles, sums, np.zeros(32, np.int64)
    )


def _row_room(spec: NetSpec) -> tuple[Array, Array]:
    """Room for a single row on its way through the net, and the places in it."""
    lanes = _lanes(spec.dtype)
    p = dict.fromkeys(k.PLACES, 0)
    p["layers"] = spec.n_layers
    p["work_at"] = _up(spec.n_in, lanes)
    p["own_at"] = p["work_at"] + sum(_up(units, lanes) for units in spec.sizes[1:])
    total = p["own_at"] + max(spec.sizes[1:]) * lanes
    return _zeros(total, spec.dtype), np.array([p[name] for name in k.PLACES], np.int64)


def _where_x(x: Array, scale: float) -> tuple[int, int, int, float]:
    return X_KINDS.index(x.dtype.name), x.ctypes.data, x.strides[0], float(scale)


def _where_y(data: Data) -> tuple[int, int, int]:
    kind = 2 if data.y.ndim == 1 else X_KINDS.index(data.y.dtype.name)
    weight = data.sample_weight
    return kind, data.y.ctypes.data, 0 if weight is None else weight.ctypes.data


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
        self._backup = np.empty_like(params)
        self._room: tuple[Any, Room] | None = None
        # All of a gradient must be there before it can be clipped.
        self._gradient = np.empty_like(params) if optimizer.clips else self.m
        self._squares = np.zeros(-(-len(params) // k.CLIPPED))

    def run(self, data: Data, epochs: Epochs, options: RunOptions) -> Report:
        dropout.check_keys(self.spec, epochs.dropout_keys)
        n, spec = len(data), self.spec
        batch_size = min(options.batch_size, n)
        seconds = _seconds(spec, n, batch_size, len(epochs.learning_rates))
        team = _team(seconds, spec, batch_size)
        if self._room is None or self._room[0] != (batch_size, team):
            self._room = (batch_size, team), _room(spec, batch_size, team, train=True)
        room = self._room[1]
        plan = plan_of(spec)
        rates = epochs.learning_rates.reshape(len(epochs.learning_rates), -1)
        history = np.zeros((len(rates), k.FIGURES))
        constants = self._constants(options.l2)
        optimizer = self.optimizer
        rule = (k.OPTIMIZERS.index(optimizer.name), bool(getattr(optimizer, "nesterov", False)))
        arguments = (
            room.sync,
            plan.table,
            plan.loss,
            rule,
            (self.params, self.m, self.v, self._gradient),
            self._backup,
            self.steps,
            _where_x(data.x, data.input_scale),
            _where_y(data),
            n,
            _NO_ORDERS if epochs.orders is None else np.ascontiguousarray(epochs.orders),
            rates,
            _drops(spec, epochs.dropout_keys),
            batch_size,
            (
                options.want_metrics,
                options.l2_per_row,
                options.want_penalty and any(options.l2),
                options.check_finite,
            ),
            options.stop,
            room.mem,
            room.places,
            room.doubles,
            room.sums,
            self._squares,
            constants,
            constants.astype(spec.dtype),
            history,
        )
        room.sync[:] = 0
        done, status, self.steps = _run(k.run, room.team, arguments, seconds, options.stop)
        return Report(history[:done], _STATUS[status])

    def _constants(self, l2: Sequence[float]) -> Array:
        """Return the numbers that the kernels' updates read, float64."""
        o: Any = self.optimizer
        beta_1 = getattr(o, "beta_1", 0.0)
        beta_2 = getattr(o, "beta_2", getattr(o, "rho", 0.0))
        constants = np.zeros(k.L2 + len(l2))
        constants[k.MOMENTUM] = getattr(o, "momentum", 0.0)
        constants[k.BETA_1], constants[k.REST_1] = beta_1, 1 - beta_1
        constants[k.BETA_2], constants[k.REST_2] = beta_2, 1 - beta_2
        in_root = getattr(o, "epsilon_in_root", False)
        constants[k.INNER if in_root else k.EPSILON] = getattr(o, "epsilon", 0.0)
        constants[k.EPSILON_HAT] = getattr(o, "epsilon_hat", False)
        # Without momentum there is no velocity.
        constants[k.SCALED_VELOCITY] = getattr(o, "scaled_velocity", False) and o.momentum != 0
        constants[k.DECAY] = getattr(o, "weight_decay", 0.0)
        constants[k.L2 :] = l2
        constants[k.CLIP_NORM], constants[k.CLIP_VALUE] = o.clip_norm or 0.0, o.clip_value or 0.0
        return constants

    def state(self) -> dict[str, Any]:
        return {"steps": self.steps, "m": self.m.copy(), "v": self.v.copy()}

    def load_state(self, state: dict[str, Any]) -> None:
        self.steps = int(state["steps"])
        self.m[...], self.v[...] = state["m"], state["v"]


def _drops(spec: NetSpec, keys: Array | None) -> tuple[Array, int, Array]:
    """Return what `k.run` wants to know of dropout."""
    rates = spec.dropout or (0.0,) * spec.n_layers
    factors = np.array([dropout.scale(rate) for rate in rates], spec.dtype)
    if keys is None:
        return np.empty(0, np.int64), 0, factors
    halves = np.stack([keys & 0xFFFFFFFF, keys >> np.uint64(32)], axis=1).astype(np.int64)
    return halves.reshape(-1), dropout.threshold(rates[0]), factors


def _seconds(spec: NetSpec, n: int, batch_size: int, epochs: int) -> float:
    """Estimate, rather too high than too low, how long a run takes."""
    row = 6 * spec.n_params / 10e9 + sum(spec.sizes) * 5e-9
    step = 1e-6 + spec.n_params * 2e-9
    return epochs * (n * row + -(-n // batch_size) * step)


def _team(seconds: float, spec: NetSpec, batch_size: int) -> int:
    """Threads worth starting for a run of so many seconds: meeting must cost less than is won."""
    step = 6 * spec.n_params * batch_size
    return num_threads() if seconds > _TEAM_SECONDS and step > _TEAM_FLOPS else 1


def _run(
    function: Callable[..., Any], team: int, arguments: tuple[Any, ...], seconds: float, stop: Array
) -> Any:
    """Call ``function(tid, team, *arguments)`` in as many threads; return what number 0 does."""
    in_main = threading.current_thread() is threading.main_thread()
    beside = seconds > _LONG_SECONDS and in_main
    if team == 1 and not beside:
        return function(0, 1, *arguments)
    # The threads wait at the gate until it is known how many could be started.
    gate = threading.Event()
    done = [threading.Event() for _ in range(team)]
    size = 0
    result: list[Any] = [None]
    errors: list[BaseException] = []

    def work(tid: int) -> None:
        try:
            gate.wait()
            answer = function(tid, size, *arguments)
            if tid == 0:
                result[0] = answer
        except BaseException as error:  # noqa: BLE001 - raised again by the caller
            errors.append(error)
        finally:
            done[tid].set()

    first = 0 if beside else 1
    size = team
    for tid in range(first, team):
        try:
            threading.Thread(target=work, args=(tid,), name="mlpfast-numba", daemon=True).start()
        except RuntimeError:  # no more threads to be had
            size = tid
            break
    if size == 0:
        return function(0, 1, *arguments)
    gate.set()
    if not beside:
        work(0)
    try:
        # In short waits, so that the main thread wakes up to handle signals. Not Thread.join: in
        # Python 3.11 an exception in it marks a running thread as ended.
        for one in done[:size]:
            while not one.wait(_WAIT_SECONDS):
                pass
    except BaseException:
        # A signal handler of the caller's own raised: nothing may go on writing to the parameters.
        stop[0] = 1
        for one in done[:size]:
            one.wait()
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
        n, (n_in, n_out) = len(x), w.shape
        room = _layer_room(n, w)
        bias = np.empty(0, w.dtype) if b is None else _writable(b)
        code = ACTIVATIONS.index(activation)
        k.dense_forward(
            *(_where_x(x, 1.0), _flat(_writable(w)), bias, code, n, n_in, n_out),
            *(room.mem, room.places, _flat(out)),
        )

    def dense_backward(
        self, x: Array, w: Array, kept: Array, grad_a: Array, activation: str, need_dx: bool
    ) -> tuple[Array | None, Array, Array]:
        n, (n_in, n_out) = len(x), w.shape
        room = _layer_room(n, w)
        dx = np.empty((n if need_dx else 0, n_in), x.dtype)
        dw, db = np.empty_like(w), np.empty(n_out, w.dtype)
        code = ACTIVATIONS.index(activation)
        k.dense_backward(
            *(_where_x(x, 1.0), _flat(_writable(w)), _where_x(kept, 1.0), _where_x(grad_a, 1.0)),
            *(code, n, n_in, n_out, room.mem, room.places, _flat(dx), _flat(dw), db),
        )
        return (dx if need_dx else None), dw, db

    def forward(
        self, spec: NetSpec, params: Array, x: Array, input_scale: float, out: Array
    ) -> None:
        spec = spec.without_dropout
        n, plan, source = len(x), plan_of(spec), _where_x(x, input_scale)
        if n <= _FEW_ROWS:
            mem, places = _row_room(spec)
            k.forward_rows(plan.table, params, source, n, mem, places, _flat(out))
            return
        seconds = _seconds(spec, n, n, 1) / 3
        room = _room(spec, n, num_threads() if seconds > _TEAM_SECONDS else 1, train=False)
        arguments = (plan.table, params, source, n, room.mem, room.places, _flat(out))
        _run(k.forward, room.team, arguments, 0.0, room.sync)

    def fast_predict(self, spec: NetSpec, params: Array) -> FastPredict:
        spec = spec.without_dropout
        plan, n_in, n_out, dtype = plan_of(spec), spec.n_in, spec.n_out, np.dtype(spec.dtype)
        kind, size = X_KINDS.index(spec.dtype), dtype.itemsize * n_in
        rooms: list[tuple[Array, Array]] = []

        def predict(x: Any, out: Any) -> Any:
            if type(x) is not np.ndarray or x.dtype != dtype or not x.flags.c_contiguous:
                return NotImplemented
            n = 1 if x.ndim == 1 else len(x)
            if not 0 < n <= _FEW_ROWS or x.shape[-1:] != (n_in,) or x.ndim > 2:
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
            if not x.flags.aligned:
                return NotImplemented
            try:
                room = rooms.pop()  # one of its own for each thread that is in here
            except IndexError:
                room = _row_room(spec)
            source = (kind, x.ctypes.data, size, 1.0)
            k.forward_rows(plan.table, params, source, n, *room, out.reshape(-1))
            rooms.append(room)
            return out

        return predict

    def fast_gradient(self, spec: NetSpec, params: Array) -> FastGradient:
        return no_fast_gradient

    def loss_and_grad(self, spec: NetSpec, params: Array, data: Data, grad: Array) -> float:
        spec = spec.without_dropout
        n, plan = len(data), plan_of(spec)
        no_constants = np.zeros(k.L2 + spec.n_layers)
        history = np.zeros((1, k.FIGURES))
        seconds = _seconds(spec, n, n, 1)
        team = _team(seconds, spec, n)
        room = _room(spec, n, team, train=True)
        arguments = (
            room.sync,
            plan.table,
            plan.loss,
            (-1, False),
            (params, grad, grad, grad),
            grad,
            0,
            _where_x(data.x, data.input_scale),
            _where_y(data),
            n,
            _NO_ORDERS,
            np.zeros((1, 1)),
            _drops(spec, None),
            n,
            (False, False, False, True),
            np.zeros(1, np.uint8),
            room.mem,
            room.places,
            room.doubles,
            room.sums,
            no_constants,
            no_constants,
            no_constants.astype(spec.dtype),
            history,
        )
        _run(k.run, room.team, arguments, 0.0, room.sync)
        total, weight = history[0, :2].tolist()
        if spec.reduction == "sum":
            return float(total)
        return float(total / weight) if weight != 0 else 0.0

    def gradient_of(self, spec: NetSpec, params: Array, data: Data) -> Gradient:
        return partial(self.loss_and_grad, spec, params, data)

    def evaluate(self, spec: NetSpec, params: Array, data: Data) -> Array:
        spec = spec.without_dropout
        n, plan = len(data), plan_of(spec)
        seconds = _seconds(spec, n, n, 1) / 3
        room = _room(spec, n, num_threads() if seconds > _TEAM_SECONDS else 1, train=False)
        x, y = _where_x(data.x, data.input_scale), _where_y(data)
        memory = (room.mem, room.places, room.doubles, room.sums)
        arguments = (plan.table, plan.loss, params, x, y, n, *memory)
        _run(k.evaluate, room.team, arguments, 0.0, room.sync)
        return np.append(room.sums.reshape(-1, 5).sum(axis=0), 0.0)

    def plan_for(self, spec: NetSpec, request: PlanRequest) -> PlanChoice:
        why = "blocks of rows go through the whole net, in code compiled for it"
        rows, last = request.rows, request.last_rows
        team = _team(_seconds(spec, request.n_rows, rows, 1), spec, rows)
        return PlanChoice(self.name, why, team, rows, last, min(_ROWS, rows), 1, self.name)

    def trainer(self, spec: NetSpec, params: Array, optimizer: Optimizer) -> NumbaTrainer:
        return NumbaTrainer(spec, params, optimizer)


def _layer_room(n: int, w: Array) -> Room:
    """Room for a lone layer, its inputs as wide as its outputs where they take turns."""
    n_in, n_out = w.shape
    widest = max(n_in, n_out)
    spec = NetSpec((widest, widest), ("identity",), dtype=w.dtype.name)
    room = _room(spec, n, 1, train=False)
    more = np.zeros((n_in + 1) * _up(n_out, _lanes(spec.dtype)) + len(room.mem), w.dtype)
    room.places[k.PLACES.index("partial_at")] = len(room.mem)
    return replace(room, mem=more)


def make(_: str = "") -> NumbaBackend:
    """Return the backend."""
    return NumbaBackend()
