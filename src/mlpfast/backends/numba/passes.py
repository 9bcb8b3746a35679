"""The drivers: forward and backward passes over blocks of rows, and whole runs of epochs.

Several threads run the same driver side by side, told apart by `tid` of `team`. A large batch of a
small net is cut into chunks, each of which one thread takes through the net; else all threads work
at the same layer of the same block, share its rows, its units or its weights, and meet at barriers.
No sum depends on who computed it.

A block is fetched as (n_in + 1, ld) inputs, the last all 1, followed by targets and weights; see
`memory.py` for the workspace. Drivers know memory as addresses and count in bytes.
"""

# Numba types compiled code itself.
# mypy: ignore-errors
from __future__ import annotations

import math

from mlpfast.backends.base import TOTALS
from mlpfast.backends.numba import updates
from mlpfast.backends.numba.jit import atomic_add, atomic_load, call, doubles_at, jit, not_inlined
from mlpfast.backends.numba.kernels import mix
from mlpfast.backends.numba.losses import FIGURES
from mlpfast.backends.numba.memory import ROWS, STRIP

OK, INTERRUPTED, DIVERGED = range(3)
_PENALTY = TOTALS.index("penalty")
# Words of `sync`, each on a cache line of its own.
_ARRIVED, _ROUND, _STOP, _BAD = 0, 64, 128, 192
_PATIENCE = 2000  # tens of microseconds of looking before a waiting thread lets others run


@jit
def _up(count, unit):
    return (count + unit - 1) // unit * unit


@jit
def _share(count, unit, tid, team):
    """Return first and end of a thread's share of 0 .. count, in whole units but for the last."""
    units = (count + unit - 1) // unit
    return units * tid // team * unit, min(count, units * (tid + 1) // team * unit)


@jit
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


@jit
def _shares_units(run, layer, tid, team):
    """Return whether threads share a layer by its panels of units, and a thread's share of them.

    Else they share the rows of the block, or those of the weights.
    """
    if team > 1 and layer.panels >= 4 * team and not layer.whole_rows:
        return (True, *_share(layer.panels, 1, tid, team))
    return False, 0, layer.panels


# ---------------------------------------------------------------------------- a block


@jit
def _fetch(run, n_in, n_out, order, first, n, row, key, x, own, tid, team):
    """Fetch the share of n rows from number `first` of the order on; row counts in the batch."""
    not_inlined()
    r0, r1 = _share(n, run.lanes, tid, team)
    if r0 >= r1:
        return
    s, ld, ordered = run.itemsize, run.ld, 1 if order else 0
    rows, count = r1 - r0, _up(r1 - r0, run.lanes)
    to, first = x + r0 * s, first + r0
    source = run.rows_x, run.stride_x, run.scale_x
    call(run.gather, (*source, order, ordered, first, rows, n_in, to, ld))
    if run.input_threshold > 0:
        drop = key, 0, row + r0, run.input_threshold, run.input_factor, own + run.keys
        call(run.drop, (to, to, ld, n_in, count, *drop))
    call(run.fill, (to + n_in * ld * s, count, 1.0))
    if run.labels:
        call(run.one_hot, (run.rows_y, order, ordered, first, rows, n_out, to + run.t, ld))
    elif run.rows_y:
        source = run.rows_y, run.stride_y, 1.0
        call(run.gather_targets, (*source, order, ordered, first, rows, n_out, to + run.t, ld))
    if run.rows_weight:
        source = run.rows_weight, s, 1.0
        call(run.gather_targets, (*source, order, ordered, first, rows, 1, to + run.weight, ld))
    else:
        call(run.fill, (to + run.weight, rows, 1.0))


@jit
def _forward_layer(run, layers, i, key, weights, x, work, own, n, row, tid, team):
    """Compute z and outputs of layer i; key is -1 where nothing is dropped."""
    not_inlined()
    layer, s, ld = layers[i], run.itemsize, run.ld
    below = x if i == 0 else work + layers[i - 1].a
    by_units, p0, p1 = _shares_units(run, layer, tid, team)
    r0, r1 = (0, n) if by_units else _share(n, run.lanes, tid, team)
    count = _up(r1 - r0, run.lanes)
    if count == 0:
        return
    work = work + r0 * s
    for p in range(p0, p1):
        j = p * layer.width
        units, at = min(layer.width, layer.n_out - j), j * ld * s
        w, z = weights + layer.w + p * layer.stride, work + layer.z + at
        call(
            run.product,
            (units, count, layer.depth, w, 1, layer.width, below + r0 * s, ld, z, ld, 0),
        )
        if layer.whole_rows:
            if p < p1 - 1:
                continue
            units, at = layer.n_out, 0
        call(layer.activate, (work + layer.z + at, work + layer.out + at, ld, units, count))
        if layer.threshold > 0 and key >= 0:
            out, a, first = work + layer.out + at, work + layer.a + at, at // (ld * s)
            drop = mix(key + i + 1), first, row + r0, layer.threshold, layer.factor, own + run.keys
            call(run.drop, (out, a, ld, units, count, *drop))


