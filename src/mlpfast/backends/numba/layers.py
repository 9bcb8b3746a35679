"""What the Numba kernels are made of: rows fetched, activations, products; on flat memory.

Rows lie in the lanes of the vectors: n rows of m units are held as (m, n), with `ld` numbers from
one unit to the next. Names ending in `_at` and `to` are places in a flat buffer.
"""

# Compiled functions are typed by Numba, not by their annotations; an intrinsic must name arguments
# that only its caller has a use for.
# mypy: ignore-errors
# ruff: noqa: ARG001
from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import carray, types
from numba.extending import intrinsic

from mlpfast.backends.numba.jit import jit, leaf
from mlpfast.backends.numba.vectors import (
    MANY_REGISTERS,
    absolute,
    atomic_add,
    atomic_load,
    atomic_store,
    choose,
    filled,
    is_single,
    lanes,
    less,
    load,
    make_pack,
    make_tile,
    not_inlined,
    place,
    power_of_two,
    real,
    store,
    turn,
    with_sign,
    yield_processor,
)
from mlpfast.spec import ACTIVATIONS, ELU_ALPHA, LEAKY_RELU_SLOPE

IDENTITY, STEP, SIGMOID, TANH, RELU, LEAKY_RELU, ELU, SOFTPLUS, SILU, GELU, EXP, SOFTMAX = (
    ACTIVATIONS.index(name)
    for name in (
        *("identity", "step", "sigmoid", "tanh", "relu", "leaky_relu", "elu", "softplus"),
        *("silu", "gelu", "exp", "softmax"),
    )
)
# What the batch is made of: see `_convert`.
X_KINDS = ("float32", "float64", "uint8")
# Places in `sync`, one to a cache line: see `_barrier`.
ARRIVED, ROUND, STOP, BAD = 0, 8, 16, 24

# Products go over this many terms of a sum at a time, so that what they read again stays in the
# first-level cache.
DEPTH = 256
# Rows of a tile of a product. With two vectors a row they fill 32 registers (12) or 16 (4).
TILE = 12 if MANY_REGISTERS else 4
PACK = 48  # columns of weights that are copied at once: whole tiles, whole cache lines
_pack_many, _pack_tile = make_pack(PACK), make_pack(TILE)
_tile_12_2, _tile_12_1 = make_tile(TILE, 2), make_tile(TILE, 1)
_tile_4_2, _tile_4_1 = make_tile(4, 2), make_tile(4, 1)
_tile_1_8 = make_tile(1, 8)
_tile_1_2, _tile_1_1 = make_tile(1, 2), make_tile(1, 1)
_tile_8_2, _tile_8_1 = make_tile(8, 2), make_tile(8, 1)
_tile_2_2, _tile_2_1 = make_tile(2, 2), make_tile(2, 1)

# ---------------------------------------------------------------------------- memory


