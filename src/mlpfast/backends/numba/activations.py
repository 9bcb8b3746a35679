"""The activations that Numba compiles, each with its derivative.

To add one, enter it in `_ELEMENTWISE`: f(z), and dL/dz from what is kept and g = dL/da, on vectors.
What is kept, the output or z, is said by the record in ``mlpfast.spec``. A net with an activation
that is not here runs on the NumPy backend.

Blocks are unit-major: rows lie in the lanes of the vectors, n rows of m units are (m, n) with `ld`
numbers from one unit to the next; n is in whole vectors.
"""

# Numba types compiled code itself; templates have names that are filled in.
# mypy: ignore-errors
# ruff: noqa: F821
from __future__ import annotations

import math

import numpy as np

from mlpfast.backends.numba.jit import fill_in, inlined, kernel
from mlpfast.backends.numba.vectors import (
    choose,
    filled,
    is_single,
    lanes,
    load,
    power_of_two,
    store,
)
from mlpfast.spec import ELU_ALPHA, LEAKY_RELU_SLOPE

# ---------------------------------------------------------------------------- exponentials
# Free of branches, on vectors of either dtype; off by at most 4 units in the last place.

_MAGIC_32, _MAGIC_64 = 1.5 * 2.0**23, 1.5 * 2.0**52  # adding it rounds to a whole number
_LOG2_E = 1.4426950408889634
# The first bits of ln 2, few enough that n * high is exact, and the rest.
_HIGH_32, _LOW_32 = 0.693359375, -2.12194440e-4
_HIGH_64, _LOW_64 = 6.93147180369123816490e-01, 1.90821492927058770002e-10
_F = tuple(1.0 / math.factorial(i) for i in range(14))


@inlined
def _exp_parts(x):
    """Return p, s, t with exp(x) = (p + 1) * s * t; s and t are powers of two, abs(p) < 0.42."""
    # Taylor's series of expm1 for abs(r) <= ln(2) / 2: what is left out is below rounding. s and t
    # are two, as 2**n itself may over- or underflow; at the limits the result is 0 and infinity.
    limit = 150.0 if is_single(x) else 1000.0
    x = choose(x < -limit, -limit, x)  # this way round, NaN passes
    x = choose(x > limit, limit, x)
    if is_single(x):
        n = (x * _LOG2_E + _MAGIC_32) - _MAGIC_32
        half = (n * 0.5 + _MAGIC_32) - _MAGIC_32
        r = (x - n * _HIGH_32) - n * _LOW_32
        p = r * _F[7] + _F[6]
    else:
        n = (x * _LOG2_E + _MAGIC_64) - _MAGIC_64
        half = (n * 0.5 + _MAGIC_64) - _MAGIC_64
        r = (x - n * _HIGH_64) - n * _LOW_64
        p = ((r * _F[13] + _F[12]) * r + _F[11]) * r + _F[10]
        p = (((p * r + _F[9]) * r + _F[8]) * r + _F[7]) * r + _F[6]
    p = (((p * r + _F[5]) * r + _F[4]) * r + _F[3]) * r + _F[2]
    return p * r * r + r, power_of_two(half), power_of_two(n - half)


@inlined
def exp(x):
    """E to the x."""
    p, s, t = _exp_parts(x)
    return (s * p + s) * t


@inlined
def _expm1(x):
    """exp(x) - 1 for x <= 0, without cancellation."""
    p, s, t = _exp_parts(x)
    s = s * t
    return s * p + (s - 1.0)


@inlined
def _sigmoid(z):
    negative = z < 0
    e = exp(choose(negative, z, z * -1.0))  # never overflows
    return choose(negative, e, 1) / (e + 1.0)


@inlined
def _tanh(z):
    t = _expm1(choose(z < 0, z, z * -1.0) * 2.0)
    t = t / (t + 2.0)
    return choose(z < 0, t, t * -1.0)


@inlined
def _silu_derivative(z, g):
    s = _sigmoid(z)
    return g * (s * (z * (1.0 - s) + 1.0))


