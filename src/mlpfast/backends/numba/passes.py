"""The drivers: forward and backward passes over blocks of rows, and whole runs of epochs.

Several threads run the same driver side by side, told apart by `tid` of `team`. A large batch of a
small net is cut into chunks, each of which one thread takes through the net; else all threads work
at the same layer of the same block, share its rows, its units or its weights, and meet at barriers.
No sum depends on who computed it.

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
    not_inlined,
)
from mlpfast.backends.numba.kernels import mix
from mlpfast.backends.numba.losses import FIGURES
from mlpfast.backends.numba.memory import ROWS, STRIP

OK, INTERRUPTED, DIVERGED = range(3)
_PENALTY = TOTALS.index("penalty")
# Words of `sync`, each on a cache line of its own.
_ARRIVED, _ROUND, _STOP, _BAD = 0, 64, 128, 192
_PATIENCE = 2000  # looks, tens of microseconds, before a waiting thread lets others run


class Block(NamedTuple):
    """Rows of a batch on their way through the net, and who takes them.

    n rows are numbers `row` .. of the batch and are fetched from number `first` of the order on,
    which is at the address `order` unless that is 0; `key` is that of the step's dropout, -1 for
    none. At x is the block as it is fetched, at `work` the workspace, at `own` what this thread has
    for itself.
    """

    n: int
    row: int
    first: int
    order: int
    key: int
    x: int
    work: int
    own: int
    tid: int
    team: int


@inlined
def _share(count, unit, tid, team):
    """Return first and end of a thread's share of 0 .. count, in whole units but for the last."""
    units = (count + unit - 1) // unit
    return units * tid // team * unit, min(count, units * (tid + 1) // team * unit)


@inlined
def _barrier(run, team):
    """Wait until all threads of the team are here."""
    not_inlined()
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
def _part(run, layer, b):
    """Return a thread's part of a layer: first and end of the panels, the first row and the rows.

    Threads share the panels where there are many; else the rows, in whole vectors. The last number
    is that of the rows rounded up to whole vectors.
    """
    (p0, p1), (r0, r1) = (0, layer.panels), (0, b.n)
    if b.team > 1 and layer.panels >= 4 * b.team and not layer.whole_rows:
        p0, p1 = _share(layer.panels, 1, b.tid, b.team)
    else:
        r0, r1 = _share(b.n, run.lanes, b.tid, b.team)
    return p0, p1, r0, r1 - r0, (r1 - r0 + run.lanes - 1) // run.lanes * run.lanes


@inlined
def _fetch(run, layers, b):
    """Fetch a thread's share of a block."""
    not_inlined()
    r0, r1 = _share(b.n, run.lanes, b.tid, b.team)
    if r0 >= r1:
        return
    n_in, n_out, s, ld = layers[0].n_in, layers[len(layers) - 1].n_out, run.itemsize, run.ld
    to = b.x + r0 * s
    rows = b.order, 1 if b.order else 0, b.first + r0, r1 - r0
    call(run.gather, (run.rows_x, run.stride_x, run.scale_x, *rows, n_in, to, ld))
    if run.input_threshold > 0:
        drop = mix(b.key), 0, b.row + r0, run.input_threshold, run.input_factor, b.own + run.keys
        call(run.drop, (to, to, ld, n_in, r1 - r0, *drop))
    call(run.fill, (to + n_in * ld * s, r1 - r0, 1.0))  # goes with the biases
    if run.labels:
        call(run.one_hot, (run.rows_y, *rows, n_out, to + run.t, ld))
    elif run.rows_y:
        call(run.gather_targets, (run.rows_y, run.stride_y, 1.0, *rows, n_out, to + run.t, ld))
    if run.rows_weight:
        call(run.gather_targets, (run.rows_weight, s, 1.0, *rows, 1, to + run.weight, ld))
    else:
        call(run.fill, (to + run.weight, r1 - r0, 1.0))


