"""The drivers: forward and backward passes over blocks of rows, and whole runs of epochs.

Several threads run the same driver side by side, told apart by `tid` of `team`. A large batch of a
small net is cut into chunks, each of which one thread takes through the net; else all threads share
the rows of a block and, for the gradients and the update, its weights. No sum depends on who
computed it.

Drivers know memory as addresses and count in bytes; see `memory.py` for what lies where.
"""

# Numba types compiled code itself.
# mypy: ignore-errors
from __future__ import annotations

import math
from typing import NamedTuple

from mlpfast.backends.base import TOTALS
from mlpfast.backends.numba import updates
from mlpfast.backends.numba.jit import (
    atomic_add,
    atomic_load,
    call,
    doubles_at,
    inlined,
    jit,
)
from mlpfast.backends.numba.kernels import mix
from mlpfast.backends.numba.losses import FIGURES
from mlpfast.backends.numba.memory import ROWS, STRIP

OK, INTERRUPTED, DIVERGED = range(3)
_PENALTY = TOTALS.index("penalty")
# Words of `sync`, each on a cache line of its own.
_ARRIVED, _ROUND, _STOP, _BAD = 0, 64, 128, 192
_PATIENCE = 2000  # looks, tens of microseconds, before a waiting thread lets others run


class Rows(NamedTuple):
    """A thread's rows of a block, on their way through the net.

    There are n; they are numbers `r0` .. of the block, `row` .. of the batch, and `first` .. of the
    order at the address `order`, unless that is 0. `key` is that of the step's dropout. At x is the
    block as it is fetched, at `work` its workspace, at `own` what the thread has for itself.
    """

    n: int
    r0: int
    row: int
    first: int
    order: int
    key: int
    x: int
    work: int
    own: int


@inlined
def _share(count, unit, tid, team):
    """Return first and end of a thread's share of 0 .. count, in whole units but for the last."""
    units = (count + unit - 1) // unit
    return units * tid // team * unit, min(count, units * (tid + 1) // team * unit)


@inlined
def _barrier(run, team):
    """Wait until all threads of the team are here."""
    if team == 1:
        return
    now = atomic_load(run.sync + _ROUND)
    if atomic_add(run.sync + _ARRIVED, 1) == team - 1:
        atomic_add(run.sync + _ARRIVED, -team)
        atomic_add(run.sync + _ROUND, 1)
        return
    tries = 0
    while atomic_load(run.sync + _ROUND) == now:
        tries += 1
        if tries > _PATIENCE:  # somebody else may need this processor
            call(run.yield_, ())


# ---------------------------------------------------------------------------- a block


@inlined
def _fetch(run, layers, b):
    """Fetch inputs, targets and weights."""
    n_in, n_out, ld = layers[0].n_in, layers[len(layers) - 1].n_out, run.ld
    x, rows = b.x + b.r0 * run.itemsize, (b.order, 1 if b.order else 0, b.first, b.n)
    call(run.gather, (run.rows_x, run.stride_x, run.scale_x, *rows, n_in, x, ld))
    if run.input_threshold > 0:
        drop = mix(b.key), b.row, run.input_threshold, run.input_factor, b.own + run.keys
        call(run.drop, (x, x, ld, n_in, b.n, *drop))
    call(run.fill, (x + n_in * ld * run.itemsize, b.n, 1.0))  # goes with the biases
    if run.labels:
        call(run.one_hot, (run.rows_y, *rows, n_out, x + run.t, ld))
    elif run.rows_y:
        call(run.gather_targets, (run.rows_y, run.stride_y, 1.0, *rows, n_out, x + run.t, ld))
    if run.rows_weight:
        weights = run.rows_weight, run.itemsize, 1.0
        call(run.gather_targets, (*weights, *rows, 1, x + run.weight, ld))
    else:
        call(run.fill, (x + run.weight, b.n, 1.0))


@inlined
def _forward(run, layers, b):
    """Compute z and outputs of all layers."""
    ld, count = run.ld, (b.n + run.lanes - 1) // run.lanes * run.lanes
    work = b.work + b.r0 * run.itemsize
    below = b.x + b.r0 * run.itemsize
    for i in range(len(layers)):
        layer, width = layers[i], layers[i].width
        m, z, out, a = layer.n_out, work + layer.z, work + layer.out, work + layer.a
        for p in range(layer.panels):
            w, units = run.w + layer.w + p * layer.stride, min(width, m - p * width)
            to = z + p * width * ld * run.itemsize
            call(run.product, (units, count, layer.depth, w, 1, width, below, ld, to, ld, 0))
        if out != z:
            call(run.copy, (z, out, ld, m, b.n))
        call(layer.activate, (out, ld, m, b.n))
        if layer.threshold > 0:
            drop = mix(b.key + i + 1), b.row, layer.threshold, layer.factor, b.own + run.keys
            call(run.drop, (out, a, ld, m, b.n, *drop))
        call(run.fill, (a + m * ld * run.itemsize, b.n, 1.0))
        below = a