@jit
def _backward_layer(run, layers, i, key, weights, work, own, n, row, tid, team):
    """Compute the delta of layer i - 1 from that of layer i."""
    not_inlined()
    layer, below, s, ld = layers[i], layers[i - 1], run.itemsize, run.ld
    by_units, p0, p1 = _shares_units(run, below, tid, team)
    r0, r1 = (0, n) if by_units else _share(n, run.lanes, tid, team)
    j0, j1 = p0 * below.width, min(p1 * below.width, below.n_out)
    count = _up(r1 - r0, run.lanes)
    if count == 0 or j0 >= j1:
        return
    delta = work + run.delta + i % 2 * run.delta_size + r0 * s
    at = j0 * ld * s
    to = work + run.delta + (i - 1) % 2 * run.delta_size + r0 * s + at
    for p in range(layer.panels):
        units = min(layer.width, layer.n_out - p * layer.width)
        w = weights + layer.w + p * layer.stride + j0 * layer.width * s
        d = delta + p * layer.width * ld * s
        call(run.product, (j1 - j0, count, units, w, layer.width, 1, d, ld, to, ld, p))
    if below.threshold > 0:
        drop = mix(key + i), j0, row + r0, below.threshold, below.factor, own + run.keys
        call(run.drop, (to, to, ld, j1 - j0, count, *drop))
    call(below.derive, (work + below.kept + r0 * s + at, to, ld, j1 - j0, count))
    _transpose_delta(run, below, to, work, p0, p1, r0, count)


@jit
def _transpose_delta(run, layer, delta, work, p0, p1, r0, count):
    """Keep the delta of panels p0 .. p1, the first of which is given, also row by row."""
    s, ld, width = run.itemsize, run.ld, layer.width
    for p in range(p0, p1):
        units = min(width, layer.n_out - p * width)
        to = work + layer.by_row + (p * run.height + r0) * width * s
        call(run.transpose, (delta + (p - p0) * width * ld * s, ld, units, count, to, width))


@jit
def _score(run, layer, i, x, work, own, n, scale, sums, tid, team):
    """Compute the figures of a block and the delta of the last layer, number i."""
    not_inlined()
    r0, r1 = _share(n, run.lanes, tid, team)
    if r0 >= r1:
        return
    s, ld, m, rows = run.itemsize, run.ld, layer.n_out, r1 - r0
    work, x, count = work + r0 * s, x + r0 * s, _up(r1 - r0, run.lanes)
    delta = work + run.delta + i % 2 * run.delta_size
    a, t, weight, total = work + layer.out, x + run.t, x + run.weight, own + run.total
    rest = weight, scale, run.parameter, total, own + run.spare
    call(run.loss, (a, work + layer.z, t, delta, ld, m, rows, *rest))
    to = sums + r0 // run.lanes * FIGURES * 8
    call(
        run.figures, (a, t, ld, m, rows, weight, total, run.counts_rows, run.want_metrics, to)
    )
    if not run.from_logits:
        call(layer.derive, (work + layer.kept, delta, ld, m, count))
    _transpose_delta(run, layer, delta, work - r0 * s, 0, layer.panels, r0, count)


@jit
def _weight_gradients(run, layers, x, work, own, n, gradient, add, s_at, scale, tid, team):
    """Compute or add to the gradients of a block; without a place for them, update at once."""
    not_inlined()
    s, ld = run.itemsize, run.ld
    for i in range(len(layers)):
        layer = layers[i]
        below = x if i == 0 else work + layers[i - 1].a
        by_units, p0, p1 = _shares_units(run, layer, tid, team)
        i0, i1 = (0, layer.depth) if by_units else _share(layer.depth, 4, tid, team)
        width = layer.width
        for first in range(i0, i1, STRIP):
            rows = min(STRIP, i1 - first)
            for p in range(p0, p1):
                at = layer.w + p * layer.stride + first * width * s
                to = gradient + at if gradient else own
                delta = work + layer.by_row + p * run.height * width * s
                source = below + first * ld * s
                call(run.product, (rows, width, n, source, ld, 1, delta, width, to, width, add))
                if gradient == 0:
                    _update(run, layer, at, to, first, rows, s_at, scale)