@inlined
def _forward(run, layers, i, b):
    """Compute z and outputs of layer i."""
    not_inlined()
    layer, s, ld = layers[i], run.itemsize, run.ld
    p0, p1, r0, rows, count = _part(run, layer, b)
    if rows <= 0:
        return
    work, below = b.work + r0 * s, (b.work + layers[i - 1].a if i else b.x) + r0 * s
    for p in range(p0, p1):
        j, width = p * layer.width, layer.width
        units, at = min(width, layer.n_out - j), j * ld * s
        w, z = run.w + layer.w + p * layer.stride, work + layer.z + at
        call(run.product, (units, count, layer.depth, w, 1, width, below, ld, z, ld, 0))
        if layer.whole_rows:
            if p < p1 - 1:
                continue
            j, units, at = 0, layer.n_out, 0
        out = work + layer.out + at
        if layer.out != layer.z:
            call(run.copy, (work + layer.z + at, out, ld, units, rows))
        call(layer.activate, (out, ld, units, rows))
        if layer.threshold > 0:
            drop = j, b.row + r0, layer.threshold, layer.factor, b.own + run.keys
            to = work + layer.a + at
            call(run.drop, (out, to, ld, units, rows, mix(b.key + i + 1), *drop))


@inlined
def _score(run, layers, b, scale):
    """Compute the figures of a block and the delta of the last layer."""
    not_inlined()
    i = len(layers) - 1
    layer, s, ld = layers[i], run.itemsize, run.ld
    r0, r1 = _share(b.n, run.lanes, b.tid, b.team)
    if r0 >= r1:
        return
    m, rows, work, x = layer.n_out, r1 - r0, b.work + r0 * s, b.x + r0 * s
    delta = work + run.delta + i % 2 * run.delta_size
    a, t, weight, total = work + layer.out, x + run.t, x + run.weight, b.own + run.total
    rest = weight, scale, run.parameter, total
    call(run.loss, (a, work + layer.z, t, delta, ld, m, rows, *rest))
    sums = run.sums + (b.row + r0) // run.lanes * FIGURES * 8
    rest = weight, total, run.counts_rows, run.want_metrics, sums
    call(run.figures, (a, t, ld, m, rows, run.lanes, *rest))
    if not run.from_logits:
        call(layer.derive, (work + layer.kept, delta, ld, m, rows))
    _transpose_delta(run, layer, delta, b.work, 0, layer.panels, r0, rows)


@inlined
def _backward(run, layers, i, b):
    """Compute the delta of layer i - 1 from that of layer i."""
    not_inlined()
    layer, below, s, ld = layers[i], layers[i - 1], run.itemsize, run.ld
    p0, p1, r0, rows, count = _part(run, below, b)
    j0, j1 = p0 * below.width, min(p1 * below.width, below.n_out)
    if rows <= 0 or j0 >= j1:
        return
    work, at = b.work + r0 * s, j0 * ld * s
    delta = work + run.delta + i % 2 * run.delta_size
    to = work + run.delta + (i - 1) % 2 * run.delta_size + at
    for p in range(layer.panels):
        width = layer.width
        units, d = min(width, layer.n_out - p * width), delta + p * width * ld * s
        w = run.w + layer.w + p * layer.stride + j0 * width * s
        call(run.product, (j1 - j0, count, units, w, width, 1, d, ld, to, ld, p))
    if below.threshold > 0:
        drop = mix(b.key + i), j0, b.row + r0, below.threshold, below.factor, b.own + run.keys
        call(run.drop, (to, to, ld, j1 - j0, rows, *drop))
    call(below.derive, (work + below.kept + at, to, ld, j1 - j0, rows))
    _transpose_delta(run, below, to, b.work, p0, p1, r0, rows)


@inlined
def _transpose_delta(run, layer, delta, work, p0, p1, r0, rows):
    """Keep the delta of panels p0 .. p1, the first of which is given, row by row as well."""
    s, ld, width = run.itemsize, run.ld, layer.width
    for p in range(p0, p1):
        units = min(width, layer.n_out - p * width)
        to = work + layer.by_row + (p * run.height + r0) * width * s
        call(run.transpose, (delta + (p - p0) * width * ld * s, ld, units, rows, to, width))