@inlined
def _backward(run, layers, b, scale):
    """Compute the figures and the deltas of all layers, which are kept row by row."""
    ld, s, last = run.ld, run.itemsize, len(layers) - 1
    count = (b.n + run.lanes - 1) // run.lanes * run.lanes
    work, x, total = b.work + b.r0 * s, b.x + b.r0 * s, b.own + run.total
    for i in range(last, -1, -1):
        layer, m = layers[i], layers[i].n_out
        delta = work + run.delta + i % 2 * run.delta_size
        if i == last:
            a, t, weight = work + layer.out, x + run.t, x + run.weight
            rest = weight, scale, run.parameter, total
            call(run.loss, (a, work + layer.z, t, delta, ld, m, b.n, *rest))
            sums = run.sums + b.row // run.lanes * FIGURES * 8
            rest = weight, total, run.counts_rows, run.want_metrics, sums
            call(run.figures, (a, t, ld, m, b.n, run.lanes, *rest))
        else:
            above = layers[i + 1]
            source = work + run.delta + (i + 1) % 2 * run.delta_size
            for p in range(above.panels):
                width, w = above.width, run.w + above.w + p * above.stride
                units, d = min(width, above.n_out - p * width), source + p * width * ld * s
                call(run.product, (m, count, units, w, width, 1, d, ld, delta, ld, p))
            if layer.threshold > 0:
                drop = mix(b.key + i + 1), b.row, layer.threshold, layer.factor, b.own + run.keys
                call(run.drop, (delta, delta, ld, m, b.n, *drop))
        if i < last or run.from_logits == 0:
            call(layer.derive, (work + layer.kept, delta, ld, m, b.n))
        for p in range(layer.panels):
            at, width = p * layer.width * ld * s, layer.width
            to = b.work + layer.by_row + (p * run.height + b.r0) * width * s
            call(run.transpose, (delta + at, ld, min(width, m - p * width), b.n, to, width))


@inlined
def _weight_gradients(run, layers, x, work, own, n, gradient, add, s_at, l2_scale, tid, team):
    """Compute or add to the gradients of a block; without a place for them, update at once."""
    for i in range(len(layers)):
        layer, width, ld = layers[i], layers[i].width, run.ld
        below = work + layers[i - 1].a if i else x
        i0, i1 = _share(layer.depth, 4, tid, team)
        for first in range(i0, i1, STRIP):
            rows = min(STRIP, i1 - first)
            for p in range(layer.panels):
                at = layer.w + (p * layer.depth + first) * width * run.itemsize
                to = gradient + at if gradient else own
                a = below + first * ld * run.itemsize
                d = work + layer.by_row + p * run.height * width * run.itemsize
                call(run.product, (rows, width, n, a, ld, 1, d, width, to, width, add))
                if gradient == 0:
                    _update(run, layer, at, to, first, rows, s_at, l2_scale)


@inlined
def _update(run, layer, at, g, first, rows, s_at, l2_scale):
    """Update rows first .. first + rows of a panel, at `at`; biases have no l2 term."""
    w, m, v = run.w + at, run.w + run.panels_size + at, run.w + 2 * run.panels_size + at
    count, l2 = rows * layer.width, layer.l2 * l2_scale
    bias = layer.width if l2 != 0.0 and first + rows > layer.n_in else 0
    if count > bias:
        call(run.update, (w, g, m, v, count - bias, l2, s_at))
    if bias:
        on = (count - bias) * run.itemsize
        call(run.update, (w + on, g + on, m + on, v + on, bias, 0.0, s_at))


# ---------------------------------------------------------------------------- a batch