@jit
def _update(run, layer, at, g, first, rows, s_at, scale):
    """Update rows first .. first + rows of a panel, at `at`; biases have no l2 term."""
    w, m, v = run.w + at, run.w + run.panels_size + at, run.w + 2 * run.panels_size + at
    count, l2 = rows * layer.width, layer.l2 * scale
    bias = layer.width if l2 != 0.0 and first + rows > layer.n_in else 0
    if count > bias:
        call(run.update, (w, g, m, v, count - bias, l2, s_at))
    if bias:
        on = (count - bias) * run.itemsize
        call(run.update, (w + on, g + on, m + on, v + on, bias, 0.0, s_at))


# ---------------------------------------------------------------------------- a batch


@jit
def _block_gradients(
    run, layers, order, first, n, row, fetched, key, x, work, own, scale, gradient, add, s_at,
    l2_scale, tid, team,
):  # fmt: skip
    """Take n rows through the net and back; row is the number of the first in its batch."""
    not_inlined()
    last = len(layers) - 1
    if not fetched:
        sizes = layers[0].n_in, layers[last].n_out
        _fetch(run, *sizes, order, first, n, row, mix(key), x, own, tid, team)
        _barrier(run, team)
    for i in range(last + 1):
        _forward_layer(run, layers, i, key, run.w, x, work, own, n, row, tid, team)
        _barrier(run, team)
    sums = run.sums + row // run.lanes * FIGURES * 8
    _score(run, layers[last], last, x, work, own, n, scale, sums, tid, team)
    _barrier(run, team)
    for i in range(last, 0, -1):
        _backward_layer(run, layers, i, key, run.w, work, own, n, row, tid, team)
        _barrier(run, team)
    _weight_gradients(run, layers, x, work, own, n, gradient, add, s_at, l2_scale, tid, team)