@inlined
def _weight_gradients(run, layers, b, gradient, add, s_at, l2_scale):
    """Compute or add to the gradients of a block; without a place for them, update at once."""
    not_inlined()
    s, ld = run.itemsize, run.ld
    for i in range(len(layers)):
        layer, width = layers[i], layers[i].width
        below = b.work + layers[i - 1].a if i else b.x
        p0, p1, i0, i1 = 0, layer.panels, 0, layer.depth
        if b.team > 1 and layer.panels >= 4 * b.team:  # who reads, writes
            p0, p1 = _share(layer.panels, 1, b.tid, b.team)
        else:
            i0, i1 = _share(layer.depth, 4, b.tid, b.team)
        for first in range(i0, i1, STRIP):
            rows = min(STRIP, i1 - first)
            for p in range(p0, p1):
                at = layer.w + p * layer.stride + first * width * s
                to = gradient + at if gradient else b.own
                a, d = below + first * ld * s, b.work + layer.by_row + p * run.height * width * s
                call(run.product, (rows, width, b.n, a, ld, 1, d, width, to, width, add))
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
    not_inlined()
    own = run.own + tid * run.own_size
    c0, c1, chunk, slot, at_once = 0, 1, rows, 0, run.update != 0 and run.batch_size <= ROWS
    if run.chunk:
        chunk, slot = run.chunk, tid
        c0, c1 = _share((rows + chunk - 1) // chunk, 1, tid, team)
        tid, team = 0, 1
    x, work, last = run.x + slot * run.x_size, run.work + slot * run.work_size, len(layers) - 1
    for c in range(c0, c1):
        gradient = 0 if at_once else run.gradient + c * run.panels_size
        for row in range(c * chunk, min((c + 1) * chunk, rows), ROWS):
            n = min(ROWS, rows - row)
            b = Block(n, row, first + row, order, key, x, work, own, tid, team)
            _fetch(run, layers, b)
            for i in range(last + 1):
                _barrier(run, team)
                _forward(run, layers, i, b)
            _barrier(run, team)
            _score(run, layers, b, scale)
            for i in range(last, 0, -1):
                _barrier(run, team)
                _backward(run, layers, i, b)
            _barrier(run, team)
            _weight_gradients(run, layers, b, gradient, row - c * chunk, s_at, l2_scale)
            _barrier(run, team)
    return at_once


@inlined
def _use_gradients(run, layers, rows, s_at, l2_scale, tid, team):
    """Add up the gradients of the chunks and make an update of them, if one is wanted."""
    not_inlined()
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
    not_inlined()
    flats = run.flat_w, run.flat_m, run.flat_v
    for q in range(run.moments + 1):
        _exchange(run, layers, flats[q], run.w + q * run.panels_size, back, tid, team)


@inlined
def _fill_ones(run, layers, work):
    """Set the outputs of the hidden layers that go with the next layer's biases."""
    for i in range(len(layers) - 1):
        ones = work + layers[i].a + layers[i].n_out * run.ld * run.itemsize
        call(run.fill, (ones, run.ld, 1.0))


@inlined
def _l2_term(run, layers, own):
    """Half the sum of the layers' squared weights, each times its factor."""
    not_inlined()
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
    if run.chunk or tid == 0:
        _fill_ones(run, layers, run.work + (tid if run.chunk else 0) * run.work_size)
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
    run, last, m = runs[0], len(layers) - 1, layers[len(layers) - 1].n_out
    own, work = run.own + tid * run.own_size, run.work + tid * run.work_size
    x = run.x + tid * run.x_size
    _exchange_state(run, layers, 0, tid, team)
    _barrier(run, team)
    _fill_ones(run, layers, work)
    r0, r1 = _share(run.n, ROWS, tid, team)
    for first in range(r0, r1, ROWS):
        b = Block(min(ROWS, r1 - first), 0, first, 0, -1, x, work, own, 0, 1)
        _fetch(run, layers, b)
        for i in range(last + 1):
            _forward(run, layers, i, b)
        to = out + first * m * run.itemsize
        call(run.scatter, (work + layers[last].out, run.ld, b.n, m, to))


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
