"""The arithmetic of ``backends/numpy.py`` as compiled loops over flat buffers.

Every function here is compiled by Numba on its first use, once a dtype, and kept in Numba's cache.

Rows lie in the lanes of the vectors: an activation of n rows and m units is held as (m, n), so
that every product, activation and loss fills its vectors however narrow the net is. Rows come in
blocks of up to 128, each a matrix of its own. With a leading dimension `ld` of a block, an odd
number of vectors so that a column does not fall onto one set of the cache,

    forward         z.T = w.T @ x.T       (m, rows)
    input gradient  dx.T = w @ delta.T    (k, rows)
    weight gradient dw = x.T @ delta      (k, m), for which delta is also kept as (rows, m)

All of these, and scratch space, lie in one flat buffer `mem`; names ending in `_at` are places in
it. A net is an int64 table with a row a layer, columns as named below.

Several threads run the same function side by side, told apart by `tid` of `team`; they share the
work of a phase by outputs, and meet at barriers. No sum depends on who computed it.
"""

# Compiled functions are typed by Numba, not by their annotations; min and max would not say what
# becomes of NaN.
# mypy: ignore-errors
# ruff: noqa: FURB136
from __future__ import annotations

import math

import numpy as np
from numba import carray

from mlpfast.backends.base import TOTALS
from mlpfast.backends.numba.jit import jit
from mlpfast.backends.numba.layers import (
    BAD,
    GELU,
    SILU,
    SOFTMAX,
    STOP,
    TILE,
    activate,
    barrier,
    convert,
    copy,
    dense,
    dense_row,
    derive,
    exp,
    float32_at,
    float64_at,
    gather,
    gather_targets,
    input_gradient,
    log1p,
    product,
    share,
    softmax,
    span,
    sum_rows,
    turn_block,
    ungather,
)
from mlpfast.backends.numba.vectors import (
    absolute,
    atomic_load,
    atomic_store,
    choose,
    dropped,
    filled,
    fused,
    is_single,
    lanes,
    less,
    load,
    not_inlined,
    place,
    real,
    root,
    store,
)
from mlpfast.spec import LOSSES, POISSON_EPSILON

# Columns of the table of a net. A_AT, Z_AT are the first of a layer's rows of `ld` numbers in a
# block; Z_AT is for z, or for the outputs before some were dropped, -1 where neither is kept. D_AT
# is the place of its delta in a row of all deltas, D_LD the numbers it has there; G_AT the place of
# its gradient, (k + 1, G_LD) with the biases last. THRESHOLD, of its outputs: see `_drop`.
N_IN, N_OUT, W_AT, B_AT, ACTIVATION, A_AT, Z_AT, D_AT, D_LD, G_AT, G_LD, THRESHOLD = range(12)
COLUMNS = 12

# The places in `mem`, as `numba.Layout` has them.
PLACES = (
    *("rows", "ld", "x_at", "x_size", "t_at", "weight_at", "work_at", "work_size"),
    *("delta_at", "delta_size", "by_row_at", "own_at", "own_size", "line_ld", "slab_at"),
    *("slab_size", "flat_at", "pack_at", "partial_at", "partial_size", "chunk", "layers"),
)
ROWS, LD, X_AT, X_SIZE, T_AT, WEIGHT_AT, WORK_AT, WORK_SIZE = range(8)
DELTA_AT, DELTA_SIZE, BY_ROW_AT, OWN_AT, OWN_SIZE, LINE_LD, SLAB_AT = range(8, 15)
SLAB_SIZE, FLAT_AT, PACK_AT, PARTIAL_AT, PARTIAL_SIZE, CHUNK, LAYERS = range(15, 22)

MSE, SQUARED_ERROR, MAE, HUBER, QUANTILE, BINARY, CATEGORICAL, POISSON = (
    LOSSES.index(name)
    for name in (
        *("mse", "squared_error", "mae", "huber", "quantile"),
        *("binary_crossentropy", "categorical_crossentropy", "poisson"),
    )
)
BINARY_LOG, LOG, DEVIANCE = (
    LOSSES.index(name) for name in ("binary_log_loss", "log_loss", "poisson_deviance")
)
OPTIMIZERS = ("sgd", "adam", "adamw", "rmsprop")
SGD, ADAM, ADAMW, RMSPROP = range(4)

# Columns of the history of a run.
FIGURES = len(TOTALS)
PENALTY = TOTALS.index("penalty")

OK, INTERRUPTED, DIVERGED = range(3)

# Entries of the constants of a training run, which come in float64 and in the net's dtype; from L2
# on there is one for each layer.
MOMENTUM, BETA_1, REST_1, BETA_2, REST_2, EPSILON, DECAY, CLIP_NORM, CLIP_VALUE = range(9)
INNER, EPSILON_HAT, SCALED_VELOCITY, L2 = range(9, 13)

# As in `REDUCTIONS`.
MEAN, SUM, MEAN_OVER_ROWS = range(3)

# Parameters of a chunk of a gradient that is clipped; of its squares there is a sum for each.
CLIPPED = 2048

# ---------------------------------------------------------------------------- the net
# `places` is the table of a `numba.Layout`; `at` the place of a block's work space, r the first of
# the columns (rows of the batch) meant and n their number, in whole vectors.


@jit
def _delta_rows(layer, places):
    """Place of a layer's delta (rows, D_LD) in a block's work space."""
    return places[BY_ROW_AT] + layer[D_AT] * places[ROWS]


@jit
def _propagate(net, i, params, mem, ld, x_at, at, j0, j1, r, n, pack_at):
    """Forward pass of a layer, for units j0 .. j1."""
    not_inlined()
    layer = place(net, i * COLUMNS)
    below = x_at + r if i == 0 else at + net[(i - 1) * COLUMNS + A_AT] * ld + r
    a = at + layer[A_AT] * ld + r
    w_at, b_at = layer[W_AT], layer[B_AT]
    dense(
        layer[N_IN], layer[N_OUT], params, w_at, params, b_at, below, mem, a, ld, j0, j1, n, pack_at
    )
    if layer[Z_AT] >= 0:
        z = at + layer[Z_AT] * ld + r
        for j in range(j0, j1):
            for q in range(0, n, lanes(mem)):
                store(mem, z + j * ld + q, load(mem, a + j * ld + q))
    activate((layer[ACTIVATION], mem, a + j0 * ld, ld, j1 - j0, n))