@inlined
def _gradients(run, layers, order, first, rows, key, scale, s_at, l2_scale, tid, team):
    """Take a batch through the net and back; return whether it was used for an update at once."""
    own = run.own + tid * run.own_size
    c0, c1, chunk, slot, at_once = 0, 1, rows, 0, run.update != 0 and run.batch_size <= ROWS
    if run.chunk:
        chunk, slot = run.chunk, tid
        c0, c1 = _share((rows + chunk - 1) // chunk, 1, tid, team)
        tid, team = 0, 1
    x, work = run.x + slot * run.x_size, run.work + slot * run.work_size
    for c in range(c0, c1):
        gradient = 0 if at_once else run.gradient + c * run.panels_size
        for row in range(c * chunk, min((c + 1) * chunk, rows), ROWS):
            n = min(ROWS, rows - row)
            r0, r1 = _share(n, run.lanes, tid, team)
            if r0 < r1:
                b = Rows(r1 - r0, r0, row + r0, first + row + r0, order, key, x, work, own)
                _fetch(run, layers, b)
                _forward(run, layers, b)
                _backward(run, layers, b, scale)
            _barrier(run, team)
            place = gradient, row - c * chunk
            _weight_gradients(run, layers, x, work, own, n, *place, s_at, l2_scale, tid, team)
            _barrier(run, team)
    return at_once


@inlined
def _use_gradients(run, layers, rows, s_at, l2_scale, tid, team):
    """Add up the gradients of the chunks and make an update of them, if one is wanted."""
    chunks = (rows + run.chunk - 1) // run.chunk if run.chunk else 1
    for i in range(len(layers)):
        layer = layers[i]
        first, end = _share(layer.depth, 4, tid, team)
        for p in range(layer.panels if first < end else 0):
            at = layer.w + p * layer.stride + first * layer.width * run.itemsize
            g, count = run.gradient + at, (end - first) * layer.width
            call(run.add_chunks, (g, count, chunks, run.panels_size // run.itemsize))
            if run.update:
                _update(run, layer, at, g, first, end - first, s_at, l2_scale)
    _barrier(run, team)


# ---------------------------------------------------------------------------- whole runs


@inlined
def _step_sizes(s, step, lr):
    """Set what changes from step to step in the numbers of an optimizer."""
    root = 1.0
    if s[updates.CORRECTED]:  # the bias corrections of m and v, folded into two scalars
        root = math.sqrt(1.0 - s[updates.BETA_2] ** step)
        s[updates.RATE] = lr * root / (1.0 - s[updates.BETA_1] ** step)
    else:  # the rate is in the step that a velocity makes, or in what it gathers
        s[updates.RATE] = -1.0 if s[updates.SCALED] else lr
    s[updates.GAIN] = -lr if s[updates.SCALED] else 1.0
    s[updates.SHRINK] = 1.0 - lr * s[updates.DECAY]
    s[updates.EPSILON] = s[updates.PLAIN_EPSILON] * (1.0 if s[updates.HAT] else root)


@inlined
def _exchange(run, layers, flat, panels, back, tid, team):
    """Copy a thread's share of all parameters from flat to panels or back."""
    for i in range(len(layers)):
        layer = layers[i]
        rows = _share(layer.depth, 1, tid, team)
        sizes = layer.n_out, layer.width, layer.stride // run.itemsize, *rows
        call(run.exchange, (flat + layer.flat, panels + layer.w, *sizes, back))


@inlined
def _exchange_state(run, layers, back, tid, team):
    """Copy parameters and moments from the caller's arrays to panels or back."""
    flats = run.flat_w, run.flat_m, run.flat_v
    for q in range(run.moments + 1):
        _exchange(run, layers, flats[q], run.w + q * run.panels_size, back, tid, team)


@inlined
def _l2_term(run, layers, own):
    """Half the sum of the layers' squared weights, each times its factor."""
    total, square = 0.0, doubles_at(own + run.total)
    for i in range(len(layers)):
        layer = layers[i]
        for p in range(layer.panels if layer.l2 != 0.0 else 0):
            w = run.w + layer.w + p * layer.stride
            call(run.sum_squares, (w, layer.n_in * layer.width, own + run.total))
            total += layer.l2 * square[0]
    return 0.5 * total


@jit
def train(tid, team, runs, layers, steps, rates, orders, keys, stop, history):
    """Train an epoch for each row of rates; return (rows of history, status, steps).

    A row of rates has one, or one for each step; orders and keys may have no rows. The caller's
    arrays are written where an epoch is done. Without an update, the gradient of the first batch is
    written where the moments would be, and that is all.
    """
    run = runs[0]
    n, own, s_at = run.n, run.own + tid * run.own_size, run.numbers + tid * updates.BYTES
    s, sums = doubles_at(s_at), doubles_at(run.sums)
    _exchange_state(run, layers, 0, tid, team)
    _barrier(run, team)
    for epoch in range(len(rates)):
        steps_before, finite = steps, True
        order = orders.ctypes.data + epoch * n * 8 if len(orders) else 0
        for first in range(0, n, run.batch_size):
            batch, rows = first // run.batch_size, min(run.batch_size, n - first)
            key = -1
            if len(keys):
                key = mix(mix(keys[epoch, 0] + batch) ^ keys[epoch, 1])
            scale, weights = 1.0, 1.0
            if run.reduces:
                weights = float(rows)
                if run.rows_weight and not run.counts_rows:
                    place = order, 1 if order else 0, first, rows, own + run.total
                    call(run.sum_of, (run.rows_weight, *place))
                    weights = doubles_at(own + run.total)[0]
                scale = 1.0 / weights if weights != 0.0 else 0.0
            l2_scale, penalty = scale if run.l2_per_row else 1.0, 0.0
            if run.want_penalty and tid == 0:  # nobody moves a weight before all have met
                penalty = _l2_term(run, layers, own) * weights * l2_scale
            steps += 1
            _step_sizes(s, steps, rates[epoch, batch if rates.shape[1] > 1 else 0])
            at_once = _gradients(
                run, layers, order, first, rows, key, scale, s_at, l2_scale, tid, team
            )
            if run.chunk:
                _barrier(run, team)
            groups, total = (rows + run.lanes - 1) // run.lanes, 0.0
            for g in range(groups):
                total += sums[g * FIGURES]
            if tid == 0:
                by = rows * scale if run.l2_per_row and run.reduces else 1.0
                for g in range(groups):
                    for q in range(FIGURES):
                        history[epoch, q] += sums[g * FIGURES + q] * by
                history[epoch, _PENALTY] += penalty * by
            finite = not run.check_finite or math.isfinite(total)
            if run.update and not finite:
                break
            if not at_once:
                _use_gradients(run, layers, rows, s_at, l2_scale, tid, team)
            if run.update == 0:
                _exchange(run, layers, run.flat_m, run.gradient, 1, tid, team)
                return epoch, OK, steps
            if tid == 0 and stop[0]:
                atomic_add(run.sync + _STOP, 1)
            _barrier(run, team)
            if atomic_load(run.sync + _STOP):
                _exchange_state(run, layers, 1, tid, team)
                return epoch + 1, INTERRUPTED, steps
        if run.check_finite and finite:
            first, end = _share(run.panels_size, 64, tid, team)
            place = run.w + first, (end - first) // run.itemsize, run.sync + _BAD
            call(run.find_not_finite, place)
        _barrier(run, team)
        if not finite or atomic_load(run.sync + _BAD):
            return epoch, DIVERGED, steps_before
        _exchange_state(run, layers, 1, tid, team)
    return len(rates), OK, steps


@jit
def predict(tid, team, runs, layers, out):
    """Write the net's outputs for n rows to the address out, block by block."""
    run, last = runs[0], layers[len(layers) - 1]
    own, work = run.own + tid * run.own_size, run.work + tid * run.work_size
    x = run.x + tid * run.x_size
    _exchange_state(run, layers, 0, tid, team)
    _barrier(run, team)
    r0, r1 = _share(run.n, ROWS, tid, team)
    for first in range(r0, r1, ROWS):
        b = Rows(min(ROWS, r1 - first), 0, 0, first, 0, 0, x, work, own)
        _fetch(run, layers, b)
        _forward(run, layers, b)
        to = out + first * last.n_out * run.itemsize
        call(run.scatter, (work + last.out, run.ld, b.n, last.n_out, to))


@jit
def predict_rows(runs, layers, work, x, n, out):
    """Do the same for a few contiguous rows of the net's dtype at the address x, one by one.

    In a block they would leave most of a vector empty.
    """
    run = runs[0]
    s, last = run.itemsize, len(layers) - 1
    for r in range(n):
        below, z = x + r * layers[0].n_in * s, work
        for i in range(last + 1):
            layer, m = layers[i], layers[i].n_out
            sizes = layer.n_in, layer.depth - layer.n_in, run.flat_w + layer.flat, m
            call(run.row_product, (below, *sizes, z))
            if layer.whole_rows:
                call(layer.activate, (z, 1, m, 1))
            else:  # units as if they were rows, which fill vectors
                call(layer.activate, (z, 0, 1, m))
            below, z = z, z + m * s
        call(run.copy, (below, out + r * layers[last].n_out * s, 0, 1, layers[last].n_out))