def _pointer_at(kind: Any) -> Any:
    """Make a function from an address to a pointer of that kind."""

    @intrinsic
    def pointer(typingctx: Any, address: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return builder.inttoptr(args[0], context.get_value_type(signature.return_type))

        return types.CPointer(kind)(types.intp), generate

    return pointer


float32_at = _pointer_at(types.float32)
float64_at = _pointer_at(types.float64)
_uint8_at = _pointer_at(types.uint8)
_int64_at = _pointer_at(types.int64)


@jit
def span(a, first, count):
    """View into a flat array; unlike a slice it costs no reference count."""
    return carray(place(a, first), (count,))


@jit
def copy(row, out):
    """Copy a row."""
    for j in range(len(out)):
        out[j] = row[j]


@jit
def _copy_scaled(row, out, scale):
    for j in range(len(out)):
        out[j] = row[j] * scale


@jit
def convert(kind, address, out, scale):
    """Fill `out` from as many numbers of float32, float64 or uint8 at an address."""
    not_inlined()
    k = len(out)
    if kind == 0:
        _copy_scaled(carray(float32_at(address), (k,)), out, scale)
    elif kind == 1:
        _copy_scaled(carray(float64_at(address), (k,)), out, scale)
    else:
        _copy_scaled(carray(_uint8_at(address), (k,)), out, scale)


@jit
def gather(source, order, first, n, k, mem, line_at, line_ld, to, ld):
    """Write rows first .. first + n of a matrix to mem as (k, n), in whole vectors.

    source = (kind, address, stride, scale): the matrix comes as an address, so that neither its
    dtype nor its being read-only or strided asks for another compilation; the caller keeps it
    alive. Its rows are those in `order`, or come one after another if that is empty.
    """
    not_inlined()
    kind, address, stride, scale = source
    factor = real(mem, scale)
    step = lanes(mem)
    for r in range(0, n, step):
        for q in range(min(step, n - r)):
            row = order[first + r + q] if len(order) else first + r + q
            convert(kind, address + row * stride, span(mem, line_at + q * line_ld, k), factor)
        for j in range(0, k, step):
            turn(mem, line_at + j, line_ld, mem, to + j * ld + r, ld)


@jit
def gather_targets(y, order, first, n, m, mem, line_at, line_ld, to, weight_to, ld):
    """Write targets as (m, n) and weights (n,); y = (kind, address, address of the weights).

    Kind 2 stands for int64 class labels, an address of 0 for weights that are all 1.
    """
    not_inlined()
    kind, address, weight_address = y
    size = 4 if is_single(mem) else 8
    if kind < 2:
        source = (kind, address, m * size, 1.0)
        gather(source, order, first, n, m, mem, line_at, line_ld, to, ld)
    else:
        for j in range(m):
            for r in range(n):
                mem[to + j * ld + r] = 0
        for r in range(n):
            row = order[first + r] if len(order) else first + r
            mem[to + carray(_int64_at(address + row * 8), (1,))[0] * ld + r] = 1
    for r in range(n):
        row = order[first + r] if len(order) else first + r
        if weight_address == 0:
            mem[weight_to + r] = 1
        elif is_single(mem):
            mem[weight_to + r] = carray(float32_at(weight_address + row * 4), (1,))[0]
        else:
            mem[weight_to + r] = carray(float64_at(weight_address + row * 8), (1,))[0]


@jit
def ungather(mem, at, ld, n, m, line_at, line_ld, out, out_at):
    """Write (m, n) in mem to out as n rows of m numbers."""
    not_inlined()
    step = lanes(mem)
    for r in range(0, n, step):
        for j in range(0, m, step):
            turn(mem, at + j * ld + r, ld, mem, line_at + j, line_ld)
        for q in range(min(step, n - r)):
            copy(span(mem, line_at + q * line_ld, m), span(out, out_at + (r + q) * m, m))


# ---------------------------------------------------------------------------- threads


@jit
def barrier(sync, team):
    """Wait until all threads of the team are here."""
    not_inlined()
    if team == 1:
        return
    now = atomic_load(sync, ROUND)
    if atomic_add(sync, ARRIVED, 1) == team - 1:
        atomic_store(sync, ARRIVED, 0)
        atomic_store(sync, ROUND, now + 1)
        return
    tries = 0
    while atomic_load(sync, ROUND) == now:
        tries += 1
        if tries > 2000:  # tens of microseconds: somebody else may need this processor
            yield_processor()


@jit
def share(count, unit, tid, team):
    """Return first and end of a thread's share of 0 .. count, in whole units but for the last."""
    units = (count + unit - 1) // unit
    return units * tid // team * unit, min(count, units * (tid + 1) // team * unit)


# ---------------------------------------------------------------------------- exponentials
# Free of branches, on vectors of either dtype; off by at most 4 units in the last place.

_MAGIC_32, _MAGIC_64 = 1.5 * 2.0**23, 1.5 * 2.0**52  # adding it rounds to a whole number
_LOG2_E = 1.4426950408889634
# The first bits of ln 2, few enough that n * high is exact, and the rest.
_LN2_HIGH_32, _LN2_LOW_32 = 0.693359375, -2.12194440e-4
_LN2_HIGH_64, _LN2_LOW_64 = 6.93147180369123816490e-01, 1.90821492927058770002e-10
_INVERSE = tuple(1.0 / math.factorial(i) for i in range(14))


@jit
def _exp_parts(x):
    """Return p, s, t with exp(x) = (p + 1) * s * t; s and t are powers of two, abs(p) < 0.42."""
    # Taylor's series of expm1 for abs(r) <= ln(2) / 2: what is left out is below rounding. s and t
    # are two, as 2**n itself may over- or underflow; at the limits the result is 0 and infinity.
    if is_single(x):
        low, high = filled(x, -150.0), filled(x, 150.0)
        x = choose(less(x, low), low, x)  # this way round, NaN passes
        x = choose(less(high, x), high, x)
        n = (x * _LOG2_E + _MAGIC_32) - _MAGIC_32
        half = (n * 0.5 + _MAGIC_32) - _MAGIC_32
        r = (x - n * _LN2_HIGH_32) - n * _LN2_LOW_32
        p = r * _INVERSE[7] + _INVERSE[6]
    else:
        low, high = filled(x, -1000.0), filled(x, 1000.0)
        x = choose(less(x, low), low, x)
        x = choose(less(high, x), high, x)
        n = (x * _LOG2_E + _MAGIC_64) - _MAGIC_64
        half = (n * 0.5 + _MAGIC_64) - _MAGIC_64
        r = (x - n * _LN2_HIGH_64) - n * _LN2_LOW_64
        p = r * _INVERSE[13] + _INVERSE[12]
        p = p * r + _INVERSE[11]
        p = p * r + _INVERSE[10]
        p = p * r + _INVERSE[9]
        p = p * r + _INVERSE[8]
        p = p * r + _INVERSE[7]
        p = p * r + _INVERSE[6]
    p = p * r + _INVERSE[5]
    p = p * r + _INVERSE[4]
    p = p * r + _INVERSE[3]
    p = p * r + _INVERSE[2]
    return p * r * r + r, power_of_two(half), power_of_two(n - half)


@jit
def exp(x):
    """E to the x."""
    p, s, t = _exp_parts(x)
    return (s * p + s) * t


@jit
def _expm1(x):
    """exp(x) - 1 for x <= 0, without cancellation."""
    p, s, t = _exp_parts(x)
    s = s * t
    return s * p + (s - 1.0)


@jit
def log1p(e):
    """log(1 + e) for e from 0 to 1."""
    u = e / (e + 2.0)  # log(1 + e) = 2 atanh(u), as a series in u * u <= 1 / 9
    square = u * u
    if is_single(e):
        p = filled(e, 1.0 / 17.0)
    else:
        p = filled(e, 1.0 / 37.0)
        p = p * square + 1.0 / 35.0
        p = p * square + 1.0 / 33.0
        p = p * square + 1.0 / 31.0
        p = p * square + 1.0 / 29.0
        p = p * square + 1.0 / 27.0
        p = p * square + 1.0 / 25.0
        p = p * square + 1.0 / 23.0
        p = p * square + 1.0 / 21.0
        p = p * square + 1.0 / 19.0
        p = p * square + 1.0 / 17.0
    p = p * square + 1.0 / 15.0
    p = p * square + 1.0 / 13.0
    p = p * square + 1.0 / 11.0
    p = p * square + 1.0 / 9.0
    p = p * square + 1.0 / 7.0
    p = p * square + 1.0 / 5.0
    p = p * square + 1.0 / 3.0
    u = u + u
    return u * square * p + u


@jit
def _sigmoid(z):
    e = exp(absolute(z) * -1.0)
    return choose(less(z, filled(z, 0.0)), e, filled(z, 1.0)) / (e + 1.0)


@jit
def _tanh(z):
    t = _expm1(absolute(z) * -2.0)
    return with_sign(t / (t + 2.0), z)


@jit
def _relu(z):
    zero = filled(z, 0.0)
    return choose(less(z, zero), zero, z)  # this way round, NaN stays


@jit
def _leaky_relu(z):
    return choose(less(filled(z, 0.0), z), z, z * LEAKY_RELU_SLOPE)


@jit
def _elu(z):
    zero = filled(z, 0.0)
    return choose(less(zero, z), z, _expm1(choose(less(zero, z), zero, z)) * ELU_ALPHA)


@jit
def _step(z):
    return choose(less(filled(z, 0.0), z), filled(z, 1.0), filled(z, 0.0))


@jit
def _softplus(z):
    zero = filled(z, 0.0)
    return choose(less(z, zero), zero, z) + log1p(exp(absolute(z) * -1.0))


@jit
def _silu(z):
    return z * _sigmoid(z)


# ---------------------------------------------------------------------------- activations


@leaf("a")
def activate(code, a, at, ld, m, n):
    """Replace z (m, n) at a[at] by f(z); n is rounded up to whole vectors."""
    if code == IDENTITY:
        return
    if code == SOFTMAX:
        for r in range(at, at + n, lanes(a)):
            softmax(a, r, ld, m)
        return
    for j in range(m):
        first = at + j * ld
        end = first + n
        if code == RELU:
            for r in range(first, end, lanes(a)):
                store(a, r, _relu(load(a, r)))
        elif code == SIGMOID:
            for r in range(first, end, lanes(a)):
                store(a, r, _sigmoid(load(a, r)))
        elif code == TANH:
            for r in range(first, end, lanes(a)):
                store(a, r, _tanh(load(a, r)))
        elif code == LEAKY_RELU:
            for r in range(first, end, lanes(a)):
                store(a, r, _leaky_relu(load(a, r)))
        elif code == ELU:
            for r in range(first, end, lanes(a)):
                store(a, r, _elu(load(a, r)))
        elif code == SILU:
            for r in range(first, end, lanes(a)):
                store(a, r, _silu(load(a, r)))
        elif code == EXP:
            for r in range(first, end, lanes(a)):
                store(a, r, exp(load(a, r)))
        elif code == STEP:
            for r in range(first, end, lanes(a)):
                store(a, r, _step(load(a, r)))
        elif code == SOFTPLUS:
            for r in range(first, end, lanes(a)):
                store(a, r, _softplus(load(a, r)))
        elif code == GELU:
            for r in range(first, end):
                z = np.float64(a[r])
                a[r] = z * 0.5 * math.erfc(z * -math.sqrt(0.5))


@jit
def softmax(a, at, ld, m):
    """Over m units of as many rows as fill a vector."""
    not_inlined()
    largest = load(a, at)
    for j in range(1, m):
        z = load(a, at + j * ld)
        largest = choose(less(largest, z), z, largest)
    total = filled(largest, 0.0)
    for j in range(m):
        e = exp(load(a, at + j * ld) - largest)
        store(a, at + j * ld, e)
        total = total + e
    for j in range(m):
        store(a, at + j * ld, load(a, at + j * ld) / total)


@leaf("a g")
def derive(code, a, at, g, g_at, ld, m, n):
    """Replace g = dL/da (m, n) by dL/dz; at a[at] is f(z), or z for silu and gelu."""
    if code == IDENTITY:
        return
    if code == SOFTMAX:
        for r in range(0, n, lanes(g)):
            inner = filled(g, 0.0)
            for j in range(m):
                inner = inner + load(g, g_at + j * ld + r) * load(a, at + j * ld + r)
            for j in range(m):
                to = g_at + j * ld + r
                store(g, to, load(a, at + j * ld + r) * (load(g, to) - inner))
        return
    for j in range(m):
        if code == GELU:
            for r in range(n):
                z = np.float64(a[at + j * ld + r])
                density = math.exp(-0.5 * z * z) / math.sqrt(2.0 * math.pi)
                g[g_at + j * ld + r] *= 0.5 * math.erfc(z * -math.sqrt(0.5)) + z * density
            continue
        for r in range(0, n, lanes(g)):
            to = g_at + j * ld + r
            v, d = load(a, at + j * ld + r), load(g, to)
            zero = filled(g, 0.0)
            if code == RELU:
                d = choose(less(zero, v), d, zero)
            elif code == SIGMOID:
                d = d * v * (1.0 - v)
            elif code == TANH:
                d = d * (1.0 - v * v)
            elif code == LEAKY_RELU:
                d = choose(less(zero, v), d, d * LEAKY_RELU_SLOPE)
            elif code == ELU:
                d = choose(less(zero, v), d, d * (v + ELU_ALPHA))
            elif code == SOFTPLUS:
                d = d * _expm1(v * -1.0) * -1.0
            elif code == SILU:
                s = _sigmoid(v)
                d = d * (s * (v * (1.0 - s) + 1.0))
            else:  # exp
                d = d * v
            store(g, to, d)


# ---------------------------------------------------------------------------- products


@leaf("a b c bias")
def product(m, n, depth, a, a_row, a_col, b, b_row, c, c_row, start, bias):
    """Fill c (m, n) = a (m, depth) @ b (depth, n), n in whole vectors; see `make_tile`."""
    wide = 2 * lanes(c)
    for p in range(0, n, wide):
        i = 0
        d = place(b, p)
        if p + wide <= n:
            while m - i >= TILE:
                e, f = place(a, i * a_row), place(c, i * c_row + p)
                g = place(bias, i if start == 2 else 0)
                _tile_12_2(e, a_row, a_col, d, b_row, f, c_row, depth, start, g)
                i += TILE
            if m - i >= 8:
                e, f = place(a, i * a_row), place(c, i * c_row + p)
                g = place(bias, i if start == 2 else 0)
                _tile_8_2(e, a_row, a_col, d, b_row, f, c_row, depth, start, g)
                i += 8
            if m - i >= 4:
                e, f = place(a, i * a_row), place(c, i * c_row + p)
                g = place(bias, i if start == 2 else 0)
                _tile_4_2(e, a_row, a_col, d, b_row, f, c_row, depth, start, g)
                i += 4
            if m - i >= 2:
                e, f = place(a, i * a_row), place(c, i * c_row + p)
                g = place(bias, i if start == 2 else 0)
                _tile_2_2(e, a_row, a_col, d, b_row, f, c_row, depth, start, g)
                i += 2
            if m - i >= 1:
                e, f = place(a, i * a_row), place(c, i * c_row + p)
                g = place(bias, i if start == 2 else 0)
                _tile_1_2(e, a_row, a_col, d, b_row, f, c_row, depth, start, g)
                i += 1
        else:
            while m - i >= TILE:
                e, f = place(a, i * a_row), place(c, i * c_row + p)
                g = place(bias, i if start == 2 else 0)
                _tile_12_1(e, a_row, a_col, d, b_row, f, c_row, depth, start, g)
                i += TILE
            if m - i >= 8:
                e, f = place(a, i * a_row), place(c, i * c_row + p)
                g = place(bias, i if start == 2 else 0)
                _tile_8_1(e, a_row, a_col, d, b_row, f, c_row, depth, start, g)
                i += 8
            if m - i >= 4:
                e, f = place(a, i * a_row), place(c, i * c_row + p)
                g = place(bias, i if start == 2 else 0)
                _tile_4_1(e, a_row, a_col, d, b_row, f, c_row, depth, start, g)
                i += 4
            if m - i >= 2:
                e, f = place(a, i * a_row), place(c, i * c_row + p)
                g = place(bias, i if start == 2 else 0)
                _tile_2_1(e, a_row, a_col, d, b_row, f, c_row, depth, start, g)
                i += 2
            if m - i >= 1:
                e, f = place(a, i * a_row), place(c, i * c_row + p)
                g = place(bias, i if start == 2 else 0)
                _tile_1_1(e, a_row, a_col, d, b_row, f, c_row, depth, start, g)
                i += 1


@jit
def dense(k, m, w, w_at, b, b_at, below_at, mem, at, ld, j0, j1, n, pack_at):
    """Fill rows j0 .. j1 of z.T = w.T @ x.T + b at mem[at], n columns; b_at is -1 for no biases."""
    not_inlined()
    first = 0 if b_at < 0 else 2
    for i in range(0, k, DEPTH):
        depth = min(DEPTH, k - i)
        start = 1 if i else first
        below = place(mem, below_at + i * ld)
        if depth < 64 or n <= 2 * lanes(mem):
            here = w_at + i * m + j0
            product(
                (
                    j1 - j0,
                    n,
                    depth,
                    place(w, here),
                    1,
                    m,
                    below,
                    ld,
                    place(mem, at + j0 * ld),
                    ld,
                    start,
                    place(b, b_at + j0),
                )
            )
            continue
        # The rows of w are far apart and are read for every other vector of columns: a copy pays,
        # the more if it takes whole cache lines.
        j, pack = j0, place(mem, pack_at)
        while j1 - j >= TILE:
            to = place(mem, at + j * ld)
            here, biases = place(w, w_at + i * m + j), place(b, b_at + j)
            if j1 - j >= PACK:
                _pack_many(here, m, pack, depth)
                product((PACK, n, depth, pack, 1, PACK, below, ld, to, ld, start, biases))
                j += PACK
            else:
                _pack_tile(here, m, pack, depth)
                product((TILE, n, depth, pack, 1, TILE, below, ld, to, ld, start, biases))
                j += TILE
        here, to = place(w, w_at + i * m + j), place(mem, at + j * ld)
        product((j1 - j, n, depth, here, 1, m, below, ld, to, ld, start, place(b, b_at + j)))


@jit
def input_gradient(k, m, w, w_at, delta_at, mem, at, ld, i0, i1, n):
    """Fill rows i0 .. i1 of dx.T = w @ delta.T at mem[at], n columns."""
    not_inlined()
    for j in range(0, m, DEPTH):
        depth = min(DEPTH, m - j)
        here = w_at + i0 * m + j
        here, delta, to = place(w, here), place(mem, delta_at + j * ld), place(mem, at + i0 * ld)
        product((i1 - i0, n, depth, here, m, 1, delta, ld, to, ld, 1 if j else 0, here))


@jit
def dense_row(k, m, x, w, z):
    """Add x (k,) @ w to z (m,), all given as pointers, for a row on its own."""
    not_inlined()
    step = lanes(z)
    j = 0
    while j + 8 * step <= m:
        _tile_1_8(x, k, 1, place(w, j), m, place(z, j), m, k, 1, z)
        j += 8 * step
    while j + 2 * step <= m:
        _tile_1_2(x, k, 1, place(w, j), m, place(z, j), m, k, 1, z)
        j += 2 * step
    while j + step <= m:
        _tile_1_1(x, k, 1, place(w, j), m, place(z, j), m, k, 1, z)
        j += step
    for i in range(k):
        for rest in range(j, m):
            z[rest] += x[i] * w[i * m + rest]


@jit
def sum_rows(mem, at, row, n, m, to, start):
    """Write (or add) the sums over n rows of m numbers, in whole vectors."""
    not_inlined()
    for j in range(0, m, lanes(mem)):
        a = filled(mem, 0.0)
        if start:
            a = load(mem, to + j)
        b, c, d = filled(mem, 0.0), filled(mem, 0.0), filled(mem, 0.0)
        r = 0
        while r + 4 <= n:
            here = at + r * row + j
            a = a + load(mem, here)
            b = b + load(mem, here + row)
            c = c + load(mem, here + 2 * row)
            d = d + load(mem, here + 3 * row)
            r += 4
        while r < n:
            a = a + load(mem, at + r * row + j)
            r += 1
        store(mem, to + j, (a + b) + (c + d))


@leaf("mem")
def turn_block(mem, at, ld, m, n, to, row):
    """Write (m, n) at mem[at] as (n, m), in whole vectors either way."""
    step = lanes(mem)
    for j in range(0, m, step):
        for r in range(0, n, step):
            turn(mem, at + j * ld + r, ld, mem, to + r * row + j, row)