@jit
def _mix(x):
    """`_dropout.mix` of one number."""
    x = x & 0xFFFFFFFF
    x = (x ^ (x >> 16)) * 0x7FEB352D & 0xFFFFFFFF
    x = (x ^ (x >> 15)) * 0x846CA68B & 0xFFFFFFFF
    return x ^ (x >> 16)


@jit
def _drop(dropping, layer, threshold, mem, at, ld, j0, j1, row, n):
    """Drop some of units j0 .. j1, at mem[at], which are inputs of a layer; row is the first's.

    dropping = (key of the step, threshold of the net's inputs, factors on what is not dropped of
    the inputs of each layer); see ``_dropout.py``.
    """
    not_inlined()
    key, factor = _mix(dropping[0] + layer), filled(mem, dropping[2][layer])
    zero = filled(mem, 0.0)
    for r in range(0, n, lanes(mem)):
        for j in range(j0, j1):
            to = at + j * ld + r
            gone = dropped(mem, key, row + r, j, threshold)
            store(mem, to, load(mem, to) * choose(gone, zero, factor))


@jit
def _drop_outputs(net, i, dropping, mem, ld, at, j0, j1, r, row, n):
    """Drop some of the outputs that `_propagate` has left; row is the number of column r."""
    not_inlined()
    layer = place(net, i * COLUMNS)
    a = at + layer[A_AT] * ld + r
    if layer[Z_AT] >= 0 and layer[ACTIVATION] != SILU and layer[ACTIVATION] != GELU:
        z = at + layer[Z_AT] * ld + r
        for j in range(j0, j1):
            for q in range(0, n, lanes(mem)):
                store(mem, z + j * ld + q, load(mem, a + j * ld + q))
    _drop(dropping, i + 1, layer[THRESHOLD], mem, a, ld, j0, j1, row, n)


@jit
def _retreat(net, i, dropping, params, mem, places, at, i0, i1, r, row, n):
    """Backward pass of layer i > 0 to units i0 .. i1 below it; their delta is kept both ways.

    row is the number of column r in the batch.
    """
    not_inlined()
    ld = places[LD]
    delta = at + places[DELTA_AT] + i % 2 * places[DELTA_SIZE] + r
    to = at + places[DELTA_AT] + (i - 1) % 2 * places[DELTA_SIZE] + r
    below = place(net, (i - 1) * COLUMNS)
    input_gradient(
        net[i * COLUMNS + N_IN],
        net[i * COLUMNS + N_OUT],
        params,
        net[i * COLUMNS + W_AT],
        delta,
        mem,
        to,
        ld,
        i0,
        i1,
        n,
    )
    if below[THRESHOLD] > 0:
        _drop(dropping, i, below[THRESHOLD], mem, to, ld, i0, i1, row, n)
    kept = below[Z_AT] if below[Z_AT] >= 0 else below[A_AT]
    kept = at + kept * ld + r
    derive((below[ACTIVATION], mem, kept + i0 * ld, mem, to + i0 * ld, ld, i1 - i0, n))
    rows = at + _delta_rows(below, places) + r * below[D_LD]
    turn_block((mem, to + i0 * ld, ld, i1 - i0, n, rows + i0, below[D_LD]))


@jit
def _resolution(mem):
    """Return the least x of mem's dtype with 1 + x > 1."""
    return 1.1920928955078125e-07 if is_single(mem) else 2.220446049250313e-16


@jit
def _clipped_log(mem, miss):
    """-log p as if p were clipped to within the resolution of mem's dtype of 0 and 1."""
    low = _resolution(mem)
    high = 15.942385152878742 if is_single(mem) else 36.04365338911715
    return low if miss < low else high if miss > high else miss


@jit
def _loss(loss, m, mem, a_at, z_at, t_at, delta_at, ld, n, rows, total, factor, spare_at):
    """Add to total (n,) the loss of n rows; write factor times its gradient to delta (m, n).

    The gradient is that by the outputs, or by z for a loss that is computed from the logits.
    """
    not_inlined()
    code, from_logits, _, parameter = loss
    step = lanes(mem)
    if code in (CATEGORICAL, LOG):
        for r in range(0, n, step):
            largest = load(mem, z_at + r)
            for j in range(1, m):
                z = load(mem, z_at + j * ld + r)
                largest = choose(less(largest, z), z, largest)
            partition = filled(mem, 0.0)
            weight = filled(mem, 0.0)
            for j in range(m):
                partition = partition + exp(load(mem, z_at + j * ld + r) - largest)
                weight = weight + load(mem, t_at + j * ld + r)
            store(mem, spare_at + r, largest)
            store(mem, spare_at + n + r, partition)
            store(mem, spare_at + 2 * n + r, weight)
        for r in range(rows):
            mem[spare_at + n + r] = math.log(mem[spare_at + n + r])
        for j in range(m):
            a, z, t, d = a_at + j * ld, z_at + j * ld, t_at + j * ld, delta_at + j * ld
            for r in range(rows):
                miss = mem[spare_at + n + r] - (mem[z + r] - mem[spare_at + r])
                if code == LOG:
                    miss = _clipped_log(mem, miss)
                total[r] += np.float64(mem[t + r]) * miss
                mem[d + r] = (mem[a + r] * mem[spare_at + 2 * n + r] - mem[t + r]) * factor[r]
        return
    for j in range(m):
        a, z, t, d = a_at + j * ld, z_at + j * ld, t_at + j * ld, delta_at + j * ld
        if code >= BINARY_LOG:
            if code == BINARY_LOG:
                low = _resolution(mem)
                for r in range(0, n, step):
                    rest = exp(load(mem, z + r) * -1.0)
                    store(mem, spare_at + r, filled(mem, 1.0) / (rest + 1.0))
                for r in range(rows):
                    p, wanted = np.float64(mem[spare_at + r]), np.float64(mem[t + r])
                    p = low if p < low else 1.0 - low if p > 1.0 - low else p
                    if wanted > 0.0:
                        total[r] -= wanted * math.log(p)
                    if wanted < 1.0:
                        total[r] -= (1.0 - wanted) * math.log(1.0 - p)
            else:
                for r in range(rows):
                    wanted = np.float64(mem[t + r])
                    ratio = wanted / mem[a + r]
                    lost = ratio if wanted == 0.0 else wanted * math.log(ratio)
                    total[r] += lost - wanted + mem[a + r]
            for r in range(rows):
                mem[d + r] = (mem[a + r] - mem[t + r]) * factor[r]
        elif from_logits:
            if code == BINARY:
                for r in range(0, n, step):
                    size = absolute(load(mem, z + r))
                    store(mem, spare_at + r, log1p(exp(size * -1.0)))
                for r in range(rows):
                    v = np.float64(mem[z + r])
                    total[r] += ((0.0 if v < 0.0 else v) - v * mem[t + r] + mem[spare_at + r]) / m
            else:
                for r in range(rows):
                    v = np.float64(mem[a + r]) - np.float64(mem[t + r]) * mem[z + r]
                    total[r] += v / m
            for r in range(rows):
                mem[d + r] = (mem[a + r] - mem[t + r]) * factor[r] / m
        elif code == MSE:
            share = 1.0 / m
            for r in range(rows):
                e = np.float64(mem[a + r]) - mem[t + r]
                total[r] += e * e * share
                mem[d + r] = 2.0 * e * share * factor[r]
        elif code == SQUARED_ERROR:
            for r in range(rows):
                e = np.float64(mem[a + r]) - mem[t + r]
                total[r] += 0.5 * e * e
                mem[d + r] = e * factor[r]
        elif code == MAE:
            for r in range(rows):
                e = np.float64(mem[a + r]) - mem[t + r]
                total[r] += abs(e) / m
                mem[d + r] = np.sign(e) / m * factor[r]
        elif code == HUBER:
            for r in range(rows):
                e = np.float64(mem[a + r]) - mem[t + r]
                inside = min(max(e, -parameter), parameter)
                total[r] += inside * (e - 0.5 * inside) / m
                mem[d + r] = inside / m * factor[r]
        elif code == QUANTILE:
            for r in range(rows):
                e = np.float64(mem[a + r]) - mem[t + r]
                slope = 1.0 - parameter if e > 0.0 else -parameter if e < 0.0 else e
                total[r] += slope * e / m
                mem[d + r] = slope / m * factor[r]
        else:
            for r in range(rows):
                safe = np.float64(mem[a + r]) + POISSON_EPSILON
                total[r] += (mem[a + r] - mem[t + r] * math.log(safe)) / m
                mem[d + r] = (1.0 - mem[t + r] / safe) / m * factor[r]