@jit
def _gradients(run, layers, order, first, rows, fetched, key, own, scale, s_at, l2_scale, tid, team):
    """Take a batch through the net and back, all of it a team or each chunk a thread."""
    not_inlined()
    c0, c1, member, members, slot = 0, 1, tid, team, 0
    chunk = run.chunk if run.chunk else rows
    if run.chunk:
        c0, c1 = _share((rows + chunk - 1) // chunk, 1, tid, team)
        member, members, slot = 0, 1, tid
    at_once = run.update and run.chunk == 0 and run.batch_size <= ROWS and run.clips == 0
    work = run.work + slot * run.work_size
    for c in range(c0, c1):
        gradient = 0 if at_once else run.gradient + c * run.panels_size
        for row in range(c * chunk, min((c + 1) * chunk, rows), ROWS):
            n, add = min(ROWS, rows - row), 1 if row > c * chunk else 0
            x = run.x + (row // ROWS if run.keeps_batch else slot) * run.x_size
            _block_gradients(
                run, layers, order, first + row, n, row, fetched, key, x, work, own, scale,
                gradient, add, s_at, l2_scale, member, members,
            )  # fmt: skip
    return at_once


@jit
def _use_gradients(run, layers, rows, s_at, l2_scale, tid, team):
    """Add up the gradients of the chunks, clip them if asked to, and update."""
    not_inlined()
    s, squares = run.itemsize, doubles_at(run.squares)
    chunks = (rows + run.chunk - 1) // run.chunk if run.chunk else 1
    u0, u1 = _share(run.units, 1, tid, team)
    factor = 1.0
    for clipping in range(2 if run.clips else 1):
        unit = 0
        for i in range(len(layers)):
            layer = layers[i]
            for p in range(layer.panels):
                for first in range(0, layer.depth, STRIP):
                    unit += 1
                    if not u0 < unit <= u1:
                        continue
                    rows = min(STRIP, layer.depth - first)
                    at, count = layer.w + p * layer.stride + first * layer.width * s, rows * layer.width
                    g = run.gradient + at
                    if clipping:
                        call(run.clip, (g, count, factor, run.clip_value))
                        _update(run, layer, at, g, first, rows, s_at, 0.0)
                        continue
                    if chunks > 1:
                        call(run.add_chunks, (g, count, chunks, run.panels_size // s))
                    if run.clips:
                        weights = min(rows, layer.n_in - first) * layer.width
                        call(run.add_weights, (g, run.w + at, weights, layer.l2 * l2_scale))
                        call(run.sum_squares, (g, count, run.squares + (unit - 1) * 8))
                    elif run.update:
                        _update(run, layer, at, g, first, rows, s_at, l2_scale)
        _barrier(run, team)
        if run.clips and clipping == 0 and run.clip_norm > 0.0:
            total = 0.0
            for q in range(run.units):
                total += squares[q]
            norm = math.sqrt(total)
            if not norm <= run.clip_norm:  # NaN where the norm is
                factor = run.clip_norm / norm


# ---------------------------------------------------------------------------- whole runs


@jit
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


@jit
def _exchange(run, layers, kernel, flat, panels, tid, team):
    """Copy a thread's share of all parameters from flat to panels or, by `collect`, back."""
    for i in range(len(layers)):
        layer = layers[i]
        i0, i1 = _share(layer.depth, 1, tid, team)
        sizes = layer.n_out, layer.width, layer.stride // run.itemsize, i0, i1
        if kernel == run.spread:
            call(kernel, (flat + layer.flat, panels + layer.w, *sizes))
        else:
            call(kernel, (panels + layer.w, flat + layer.flat, *sizes))


@jit
def _exchange_state(run, layers, kernel, tid, team):
    """Copy parameters and moments from the caller's arrays to panels or back."""
    _exchange(run, layers, kernel, run.flat_w, run.w, tid, team)
    if run.moments > 0:
        _exchange(run, layers, kernel, run.flat_m, run.w + run.panels_size, tid, team)
    if run.moments > 1:
        _exchange(run, layers, kernel, run.flat_v, run.w + 2 * run.panels_size, tid, team)


@jit
def _l2_term(run, layers, own):
    """Half the sum of the layers' squared weights, each times its factor."""
    not_inlined()
    total, square = 0.0, doubles_at(own + run.total)
    for i in range(len(layers)):
        layer = layers[i]
        if layer.l2 != 0.0:
            for p in range(layer.panels):
                w = run.w + layer.w + p * layer.stride
                call(run.sum_squares, (w, layer.n_in * layer.width, own + run.total))
                total += layer.l2 * square[0]
    return 0.5 * total


@jit
def train(tid, team, runs, layers, steps, rates, orders, keys, stop, history):
    """Train an epoch for each row of rates; return (rows of history, status, steps).

    A row of rates has one, or one for each step; orders and keys may have no rows. Without an
    update, the first batch's gradient is written where the moments would be, and that is all.
    """
    run = runs[0]
    s_at, own = run.numbers + tid * updates.BYTES, run.own + tid * run.own_size
    s = doubles_at(s_at)
    n, step = run.n, run.lanes
    in_order = len(orders) == 0
    keep = run.keeps_batch and n <= run.batch_size and in_order and run.input_threshold == 0
    if run.chunk or tid == 0:
        _fill_ones(run, layers, run.work + (tid if run.chunk else 0) * run.work_size)
    _exchange_state(run, layers, run.spread, tid, team)
    _barrier(run, team)
    sums = doubles_at(run.sums)
    for epoch in range(len(rates)):
        steps_before, finite = steps, True
        order = 0 if in_order else orders.ctypes.data + epoch * n * 8
        for first in range(0, n, run.batch_size):
            batch = first // run.batch_size
            rows = min(run.batch_size, n - first)
            key = -1
            if len(keys):
                key = mix(mix(keys[epoch, 0] + batch) ^ keys[epoch, 1])
            scale, weights = 1.0, 1.0
            if run.reduces:
                weights = float(rows)
                if run.rows_weight and not run.counts_rows:
                    data = run.rows_weight, order, 0 if in_order else 1, first, rows
                    call(run.sum_of, (*data, own + run.total))
                    weights = doubles_at(own + run.total)[0]
                scale = 1.0 / weights if weights != 0.0 else 0.0
            l2_scale = scale if run.l2_per_row else 1.0
            penalty = 0.0
            if run.want_penalty and tid == 0:
                penalty = _l2_term(run, layers, own) * weights * l2_scale
                # nobody moves a weight before all have met
            steps += 1
            _step_sizes(s, steps, rates[epoch, batch if rates.shape[1] > 1 else 0])
            fetched = keep and epoch > 0
            done = _gradients(
                run, layers, order, first, rows, fetched, key, own, scale, s_at, l2_scale, tid, team
            )
            _barrier(run, team)
            groups, total = (rows + step - 1) // step, 0.0
            for g in range(groups):
                total += sums[g * FIGURES]
            if tid == 0:
                by = rows * scale if run.l2_per_row and run.reduces else 1.0
                for g in range(groups):
                    for q in range(FIGURES):
                        history[epoch, q] += sums[g * FIGURES + q] * by
                history[epoch, _PENALTY] += penalty * by
            finite = not run.check_finite or math.isfinite(total)
            if not finite and run.update:
                break
            if not done:
                _use_gradients(run, layers, rows, s_at, l2_scale, tid, team)
            if tid == 0 and stop[0]:
                atomic_add(run.sync + _STOP, 1)
            _barrier(run, team)
            if run.update == 0:
                _exchange(run, layers, run.collect, run.flat_m, run.gradient, tid, team)
                return epoch, OK, steps
            if atomic_load(run.sync + _STOP):
                _exchange_state(run, layers, run.collect, tid, team)
                return epoch + 1, INTERRUPTED, steps
        if run.check_finite and finite:
            # The padding is finite where the parameters are.
            first, end = _share(run.panels_size, 64, tid, team)
            count = (end - first) // run.itemsize
            call(run.find_not_finite, (run.w + first, count, run.sync + _BAD))
        _barrier(run, team)
        if not finite or atomic_load(run.sync + _BAD):
            return epoch, DIVERGED, steps_before
        _exchange_state(run, layers, run.collect, tid, team)
    return len(rates), OK, steps


@jit
def _fill_ones(run, layers, work):
    """Set the inputs of each layer but the first that stand before its biases."""
    for i in range(len(layers) - 1):
        ones = work + layers[i].a + layers[i].n_out * run.ld * run.itemsize
        call(run.fill, (ones, run.ld, 1.0))


@jit
def predict(tid, team, runs, layers, spreads, out):
    """Write the net's outputs for n rows to the address out, block by block."""
    run = runs[0]
    weights, last = run.flat_w, len(layers) - 1
    own, work = run.own + tid * run.own_size, run.work + tid * run.work_size
    x = run.x + tid * run.x_size
    m, s = layers[last].n_out, run.itemsize
    if spreads:
        _exchange(run, layers, run.spread, run.flat_w, run.w, tid, team)
        weights = run.w
        _barrier(run, team)
    _fill_ones(run, layers, work)
    r0, r1 = _share(run.n, ROWS, tid, team)
    for first in range(r0, r1, ROWS):
        n = min(ROWS, r1 - first)
        _fetch(run, layers[0].n_in, m, 0, first, n, 0, 0, x, own, 0, 1)
        for i in range(last + 1):
            _forward_layer(run, layers, i, -1, weights, x, work, own, n, 0, 0, 1)
        call(run.scatter, (work + layers[last].out, run.ld, n, m, out + first * m * s))


@jit
def predict_rows(runs, layers, work, x, n, out):
    """Do the same for a few contiguous rows of the net's dtype at the address x, one by one.

    In blocks they would leave most of a vector empty.
    """
    run = runs[0]
    s, last = run.itemsize, len(layers) - 1
    for r in range(n):
        below, z = x + r * layers[0].n_in * s, work
        for i in range(last + 1):
            layer = layers[i]
            m, to = layer.n_out, z
            bias = layer.depth - layer.n_in
            call(
                run.row_product, (below, layer.n_in, bias, run.flat_w + layer.flat, m, z)
            )
            if layer.whole_rows:  # its rows lie in the lanes: here, in the first of them
                wide = z + _up(m, run.lanes) * s
                call(run.copy, (z, 1, wide, run.lanes, m))
                call(layer.activate, (wide, wide, run.lanes, m, run.lanes))
                call(run.copy, (wide, run.lanes, z, 1, m))
            else:
                call(layer.activate, (z, z, 0, 1, _up(m, run.lanes)))
            below, z = to, z + _up(m, run.lanes) * s
        call(run.copy, (below, 1, out + r * layers[last].n_out * s, 1, layers[last].n_out))
