"""The activations that Numba compiles, each with its derivative.

To add one: write ``f(z)`` and ``derivative(kept, g)`` on vectors and enter both in `_ELEMENTWISE`;
what is kept, the output or z, is said by the record in ``mlpfast.spec``. A net with an activation
that is not here runs on the NumPy backend.

Blocks are unit-major: rows lie in the lanes of the vectors, n rows of m units are (m, n) with `ld`
numbers from one unit to the next; n is in whole vectors.
"""

# Numba types compiled code itself.
# mypy: ignore-errors
from __future__ import annotations

import math

import numpy as np

from mlpfast.backends.numba.jit import Kernel, Pointer, fill_in, jit
from mlpfast.backends.numba.vectors import (
    absolute,
    choose,
    filled,
    is_single,
    lanes,
    less,
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
_LN2_HIGH_32, _LN2_LOW_32 = 0.693359375, -2.12194440e-4
_LN2_HIGH_64, _LN2_LOW_64 = 6.93147180369123816490e-01, 1.90821492927058770002e-10
_F = tuple(1.0 / math.factorial(i) for i in range(14))


@jit
def _clamped(x, limit):
    """Bring x to within plus and minus the limit; NaN passes."""
    low, high = filled(x, -limit), filled(x, limit)
    x = choose(less(x, low), low, x)
    return choose(less(high, x), high, x)


@jit
def _exp_parts(x):
    """Return p, s, t with exp(x) = (p + 1) * s * t; s and t are powers of two, abs(p) < 0.42."""
    # Taylor's series of expm1 for abs(r) <= ln(2) / 2: what is left out is below rounding. s and t
    # are two, as 2**n itself may over- or underflow; at the limits the result is 0 and infinity.
    if is_single(x):
        x = _clamped(x, 150.0)
        n = (x * _LOG2_E + _MAGIC_32) - _MAGIC_32
        half = (n * 0.5 + _MAGIC_32) - _MAGIC_32
        r = (x - n * _LN2_HIGH_32) - n * _LN2_LOW_32
        p = r * _F[7] + _F[6]
    else:
        x = _clamped(x, 1000.0)
        n = (x * _LOG2_E + _MAGIC_64) - _MAGIC_64
        half = (n * 0.5 + _MAGIC_64) - _MAGIC_64
        r = (x - n * _LN2_HIGH_64) - n * _LN2_LOW_64
        p = ((r * _F[13] + _F[12]) * r + _F[11]) * r + _F[10]
        p = (((p * r + _F[9]) * r + _F[8]) * r + _F[7]) * r + _F[6]
    p = (((p * r + _F[5]) * r + _F[4]) * r + _F[3]) * r + _F[2]
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
def _log1p(e):
    """log(1 + e) for e from 0 to 1."""
    u = e / (e + 2.0)  # log(1 + e) = 2 atanh(u), as a series in u * u <= 1 / 9
    q = u * u
    p = filled(e, 1.0 / 17.0)
    if not is_single(e):
        p = ((q * (1.0 / 37.0) + 1.0 / 35.0) * q + 1.0 / 33.0) * q + 1.0 / 31.0
        p = (((p * q + 1.0 / 29.0) * q + 1.0 / 27.0) * q + 1.0 / 25.0) * q + 1.0 / 23.0
        p = ((p * q + 1.0 / 21.0) * q + 1.0 / 19.0) * q + 1.0 / 17.0
    p = (((p * q + 1.0 / 15.0) * q + 1.0 / 13.0) * q + 1.0 / 11.0) * q + 1.0 / 9.0
    p = ((p * q + 1.0 / 7.0) * q + 1.0 / 5.0) * q + 1.0 / 3.0
    u = u + u
    return u * q * p + u


@jit
def sigmoid(z):
    """1 / (1 + exp(-z)), which never overflows."""
    e = exp(absolute(z) * -1.0)
    return choose(less(z, filled(z, 0.0)), e, filled(z, 1.0)) / (e + 1.0)


# ---------------------------------------------------------------------------- on vectors
# First the function of z, then dL/dz from what is kept and g = dL/da.


@jit
def _times_output(a, g):
    return g * a


@jit
def _step(z):
    return choose(less(filled(z, 0.0), z), filled(z, 1.0), filled(z, 0.0))


@jit
def _sigmoid_derivative(a, g):
    return g * a * (1.0 - a)


@jit
def _tanh(z):
    t = _expm1(absolute(z) * -2.0)
    t = t / (t + 2.0)
    return choose(less(z, filled(z, 0.0)), t, t * -1.0)


@jit
def _tanh_derivative(a, g):
    return g * (1.0 - a * a)


@jit
def _relu(z):
    zero = filled(z, 0.0)
    return choose(less(z, zero), zero, z)  # this way round, NaN stays


@jit
def _relu_derivative(a, g):
    zero = filled(a, 0.0)
    return choose(less(zero, a), g, zero)


@jit
def _leaky_relu(z):
    return choose(less(filled(z, 0.0), z), z, z * LEAKY_RELU_SLOPE)


@jit
def _leaky_relu_derivative(a, g):
    return choose(less(filled(a, 0.0), a), g, g * LEAKY_RELU_SLOPE)


@jit
def _elu(z):
    zero = filled(z, 0.0)
    return choose(less(zero, z), z, _expm1(choose(less(zero, z), zero, z)) * ELU_ALPHA)


@jit
def _elu_derivative(a, g):
    return choose(less(filled(a, 0.0), a), g, g * (a + ELU_ALPHA))


@jit
def _softplus(z):
    return _relu(z) + _log1p(exp(absolute(z) * -1.0))


@jit
def _softplus_derivative(a, g):
    return g * _expm1(a * -1.0) * -1.0


@jit
def _silu(z):
    return z * sigmoid(z)


@jit
def _silu_derivative(z, g):
    s = sigmoid(z)
    return g * (s * (z * (1.0 - s) + 1.0))


_ELEMENTWISE = {
    "step": (_step, _times_output),  # it has no derivative, and nobody asks for it
    "sigmoid": (sigmoid, _sigmoid_derivative),
    "tanh": (_tanh, _tanh_derivative),
    "relu": (_relu, _relu_derivative),
    "leaky_relu": (_leaky_relu, _leaky_relu_derivative),
    "elu": (_elu, _elu_derivative),
    "softplus": (_softplus, _softplus_derivative),
    "silu": (_silu, _silu_derivative),
    "exp": (exp, _times_output),
}


def _activate(z: Pointer, a: Pointer, ld: int, m: int, n: int):
    """Write f(z) to a, which may be z."""
    for j in range(m):
        for r in range(j * ld, j * ld + n, lanes(z)):
            store(a, r, f(load(z, r)))  # noqa: F821


def _derive(kept: Pointer, g: Pointer, ld: int, m: int, n: int):
    """Replace g = dL/da by dL/dz."""
    for j in range(m):
        for r in range(j * ld, j * ld + n, lanes(g)):
            store(g, r, f(load(kept, r), load(g, r)))  # noqa: F821


# ---------------------------------------------------------------------------- whole kernels


def _identity(z: Pointer, a: Pointer, ld: int, m: int, n: int):
    """Leave z where it is: the layout has a at the same place."""


def _identity_derivative(kept: Pointer, g: Pointer, ld: int, m: int, n: int):
    """Leave g as it is."""


def _gelu(z: Pointer, a: Pointer, ld: int, m: int, n: int):
    for j in range(m):
        for r in range(j * ld, j * ld + n):
            v = np.float64(z[r])
            a[r] = v * 0.5 * math.erfc(v * -math.sqrt(0.5))


def _gelu_derivative(kept: Pointer, g: Pointer, ld: int, m: int, n: int):
    for j in range(m):
        for r in range(j * ld, j * ld + n):
            v = np.float64(kept[r])
            density = math.exp(-0.5 * v * v) / math.sqrt(2.0 * math.pi)
            g[r] *= 0.5 * math.erfc(v * -math.sqrt(0.5)) + v * density


@jit
def largest_of(z, r, ld, m):
    """Return the largest of m units, for as many rows as fill a vector."""
    largest = load(z, r)
    for j in range(1, m):
        v = load(z, j * ld + r)
        largest = choose(less(largest, v), v, largest)
    return largest


def _softmax(z: Pointer, a: Pointer, ld: int, m: int, n: int):
    for r in range(0, n, lanes(z)):
        largest, total = largest_of(z, r, ld, m), filled(z, 0.0)
        for j in range(m):
            e = exp(load(z, j * ld + r) - largest)
            store(a, j * ld + r, e)
            total = total + e
        for j in range(m):
            store(a, j * ld + r, load(a, j * ld + r) / total)


def _softmax_derivative(kept: Pointer, g: Pointer, ld: int, m: int, n: int):
    for r in range(0, n, lanes(g)):
        inner = filled(g, 0.0)
        for j in range(m):
            inner = inner + load(g, j * ld + r) * load(kept, j * ld + r)
        for j in range(m):
            to = j * ld + r
            store(g, to, load(kept, to) * (load(g, to) - inner))


#: The kernels of an activation and of its derivative.
ACTIVATION_KERNELS = {
    name: (fill_in(_activate, f"_{name}", f=f), fill_in(_derive, f"_{name}_derivative", f=slope))
    for name, (f, slope) in _ELEMENTWISE.items()
}
ACTIVATION_KERNELS["identity"] = Kernel(_identity), Kernel(_identity_derivative)
ACTIVATION_KERNELS["gelu"] = Kernel(_gelu), Kernel(_gelu_derivative)
ACTIVATION_KERNELS["softmax"] = Kernel(_softmax), Kernel(_softmax_derivative)