@jit
def _judge(m, mem, a, t, ld, weight, sums):
    """Add right answers, squared and absolute errors of the row in column 0 to sums[2:]."""
    not_inlined()
    squares = 0.0
    sizes = 0.0
    best = 0
    wanted = 0
    for j in range(m):
        e = np.float64(mem[a + j * ld]) - mem[t + j * ld]
        squares += e * e
        sizes += abs(e)
        best = j if mem[a + j * ld] > mem[a + best * ld] else best
        wanted = j if mem[t + j * ld] > mem[t + wanted * ld] else wanted
    right = (mem[a] > 0.5) == (mem[t] > 0.5) if m == 1 else best == wanted
    sums[2] += weight * right
    sums[3] += weight * squares / m
    sums[4] += weight * sizes / m


@jit
def _score(net, loss, judged, mem, places, x_at, at, r, rows, scale, own, doubles, sums):
    """Write the five totals of each vector of rows to sums, and dL/dz of the last layer.

    sums has five numbers a vector, those of the first row's vector first. doubles (2 * ROWS,) is
    scratch space.
    """
    not_inlined()
    ld, last = places[LD], places[LAYERS] - 1
    layer = place(net, last * COLUMNS)
    m = layer[N_OUT]
    step = lanes(mem)
    n = (rows + step - 1) // step * step
    a = at + layer[A_AT] * ld + r
    z = at + layer[Z_AT] * ld + r if layer[Z_AT] >= 0 else a
    t, weight = x_at + places[T_AT] + r, x_at + places[WEIGHT_AT] + r
    delta = at + places[DELTA_AT] + last % 2 * places[DELTA_SIZE] + r
    total, factor = span(doubles, 0, rows), span(doubles, places[ROWS], rows)
    for q in range(rows):
        total[q] = 0.0
        factor[q] = mem[weight + q] * scale
    _loss(loss, m, mem, a, z, t, delta, ld, n, rows, total, factor, own + places[SLAB_AT])
    for first in range(0, rows, step):
        group = span(sums, first // step * 5, 5)
        for c in range(5):
            group[c] = 0.0
        for q in range(first, min(first + step, rows)):
            w = np.float64(mem[weight + q])
            group[0] += w * real(mem, total[q])  # beyond float32 a loss is infinite there
            w = 1.0 if loss[2] == MEAN_OVER_ROWS else w
            group[1] += w
            if judged:
                _judge(m, mem, a + q, t + q, ld, w, group)
    if not loss[1]:
        derive(
            (
                layer[ACTIVATION],
                mem,
                z if layer[ACTIVATION] == SILU or layer[ACTIVATION] == GELU else a,
                mem,
                delta,
                ld,
                m,
                n,
            )
        )
    turn_block(
        (mem, delta, ld, m, n, at + _delta_rows(layer, places) + r * layer[D_LD], layer[D_LD])
    )


# ---------------------------------------------------------------------------- optimizers


@jit
def _rates(rule, step, lr, constants, w):
    """Return the rate, epsilon, factor of the weights and gain of the velocity of this step."""
    if rule in (ADAM, ADAMW):
        # The bias corrections of m and v, folded into two scalars.
        root = math.sqrt(1.0 - constants[BETA_2] ** step)
        rate = lr * root / (1.0 - constants[BETA_1] ** step)
        shrink = 1.0 - lr * constants[DECAY] if rule == ADAMW else 1.0
        epsilon = constants[EPSILON] * (1.0 if constants[EPSILON_HAT] else root)
        return real(w, rate), real(w, epsilon), real(w, shrink), real(w, 1.0)
    # The rate is in the step that a velocity makes, or in what it gathers.
    gain = -lr if constants[SCALED_VELOCITY] else 1.0
    size = -1.0 if constants[SCALED_VELOCITY] else lr
    return real(w, size), real(w, constants[EPSILON]), real(w, 1.0), real(w, gain)


@jit
def _move(rule, nesterov, rates, c, w, g, m, v, i):
    """Move a vector of weights, from w[i] on, by gradient g; m and v are the moments."""
    gi, wi = load(g, i), load(w, i)
    rate, momentum = filled(w, rates[0]), filled(w, c[MOMENTUM])
    if rule == SGD:
        if c[MOMENTUM] != 0:
            gi = gi * rates[3]
            mi = fused(momentum, load(m, i), gi)
            store(m, i, mi)
            gi = fused(momentum, mi, gi) if nesterov else mi
        store(w, i, wi - rate * gi)
        return
    vi = fused(filled(w, c[BETA_2]), load(v, i), (gi * gi) * c[REST_2])
    store(v, i, vi)
    if rule == RMSPROP:
        gi = gi / (root(vi + c[INNER]) + rates[1]) * rates[3]
        if c[MOMENTUM] != 0:
            gi = fused(momentum, load(m, i), gi)
            store(m, i, gi)
        store(w, i, wi - rate * gi)
        return
    mi = fused(filled(w, c[BETA_1]), load(m, i), gi * c[REST_1])
    store(m, i, mi)
    store(w, i, fused(mi / (root(vi) + rates[1]), rate * -1.0, wi * rates[2]))


@jit
def _update(rule, nesterov, rates, c, w, g, m, v, count, spare):
    """Move `count` weights; spare (4 vectors) is scratch space."""
    not_inlined()
    step = lanes(w)
    whole = count // step * step
    for i in range(0, whole, step):
        _move(rule, nesterov, rates, c, w, g, m, v, i)
    rest = count - whole
    if rest:  # in a vector of their own, so that no weight's bits depend on where it comes
        a, b = place(spare, step), place(spare, 2 * step)
        d = place(spare, 3 * step)
        for i in range(rest):
            spare[i], a[i] = w[whole + i], g[whole + i]
            b[i], d[i] = m[whole + i], v[whole + i]
        _move(rule, nesterov, rates, c, spare, a, b, d, 0)
        for i in range(rest):
            w[whole + i], m[whole + i], v[whole + i] = spare[i], b[i], d[i]


@jit
def _apply(optimizer, rates, c, at, count, l2, mem, g_at, state):
    """Make one update of `count` parameters from `at` on; a rule of -1 keeps the gradient.

    l2 is the place of the factor of their l2 term in c, -1 for none.
    """
    params, m, v, grad, spare = state
    g, w = place(mem, g_at), place(params, at)
    if l2 >= 0 and c[l2] != 0:
        factor = c[l2]
        for i in range(count):
            g[i] += factor * w[i]
    if optimizer[0] < 0:
        copy(span(g, 0, count), span(grad, at, count))
        return
    m, v = place(m, at), place(v, at)
    _update(optimizer[0], optimizer[1], rates, c, w, g, m, v, count, spare)


@jit
def _clipped_update(optimizer, rates, c, constants, count, state, squares, sync, tid, team):
    """Clip the gradient of all `count` parameters, which is in the state, and make an update."""
    not_inlined()
    params, m, v, grad, spare = state
    chunks = (count + CLIPPED - 1) // CLIPPED
    first, end = share(chunks, 1, tid, team)
    factor = real(params, 1.0)
    if constants[CLIP_NORM] > 0.0:
        for chunk in range(first, end):
            squares[chunk] = _square_sum(grad, chunk * CLIPPED, min(count, (chunk + 1) * CLIPPED))
        barrier(sync, team)
        total = 0.0
        for chunk in range(chunks):
            total += squares[chunk]
        norm = math.sqrt(total)
        if not norm <= constants[CLIP_NORM]:  # NaN where the norm is
            factor = real(params, constants[CLIP_NORM] / norm)
    limit = c[CLIP_VALUE]
    for chunk in range(first, end):
        at = chunk * CLIPPED
        here = min(CLIPPED, count - at)
        g = span(grad, at, here)
        if factor != 1.0:
            for i in range(here):
                g[i] *= factor
        if limit > 0.0:
            for i in range(here):
                g[i] = limit if g[i] > limit else -limit if g[i] < -limit else g[i]
        w, moments = place(params, at), (place(m, at), place(v, at))
        gradient = place(grad, at)
        _update(optimizer[0], optimizer[1], rates, c, w, gradient, *moments, here, spare)


@jit
def _square_sum(g, first, end):
    """Sum of the squares of g[first:end], in double."""
    a, b, c, d = 0.0, 0.0, 0.0, 0.0
    i = first
    while i + 4 <= end:
        a += np.float64(g[i]) * np.float64(g[i])
        b += np.float64(g[i + 1]) * np.float64(g[i + 1])
        c += np.float64(g[i + 2]) * np.float64(g[i + 2])
        d += np.float64(g[i + 3]) * np.float64(g[i + 3])
        i += 4
    while i < end:
        a += np.float64(g[i]) * np.float64(g[i])
        i += 1
    return (a + b) + (c + d)


@jit
def _apply_rows(layer, l2, optimizer, rates, c, i0, i1, j0, j1, mem, g_at, g_ld, flat_at, state):
    """Update rows i0 .. i1 and columns j0 .. j1 of the weights; row k stands for the biases."""
    not_inlined()
    k, m = layer[N_IN], layer[N_OUT]
    if i1 > k:
        if layer[B_AT] >= 0:
            g = g_at + (k - i0) * g_ld
            _apply(optimizer, rates, c, layer[B_AT] + j0, j1 - j0, -1, mem, g, state)
        i1 = k
    if j1 - j0 < m:
        for i in range(i0, i1):
            at = layer[W_AT] + i * m + j0
            _apply(optimizer, rates, c, at, j1 - j0, l2, mem, g_at + (i - i0) * g_ld, state)
        return
    if g_ld != m:  # close the gaps, as one long run of numbers fills vectors better
        for i in range(i1 - i0):
            copy(span(mem, g_at + i * g_ld, m), span(mem, flat_at + i * m, m))
        g_at = flat_at
    count = (i1 - i0) * m
    if count > 0:
        _apply(optimizer, rates, c, layer[W_AT] + i0 * m, count, l2, mem, g_at, state)


@jit
def _learn(
    layer, l2, optimizer, rates, c, below_at, between, i0, i1, j0, j1, mem, places, n, own, state
):
    """Weight gradient and update of rows i0 .. i1 (k for the biases), columns j0 .. j1.

    below_at is where the layer's input lies in the first block, `between` the way to the next.
    """
    not_inlined()
    k, ld = layer[N_IN], places[LD]
    slab, flat = own + places[SLAB_AT], own + places[FLAT_AT]
    to = place(mem, slab)
    g_ld = (j1 - j0 + lanes(mem) - 1) // lanes(mem) * lanes(mem)
    high = max(TILE, places[SLAB_SIZE] // g_ld // TILE * TILE)
    high = min(high, 4 * TILE)
    row = layer[D_LD]
    delta_at = places[WORK_AT] + _delta_rows(layer, places) + j0
    plain = optimizer[0] == SGD and c[MOMENTUM] == 0 and c[l2] == 0
    if plain and n <= places[ROWS] and (j1 - j0) % lanes(mem) == 0:
        # The update is the end of the product: the gradient never leaves the registers.
        mem[slab] = -rates[0]
        w = place(state[0], layer[W_AT] + j0)
        for i in range(i0, min(i1, k), 4 * TILE):
            rows = min(4 * TILE, min(i1, k) - i)
            a, at, m = place(mem, below_at + i * ld), place(w, i * layer[N_OUT]), layer[N_OUT]
            product((rows, j1 - j0, n, a, ld, 1, place(mem, delta_at), row, at, m, 3, to))
        i0 = max(i0, k)
    for i in range(i0, min(i1, k), high):
        rows = min(high, min(i1, k) - i)
        for first in range(0, n, places[ROWS]):
            b = first // places[ROWS]
            depth = min(places[ROWS], n - first)
            a = below_at + b * between + i * ld
            d = delta_at + b * places[WORK_SIZE]
            product(
                (
                    rows,
                    g_ld,
                    depth,
                    place(mem, a),
                    ld,
                    1,
                    place(mem, d),
                    row,
                    to,
                    g_ld,
                    1 if b else 0,
                    to,
                )
            )
        _apply_rows(
            layer, l2, optimizer, rates, c, i, i + rows, j0, j1, mem, slab, g_ld, flat, state
        )
    if i1 > k:
        for first in range(0, n, places[ROWS]):
            b = first // places[ROWS]
            depth = min(places[ROWS], n - first)
            sum_rows(mem, delta_at + b * places[WORK_SIZE], row, depth, g_ld, slab, b)
        _apply_rows(layer, l2, optimizer, rates, c, k, k + 1, j0, j1, mem, slab, g_ld, flat, state)


@jit
def _all_finite(a):
    bad = 0
    for i in range(len(a)):
        bad |= a[i] - a[i] != 0  # NaN for NaN and the infinities
    return bad == 0


# ---------------------------------------------------------------------------- passes over a batch


@jit
def _by_units(m, activation, n, step, team):
    """Whether threads share a layer's units rather than the rows of the batch."""
    units = (m + step - 1) // step
    if team == 1 or activation == SOFTMAX:
        return False
    return units >= 8 * team or units > (n + step - 1) // step


@jit
def _stretch(b, r0, r1, size):
    """Part of r0 .. r1 that lies in block b, counted from its start."""
    return max(r0 - b * size, 0), min(r1 - b * size, size)


@jit
def _wide_gradients(
    net, loss, dropping, judged, params, mem, places, n, scale, doubles, sums, sync, tid, team
):
    """Forward and backward pass of a batch, layer by layer, all threads at one layer.

    Leaves the deltas of all layers as (rows, m).
    """
    not_inlined()
    step, size, ld = lanes(mem), places[ROWS], places[LD]
    own = places[OWN_AT] + tid * places[OWN_SIZE]
    last = places[LAYERS] - 1
    r0, r1 = share(n, step, tid, team)
    own_rows = True
    for i in range(last + 1):
        layer = place(net, i * COLUMNS)
        m = layer[N_OUT]
        by_units = i < last and _by_units(m, layer[ACTIVATION], n, step, team)
        if by_units or not own_rows:
            barrier(sync, team)
        own_rows = not by_units
        j0, j1, first, end = 0, m, r0, r1
        if by_units:
            j0, j1 = share(m, step, tid, team)
            first, end = 0, n
        if j0 == j1:
            continue
        for b in range(first // size, (end + size - 1) // size):
            begin, stop = _stretch(b, first, end, size)
            x_at, at = places[X_AT] + b * places[X_SIZE], places[WORK_AT] + b * places[WORK_SIZE]
            count = (stop - begin + step - 1) // step * step
            _propagate(
                net, i, params, mem, ld, x_at, at, j0, j1, begin, count, own + places[PACK_AT]
            )
            if layer[THRESHOLD] > 0:
                row = b * size + begin
                _drop_outputs(net, i, dropping, mem, ld, at, j0, j1, begin, row, count)
    for b in range(r0 // size, (r1 + size - 1) // size):
        begin, stop = _stretch(b, r0, r1, size)
        x_at, at = places[X_AT] + b * places[X_SIZE], places[WORK_AT] + b * places[WORK_SIZE]
        part = place(sums, (b * size + begin) // step * 5)
        _score(
            net, loss, judged, mem, places, x_at, at, begin, stop - begin, scale, own, doubles, part
        )
    for i in range(last, 0, -1):
        k = net[i * COLUMNS + N_IN]
        by_units = _by_units(k, net[(i - 1) * COLUMNS + ACTIVATION], n, step, team)
        if by_units or not own_rows:
            barrier(sync, team)
        own_rows = not by_units
        i0, i1, first, end = 0, k, r0, r1
        if by_units:
            i0, i1 = share(k, step, tid, team)
            first, end = 0, n
        if i0 == i1:
            continue
        for b in range(first // size, (end + size - 1) // size):
            begin, stop = _stretch(b, first, end, size)
            at = places[WORK_AT] + b * places[WORK_SIZE]
            count = (stop - begin + step - 1) // step * step
            row = b * size + begin
            _retreat(net, i, dropping, params, mem, places, at, i0, i1, begin, row, count)
    barrier(sync, team)


@jit
def _wide_update(net, optimizer, rates, c, mem, places, n, state, tid, team):
    """Turn the deltas that `_wide_gradients` left into an update."""
    not_inlined()
    step = lanes(mem)
    own = places[OWN_AT] + tid * places[OWN_SIZE]
    for i in range(places[LAYERS]):
        layer = place(net, i * COLUMNS)
        k, m = layer[N_IN], layer[N_OUT]
        below, between = places[X_AT], places[X_SIZE]
        if i:
            below, between = (
                places[WORK_AT] + net[(i - 1) * COLUMNS + A_AT] * places[LD],
                places[WORK_SIZE],
            )
        i0, i1, j0, j1 = 0, k + 1, 0, m
        units = (m + step - 1) // step
        if units >= 8 * team:  # as in `_wide_gradients`: who reads, writes
            j0, j1 = share(m, step, tid, team)
        else:
            i0, i1 = share(k + 1, 4, tid, team)
        if i0 < i1 and j0 < j1:
            _learn(
                layer,
                L2 + i,
                optimizer,
                rates,
                c,
                below,
                between,
                i0,
                i1,
                j0,
                j1,
                mem,
                places,
                n,
                own,
                state,
            )


@jit
def _narrow_gradients(
    net, loss, dropping, judged, params, mem, places, n, scale, doubles, sums, sync, tid, team
):
    """Forward and backward pass of many rows through a small net, block by block.

    Leaves the gradient of each chunk of rows.
    """
    not_inlined()
    step, size, ld, chunk = lanes(mem), places[ROWS], places[LD], places[CHUNK]
    own, at = places[OWN_AT] + tid * places[OWN_SIZE], places[WORK_AT] + tid * places[WORK_SIZE]
    last = places[LAYERS] - 1
    r0, r1 = share(n, chunk, tid, team)
    for first in range(r0, r1, size):
        rows = min(size, n - first)
        count = (rows + step - 1) // step * step
        b = first // size
        x_at = places[X_AT] + b * places[X_SIZE]
        for i in range(last + 1):
            _propagate(
                net,
                i,
                params,
                mem,
                ld,
                x_at,
                at,
                0,
                net[i * COLUMNS + N_OUT],
                0,
                count,
                own + places[PACK_AT],
            )
            if net[i * COLUMNS + THRESHOLD] > 0:
                units = net[i * COLUMNS + N_OUT]
                _drop_outputs(net, i, dropping, mem, ld, at, 0, units, 0, first, count)
        part = place(sums, first // step * 5)
        _score(net, loss, judged, mem, places, x_at, at, 0, rows, scale, own, doubles, part)
        for i in range(last, 0, -1):
            units = net[i * COLUMNS + N_IN]
            _retreat(net, i, dropping, params, mem, places, at, 0, units, 0, first, count)
        partial = places[PARTIAL_AT] + first // chunk * places[PARTIAL_SIZE]
        start = 1 if first % chunk else 0
        for i in range(last + 1):
            layer = place(net, i * COLUMNS)
            k = layer[N_IN]
            below = at + net[(i - 1) * COLUMNS + A_AT] * ld if i else x_at
            delta = at + _delta_rows(layer, places)
            to, g_ld = partial + layer[G_AT], layer[G_LD]
            c = place(mem, to)
            product(
                (
                    k,
                    g_ld,
                    rows,
                    place(mem, below),
                    ld,
                    1,
                    place(mem, delta),
                    layer[D_LD],
                    c,
                    g_ld,
                    start,
                    c,
                )
            )
            sum_rows(mem, delta, layer[D_LD], rows, g_ld, to + k * g_ld, start)
    barrier(sync, team)


@jit
def _narrow_update(net, optimizer, rates, c, mem, places, n, state, tid, team):
    """Add up the gradients of the chunks, in their order, and make an update."""
    not_inlined()
    own = places[OWN_AT] + tid * places[OWN_SIZE]
    slab, flat = own + places[SLAB_AT], own + places[FLAT_AT]
    chunks = (n + places[CHUNK] - 1) // places[CHUNK]
    for i in range(places[LAYERS]):
        layer = place(net, i * COLUMNS)
        k, g_ld = layer[N_IN], layer[G_LD]
        i0, i1 = share(k + 1, 4, tid, team)
        high = max(1, places[SLAB_SIZE] // g_ld)
        for first in range(i0, i1, high):
            rows = min(high, i1 - first)
            from_at = places[PARTIAL_AT] + layer[G_AT] + first * g_ld
            for p in range(0, rows * g_ld, lanes(mem)):
                total = load(mem, from_at + p)
                for chunk in range(1, chunks):
                    total = total + load(mem, from_at + chunk * places[PARTIAL_SIZE] + p)
                store(mem, slab + p, total)
            _apply_rows(
                layer,
                L2 + i,
                optimizer,
                rates,
                c,
                first,
                first + rows,
                0,
                layer[N_OUT],
                mem,
                slab,
                g_ld,
                flat,
                state,
            )


@jit
def _fetch(net, dropping, x, y, order, first, r0, r1, mem, places, own):
    """Fill the blocks' inputs, targets and weights for rows r0 .. r1 of a batch."""
    not_inlined()
    size, ld = places[ROWS], places[LD]
    last = places[LAYERS] - 1
    k, m = net[N_IN], net[last * COLUMNS + N_OUT]
    for b in range(r0 // size, (r1 + size - 1) // size):
        begin, stop = _stretch(b, r0, r1, size)
        row, at = first + b * size + begin, places[X_AT] + b * places[X_SIZE]
        gather(x, order, row, stop - begin, k, mem, own, places[LINE_LD], at + begin, ld)
        if dropping[1] > 0:
            count = (stop - begin + lanes(mem) - 1) // lanes(mem) * lanes(mem)
            _drop(dropping, 0, dropping[1], mem, at + begin, ld, 0, k, b * size + begin, count)
        t, weight = at + places[T_AT] + begin, at + places[WEIGHT_AT] + begin
        gather_targets(y, order, row, stop - begin, m, mem, own, places[LINE_LD], t, weight, ld)


# ---------------------------------------------------------------------------- whole calls


@jit
def run(
    tid,
    team,
    sync,
    net,
    loss,
    optimizer,
    state,
    backup,
    steps,
    x,
    y,
    n,
    orders,
    lrs,
    drops,
    batch_size,
    modes,
    stop,
    mem,
    places,
    doubles,
    sums,
    squares,
    constants,
    c,
    history,
):
    """Train an epoch for each row of lrs; return (rows of history, status, steps).

    A row of lrs has one rate, or one for each step.
    loss = (code, whether from logits, reduction, parameter); optimizer = (rule,
    nesterov), a rule of -1 only computes the first gradient; state = (params, m, v, grad); x, y:
    see `gather`; drops = (keys of the epochs (epochs, 2) or none, threshold of the inputs, factors
    (layers,)): see `_drop`; modes = (want_metrics, l2_per_row, want_penalty,
    heed_nonfinite) of `Trainer.run`.
    """
    judged, l2_per_row, penalizes, heeds = modes
    net, mem, places = place(net, 0), place(mem, 0), place(places, 0)
    doubles, sums, sync = place(doubles, 0), place(sums, 0), place(sync, 0)
    # Pointers instead of arrays throughout: an array that is kept anywhere counts its references,
    # with an atomic operation each time.
    whole, in_order = len(state[0]), orders.size == 0
    spare = place(mem, places[OWN_AT] + tid * places[OWN_SIZE] + places[PACK_AT])
    params, m, v, grad = state
    state = (place(params, 0), place(m, 0), place(v, 0), place(grad, 0), spare)
    params, backup, history = state[0], place(backup, 0), place(history, 0)
    orders, constants, c = place(orders, 0), place(constants, 0), place(c, 0)
    squares = place(squares, 0)
    clips = constants[CLIP_NORM] > 0.0 or constants[CLIP_VALUE] > 0.0
    # Where the gradient is clipped first, the usual update only keeps it.
    first_rule = (-1, False) if clips else optimizer
    step = lanes(mem)
    own = places[OWN_AT] + tid * places[OWN_SIZE]
    doubles = place(doubles, tid * 2 * places[ROWS])
    narrow = places[CHUNK] > 0
    p0, p1 = share(whole, 16, tid, team)
    keys, thinned, factors = drops
    has_keys = keys.size > 0
    keys, factors = place(keys, 0), place(factors, 0)
    # One batch in the natural order stays where it is for all epochs.
    keep_batch = n <= batch_size and in_order and thinned == 0
    for epoch in range(len(lrs)):
        if optimizer[0] >= 0:
            copy(span(params, p0, p1 - p0), span(backup, p0, p1 - p0))
        steps_before = steps
        totals = place(history, epoch * FIGURES)
        order = span(orders, 0 if in_order else epoch * n, 0 if in_order else n)
        finite = True
        for first in range(0, n, batch_size):
            rows = min(batch_size, n - first)
            key = 0
            if has_keys:
                key = _mix(_mix(keys[2 * epoch] + first // batch_size) ^ keys[2 * epoch + 1])
            dropping = key, thinned, factors
            if epoch == 0 or not keep_batch:
                r0, r1 = share(rows, places[CHUNK] if narrow else step, tid, team)
                _fetch(net, dropping, x, y, order, first, r0, r1, mem, places, own)
            scale = 1.0
            weights = 1.0
            if loss[2] != SUM:
                weights = np.float64(rows)
                if y[2] != 0 and loss[2] == MEAN:
                    weights = _weight_sum(y[2], order, first, rows, mem)
                scale = 1.0 / weights if weights != 0.0 else 0.0
            # Nobody reads the l2 factors, or moves a weight, before all have met.
            penalty = 0.0
            if l2_per_row and tid == 0:
                for i in range(places[LAYERS]):
                    c[L2 + i] = real(params, constants[L2 + i] * scale)
            if penalizes and tid == 0:
                penalty = _l2_term(net, places[LAYERS], constants, params) * weights
                penalty *= scale if l2_per_row else 1.0
            if narrow:
                _narrow_gradients(
                    net,
                    loss,
                    dropping,
                    judged,
                    params,
                    mem,
                    places,
                    rows,
                    scale,
                    doubles,
                    sums,
                    sync,
                    tid,
                    team,
                )
            else:
                _wide_gradients(
                    net,
                    loss,
                    dropping,
                    judged,
                    params,
                    mem,
                    places,
                    rows,
                    scale,
                    doubles,
                    sums,
                    sync,
                    tid,
                    team,
                )
            groups = (rows + step - 1) // step
            total = 0.0
            for g in range(groups):
                total += sums[g * 5]
            if tid == 0:
                by = rows * scale if l2_per_row and loss[2] != SUM else 1.0
                for g in range(groups):
                    for q in range(5):
                        totals[q] += sums[g * 5 + q] * by
                totals[PENALTY] += penalty * by
            finite = not heeds or math.isfinite(total)
            if not finite and optimizer[0] >= 0:
                break
            steps += 1
            lr = lrs[epoch, first // batch_size if lrs.shape[1] > 1 else 0]
            rates = _rates(optimizer[0], steps, lr, constants, params)
            if narrow:
                _narrow_update(net, first_rule, rates, c, mem, places, rows, state, tid, team)
            else:
                _wide_update(net, first_rule, rates, c, mem, places, rows, state, tid, team)
            if clips:
                barrier(sync, team)
                numbers = rates, c, constants
                _clipped_update(optimizer, *numbers, whole, state, squares, sync, tid, team)
            if tid == 0 and stop[0]:
                atomic_store(sync, STOP, 1)
            barrier(sync, team)
            if optimizer[0] < 0:
                return epoch, OK, steps
            if atomic_load(sync, STOP):
                return epoch + 1, INTERRUPTED, steps
        if heeds and not _all_finite(span(params, p0, p1 - p0)):
            atomic_store(sync, BAD, 1)
        barrier(sync, team)
        if not finite or atomic_load(sync, BAD):
            copy(span(backup, p0, p1 - p0), span(params, p0, p1 - p0))
            return epoch, DIVERGED, steps_before
    return len(lrs), OK, steps


@jit
def _l2_term(net, layers, constants, params):
    """Half the sum of the layers' squared weights, each times its factor."""
    not_inlined()
    total = 0.0
    for i in range(layers):
        layer = place(net, i * COLUMNS)
        first, count = layer[W_AT], layer[N_IN] * layer[N_OUT]
        if constants[L2 + i] != 0:
            total += constants[L2 + i] * _square_sum(params, first, first + count)
    return 0.5 * total


@jit
def _weight_sum(address, order, first, n, mem):
    not_inlined()
    total = 0.0
    for r in range(first, first + n):
        row = order[r] if len(order) else r
        if is_single(mem):
            total += carray(float32_at(address + row * 4), (1,))[0]
        else:
            total += carray(float64_at(address + row * 8), (1,))[0]
    return total


@jit
def forward(tid, team, net, params, x, n, mem, places, out):
    """Write the net's outputs for n rows to out (n * m,), block by block."""
    net, mem, places = place(net, 0), place(mem, 0), place(places, 0)
    params = place(params, 0)
    size, ld, step, last = places[ROWS], places[LD], lanes(mem), places[LAYERS] - 1
    own, at = places[OWN_AT] + tid * places[OWN_SIZE], places[WORK_AT] + tid * places[WORK_SIZE]
    x_at = places[X_AT] + tid * places[X_SIZE]
    m = net[last * COLUMNS + N_OUT]
    order = span(places, 0, 0)
    r0, r1 = share(n, size, tid, team)
    for first in range(r0, r1, size):
        rows = min(size, n - first)
        count = (rows + step - 1) // step * step
        gather(x, order, first, rows, net[N_IN], mem, own, places[LINE_LD], x_at, ld)
        for i in range(last + 1):
            _propagate(
                net,
                i,
                params,
                mem,
                ld,
                x_at,
                at,
                0,
                net[i * COLUMNS + N_OUT],
                0,
                count,
                own + places[PACK_AT],
            )
        a = at + net[last * COLUMNS + A_AT] * ld
        ungather(mem, a, ld, rows, m, own, places[LINE_LD], out, first * m)


@jit
def evaluate(tid, team, net, loss, params, x, y, n, mem, places, doubles, sums):
    """Write the totals of each vector of n rows to sums, block by block."""
    net, mem, places = place(net, 0), place(mem, 0), place(places, 0)
    params, doubles, sums = place(params, 0), place(doubles, 0), place(sums, 0)
    size, ld, step, last = places[ROWS], places[LD], lanes(mem), places[LAYERS] - 1
    own, at = places[OWN_AT] + tid * places[OWN_SIZE], places[WORK_AT] + tid * places[WORK_SIZE]
    x_at = places[X_AT] + tid * places[X_SIZE]
    doubles = place(doubles, tid * 2 * size)
    k, m = net[N_IN], net[last * COLUMNS + N_OUT]
    order = span(places, 0, 0)
    t, weight = x_at + places[T_AT], x_at + places[WEIGHT_AT]
    r0, r1 = share(n, size, tid, team)
    for first in range(r0, r1, size):
        rows = min(size, n - first)
        count = (rows + step - 1) // step * step
        gather(x, order, first, rows, k, mem, own, places[LINE_LD], x_at, ld)
        gather_targets(y, order, first, rows, m, mem, own, places[LINE_LD], t, weight, ld)
        for i in range(last + 1):
            _propagate(
                net,
                i,
                params,
                mem,
                ld,
                x_at,
                at,
                0,
                net[i * COLUMNS + N_OUT],
                0,
                count,
                own + places[PACK_AT],
            )
        part = place(sums, first // step * 5)
        _score(net, loss, True, mem, places, x_at, at, 0, rows, 1.0, own, doubles, part)


@jit
def dense_forward(x, w, b, code, n, k, m, mem, places, out):
    """Write f(x @ w + b) to out (n * m,); b may have no elements."""
    mem, places, w = place(mem, 0), place(places, 0), place(w, 0)
    size, ld, step = places[ROWS], places[LD], lanes(mem)
    x_at, at, own = places[X_AT], places[WORK_AT], places[OWN_AT]
    order = span(places, 0, 0)
    for first in range(0, n, size):
        rows = min(size, n - first)
        count = (rows + step - 1) // step * step
        gather(x, order, first, rows, k, mem, own, places[LINE_LD], x_at, ld)
        b_at = 0 if len(b) else -1
        dense(k, m, w, 0, place(b, 0), b_at, x_at, mem, at, ld, 0, m, count, own + places[PACK_AT])
        activate((code, mem, at, ld, m, count))
        ungather(mem, at, ld, rows, m, own, places[LINE_LD], out, first * m)


@jit
def dense_backward(x, w, kept, g, code, n, k, m, mem, places, dx, dw, db):
    """Fill dw, db and, unless it has no elements, dx from g = dL/da."""
    mem, places, w = place(mem, 0), place(places, 0), place(w, 0)
    size, ld, step = places[ROWS], places[LD], lanes(mem)
    x_at, own = places[X_AT], places[OWN_AT]
    # As in a net's block: the inputs' place holds x, the work space f(z), delta and dx.
    kept_at, delta_at = places[WORK_AT], places[WORK_AT] + places[DELTA_AT]
    dx_at = delta_at + places[DELTA_SIZE]
    by_row, row = places[WORK_AT] + places[BY_ROW_AT], (m + step - 1) // step * step
    order = span(places, 0, 0)
    to = places[PARTIAL_AT]
    for i in range((k + 1) * row):
        mem[to + i] = 0
    for first in range(0, n, size):
        rows = min(size, n - first)
        count = (rows + step - 1) // step * step
        gather(x, order, first, rows, k, mem, own, places[LINE_LD], x_at, ld)
        gather(kept, order, first, rows, m, mem, own, places[LINE_LD], kept_at, ld)
        gather(g, order, first, rows, m, mem, own, places[LINE_LD], delta_at, ld)
        derive((code, mem, kept_at, mem, delta_at, ld, m, count))
        turn_block((mem, delta_at, ld, m, count, by_row, row))
        c = place(mem, to)
        product((k, row, rows, place(mem, x_at), ld, 1, place(mem, by_row), row, c, row, 1, c))
        sum_rows(mem, by_row, row, rows, row, to + k * row, 1)
        if len(dx):
            input_gradient(k, m, w, 0, delta_at, mem, dx_at, ld, 0, k, count)
            ungather(mem, dx_at, ld, rows, k, own, places[LINE_LD], dx, first * k)
    for i in range(k):
        copy(span(mem, to + i * row, m), span(dw, i * m, m))
    copy(span(mem, to + k * row, m), db)


@jit
def forward_rows(net, params, x, n, mem, places, out):
    """`forward` for a few rows, which would leave most of a vector empty: one row at a time."""
    net, mem, places = place(net, 0), place(mem, 0), place(places, 0)
    params, out = place(params, 0), place(out, 0)
    layers, step = places[LAYERS], lanes(mem)
    k, kind, address, stride, scale = net[N_IN], x[0], x[1], x[2], real(mem, x[3])
    m = net[(layers - 1) * COLUMNS + N_OUT]
    for r in range(n):
        below, a = place(mem, places[X_AT]), place(mem, places[WORK_AT])
        convert(kind, address + r * stride, span(below, 0, k), scale)
        for i in range(layers):
            layer = place(net, i * COLUMNS)
            units = layer[N_OUT]
            for j in range(units):
                a[j] = params[layer[B_AT] + j] if layer[B_AT] >= 0 else 0
            dense_row(layer[N_IN], units, below, place(params, layer[W_AT]), a)
            if (
                layer[ACTIVATION] == SOFTMAX
            ):  # its rows lie in the lanes: here, in the first of them
                spread = place(mem, places[OWN_AT])
                for j in range(units):
                    spread[j * step] = a[j]
                softmax(spread, 0, step, units)
                for j in range(units):
                    a[j] = spread[j * step]
            else:
                activate((layer[ACTIVATION], a, 0, 0, 1, (units + step - 1) // step * step))
            below, a = a, place(a, (units + step - 1) // step * step)
        below = place(below, 0)
        for j in range(m):
            out[r * m + j] = below[j]