# Comparisons are such that NaN stays NaN.
_ELEMENTWISE = {
    "step": (lambda z: choose(z > 0, filled(z, 1.0), 0), lambda a, g: g * a),
    "sigmoid": (_sigmoid, lambda a, g: g * a * (1.0 - a)),
    "tanh": (_tanh, lambda a, g: g * (1.0 - a * a)),
    "relu": (lambda z: choose(z < 0, 0, z), lambda a, g: choose(a > 0, g, 0)),
    "leaky_relu": (
        lambda z: choose(z > 0, z, z * LEAKY_RELU_SLOPE),
        lambda a, g: choose(a > 0, g, g * LEAKY_RELU_SLOPE),
    ),
    "elu": (
        lambda z: choose(z > 0, z, _expm1(choose(z > 0, 0, z)) * ELU_ALPHA),
        lambda a, g: choose(a > 0, g, g * (a + ELU_ALPHA)),
    ),
    "silu": (lambda z: z * _sigmoid(z), _silu_derivative),
    "exp": (exp, lambda a, g: g * a),
}

# The same on single numbers in double, for what the mathematical library has to compute.
_SCALAR = {
    "softplus": (
        lambda z: (0.0 if z < 0.0 else z) + math.log1p(math.exp(-abs(z))),
        lambda a, g: g * -math.expm1(-a),
    ),
    "gelu": (
        lambda z: z * 0.5 * math.erfc(z * -math.sqrt(0.5)),
        lambda z, g: (
            g
            * (
                0.5 * math.erfc(z * -math.sqrt(0.5))
                + z * math.exp(-0.5 * z * z) / math.sqrt(2.0 * math.pi)
            )
        ),
    ),
}


@kernel(Pointer="z a")
def _activate(z, a, ld, m, n):
    """Write f(z) to a, which may be z."""
    for j in range(m):
        for r in range(j * ld, j * ld + n, lanes(z)):
            store(a, r, f(load(z, r)))


@kernel(Pointer="kept g")
def _derive(kept, g, ld, m, n):
    """Replace g = dL/da by dL/dz."""
    for j in range(m):
        for r in range(j * ld, j * ld + n, lanes(g)):
            store(g, r, f(load(kept, r), load(g, r)))


@kernel(Pointer="z a")
def _activate_scalar(z, a, ld, m, n):
    for j in range(m):
        for r in range(j * ld, j * ld + n):
            a[r] = f(np.float64(z[r]))


@kernel(Pointer="kept g")
def _derive_scalar(kept, g, ld, m, n):
    for j in range(m):
        for r in range(j * ld, j * ld + n):
            g[r] = f(np.float64(kept[r]), np.float64(g[r]))


# ---------------------------------------------------------------------------- whole kernels


@kernel(Pointer="z a")
def _nothing(z, a, ld, m, n):
    """Leave all as it is: the identity's output lies where its z does."""


@inlined
def largest_of(z, r, ld, m):
    """Return the largest of m units, for as many rows as fill a vector."""
    largest = load(z, r)
    for j in range(1, m):
        v = load(z, j * ld + r)
        largest = choose(largest < v, v, largest)
    return largest


@kernel(Pointer="z a")
def _softmax(z, a, ld, m, n):
    for r in range(0, n, lanes(z)):
        largest, total = largest_of(z, r, ld, m), filled(z, 0.0)
        for j in range(m):
            e = exp(load(z, j * ld + r) - largest)
            store(a, j * ld + r, e)
            total = total + e
        for j in range(m):
            store(a, j * ld + r, load(a, j * ld + r) / total)


@kernel(Pointer="kept g")
def _softmax_derivative(kept, g, ld, m, n):
    for r in range(0, n, lanes(g)):
        inner = filled(g, 0.0)
        for j in range(m):
            inner = inner + load(g, j * ld + r) * load(kept, j * ld + r)
        for j in range(m):
            to = j * ld + r
            store(g, to, load(kept, to) * (load(g, to) - inner))


#: The kernels of an activation and of its derivative.
ACTIVATION_KERNELS = {
    name: tuple(
        fill_in(template, f"{name}{template.function.__name__}", f=inlined(f))
        for template, f in zip(templates, functions, strict=True)
    )
    for table, *templates in (
        (_ELEMENTWISE, _activate, _derive),
        (_SCALAR, _activate_scalar, _derive_scalar),
    )
    for name, functions in table.items()
}
ACTIVATION_KERNELS["identity"] = _nothing, _nothing
ACTIVATION_KERNELS["softmax"] = _softmax, _softmax_derivative
