"""The kernels that are neither activation, loss nor optimizer: rows, products, sums, copies.

A block holds up to 128 rows, unit-major: n rows of m units are (m, n) with `ld` numbers from one
unit to the next.
"""

# Numba types compiled code itself.
# mypy: ignore-errors
from __future__ import annotations

import numpy as np

from mlpfast.backends.numba.jit import inlined, kernel
from mlpfast.backends.numba.vectors import multiply, place, real, shifted

# Products go over this many terms of a sum at a time, so that what they read again stays in the
# first-level cache.
_DEPTH = 256
_STRIP = 64  # numbers of a row that are transposed at a time, for the same reason

# ---------------------------------------------------------------------------- rows


@kernel(Source="x", float="scale", Integers="order", Pointer="to")
def gather(x, stride, scale, order, ordered, first, n, k, to, ld):
    """Write n rows of k numbers, from number `first` of the order on, as (k, n), times scale.

    Rows are `stride` bytes apart; they come one after another unless `ordered`.
    """
    factor = real(to, scale)
    for strip in range(0, k, _STRIP):
        for r in range(n):
            row = shifted(x, (order[first + r] if ordered else first + r) * stride)
            for j in range(strip, min(strip + _STRIP, k)):
                to[j * ld + r] = real(to, row[j]) * factor


@kernel(Integers="labels order", Pointer="to")
def one_hot(labels, order, ordered, first, n, m, to, ld):
    """Write the one-hot rows that class labels stand for as (m, n)."""
    for j in range(m):
        for r in range(n):
            to[j * ld + r] = 0.0
    for r in range(n):
        to[labels[order[first + r] if ordered else first + r] * ld + r] = 1.0


@kernel(Pointer="to", float="value")
def fill(to, count, value):
    """Fill with a number."""
    for i in range(count):
        to[i] = value


@kernel(Pointer="a", Integers="order", Doubles="result")
def sum_of(a, order, ordered, first, n, result):
    """Add up n numbers in double."""
    total = 0.0
    for r in range(first, first + n):
        total += a[order[r] if ordered else r]
    result[0] = total


@kernel(Pointer="a out")
def scatter(a, ld, n, m, out):
    """Write (m, n) as n rows of m numbers."""
    for r in range(n):
        for j in range(m):
            out[r * m + j] = a[j * ld + r]


# ---------------------------------------------------------------------------- dropout


@inlined
def mix(x):
    """`dropout.mix` of one number."""
    x = x & 0xFFFFFFFF
    x = (x ^ (x >> 16)) * 0x7FEB352D & 0xFFFFFFFF
    x = (x ^ (x >> 15)) * 0x846CA68B & 0xFFFFFFFF
    return x ^ (x >> 16)


@kernel(Pointer="a to", float="factor", Integers="keys")
def drop(a, to, ld, m, n, key, row, threshold, factor, keys):
    """Write (m, n) with some units dropped and the others scaled; see ``backends/dropout.py``.

    The key is that of the layer, row the number of the first row; keys (n,) is scratch space.
    """
    scale = real(to, factor)
    for r in range(n):
        keys[r] = mix(key + row + r)
    for j in range(m):
        for r in range(n):
            kept = mix(keys[r] + j) >= threshold
            to[j * ld + r] = a[j * ld + r] * scale if kept else 0.0


# ---------------------------------------------------------------------------- products


@kernel(Pointer="a b c")
def product(m, n, depth, a, a_row, a_col, b, b_row, c, c_row, add):
    """Write or add a (m, depth) @ b (depth, n) to c (m, n); see `multiply`."""
    for k in range(0, depth, _DEPTH):
        a_k, b_k = place(a, k * a_col), place(b, k * b_row)
        part = min(_DEPTH, depth - k)
        multiply((m, n, part, a_k, a_row, a_col, b_k, b_row, c, c_row, 1 if k else add))


@kernel(Pointer="a to")
def transpose(a, ld, m, n, to, width):
    """Write (m, n) as n rows of `width` numbers, with zeros behind the m units."""
    for r in range(n):
        for j in range(m):
            to[r * width + j] = a[j * ld + r]
        for j in range(m, width):
            to[r * width + j] = 0.0


@kernel(Pointer="x w z")
def row_product(x, k, bias, w, m, z):
    """Write x (k,) @ w (k, m) to z (m,), plus row k of w if there is a bias."""
    for j in range(m):
        z[j] = w[k * m + j] if bias else 0.0
    whole = k // 4 * 4
    for i in range(0, whole, 4):  # w is read once, from its beginning to its end
        a, b, c, d = x[i], x[i + 1], x[i + 2], x[i + 3]
        row = place(w, i * m)
        for j in range(m):
            z[j] += (a * row[j] + b * row[m + j]) + (c * row[2 * m + j] + d * row[3 * m + j])
    for i in range(whole, k):
        for j in range(m):
            z[j] += x[i] * w[i * m + j]


@kernel(Pointer="a to")
def copy(a, to, ld, m, n):
    """Copy (m, n)."""
    for j in range(m):
        for r in range(j * ld, j * ld + n):
            to[r] = a[r]


# ---------------------------------------------------------------------------- parameters
# While a net trains, its parameters, moments and gradients are kept in panels: those of up to two
# vectors of units, (n_in + 1, width), one behind the other. The biases come last, the weights of an
# input that is always 1. What is missing in the last panel is 0, and stays so.


@kernel(Pointer="flat panels")
def exchange(flat, panels, m, width, stride, i0, i1, back):
    """Copy rows i0 .. i1 of a flat layer (k, m) into panels `stride` numbers apart, or back."""
    for i in range(i0, i1):
        for p in range(0, m, width):
            a, b = place(flat, i * m + p), place(panels, p // width * stride + i * width)
            for j in range(min(width, m - p)):
                if back:
                    a[j] = b[j]
                else:
                    b[j] = a[j]


@kernel(Pointer="a")
def add_chunks(a, count, chunks, stride):
    """Add to `count` numbers those of the other chunks, `stride` numbers apart, in their order."""
    for chunk in range(1, chunks):
        for i in range(count):
            a[i] += a[chunk * stride + i]


@kernel(Pointer="a", Integers="found")
def find_not_finite(a, count, found):
    """Set found[0] to 1 if one of the numbers is infinite or NaN."""
    bad = 0
    for i in range(count):
        bad |= a[i] - a[i] != 0.0
    if bad:
        found[0] = 1


@kernel(Pointer="a", Doubles="result")
def sum_squares(a, count, result):
    """Write the sum of the squares, in double."""
    total = 0.0
    for i in range(count):
        total += np.float64(a[i]) * np.float64(a[i])
    result[0] = total


#: The kernels that a run may call, by the names of the record `memory.RUN`.
KERNELS = {
    each.function.__name__: each
    for each in (
        *(gather, one_hot, fill, sum_of, scatter, drop, product, transpose, row_product, copy),
        *(exchange, add_chunks, find_not_finite, sum_squares),
    )
}
