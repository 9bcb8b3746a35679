"""The activations that Numba compiles, each with its derivative.

To add one, enter it in `_ELEMENTWISE`: f(z), and dL/dz from what is kept and g = dL/da. What is
kept, the output or z, is said by the record in ``mlpfast.spec``. Numbers come in the net's dtype;
a constant of Python's makes the arithmetic double, which costs some speed. A net with an activation
that is not here runs on the NumPy backend.

Blocks are unit-major: n rows of m units are (m, n) with `ld` numbers from one unit to the next.
"""

# Numba types compiled code itself; templates have names that are filled in; min and max would not
# say what becomes of NaN.
# mypy: ignore-errors
# ruff: noqa: ARG005, F821, FURB136
from __future__ import annotations

import math

import numpy as np
from numba import types
from numba.extending import overload

from mlpfast.backends.numba.jit import OPTIONS, fill_in, inlined, kernel
from mlpfast.backends.numba.vectors import power_of_two
from mlpfast.spec import ELU_ALPHA, LEAKY_RELU_SLOPE

# ---------------------------------------------------------------------------- exponentials
# Free of branches, so that loops vectorize; off by at most 4 units in the last place.


def _exp_parts_of(real, magic, high, low, limit, terms):
    """Return exp's parts in one dtype: the bits of ln 2 and so on, see below."""
    magic, high, low, limit = real(magic), real(high), real(low), real(limit)
    log2_e, half = real(1.4426950408889634), real(0.5)
    c = tuple(real(1.0 / math.factorial(i)) for i in range(14))

    def first_terms_32(r):
        return r * c[7] + c[6]

    def first_terms_64(r):
        p = ((r * c[13] + c[12]) * r + c[11]) * r + c[10]
        return (((p * r + c[9]) * r + c[8]) * r + c[7]) * r + c[6]

    first_terms = inlined(first_terms_32 if terms == 8 else first_terms_64)

    def parts(x):
        x = -limit if x < -limit else x  # this way round, NaN passes
        x = limit if x > limit else x
        n = (x * log2_e + magic) - magic  # adding magic rounds to a whole number
        s = (n * half + magic) - magic
        r = (x - n * high) - n * low
        p = first_terms(r)
        p = (((p * r + c[5]) * r + c[4]) * r + c[3]) * r + c[2]
        return p * r * r + r, power_of_two(s), power_of_two(n - s)

    return parts


# The first bits of ln 2, few enough that n * high is exact, and the rest.
_SINGLE = _exp_parts_of(np.float32, 1.5 * 2.0**23, 0.693359375, -2.12194440e-4, 150.0, 8)
_DOUBLE = _exp_parts_of(
    float, 1.5 * 2.0**52, 6.93147180369123816490e-01, 1.90821492927058770002e-10, 1000.0, 14
)


def _exp_parts(x):
    """Return p, s, t with exp(x) = (p + 1) * s * t; s and t are powers of two, abs(p) < 0.42."""
    # Taylor's series of expm1 for abs(r) <= ln(2) / 2: what is left out is below rounding. s and t
    # are two, as 2**n itself may over- or underflow; at the limits the result is 0 and infinity.


@overload(_exp_parts, jit_options=OPTIONS)
def _(x):
    return _SINGLE if x == types.float32 else _DOUBLE


@inlined
def _exp(x):
    p, s, t = _exp_parts(x)
    return (s * p + s) * t


@inlined
def _expm1(x):
    """exp(x) - 1 for x <= 0, without cancellation."""
    p, s, t = _exp_parts(x)
    return (s * t) * p + ((s * t) - np.float32(1))


@inlined
def _sigmoid(z):
    e = _exp(-abs(z))  # never overflows
    return (e if z < 0 else np.float32(1)) / (np.float32(1) + e)


@inlined
def _tanh(z):
    t = _expm1(np.float32(-2) * abs(z))
    t = t / (t + np.float32(2))
    return t if z < 0 else -t


@inlined
def _silu_derivative(z, g):
    s = _sigmoid(z)
    return g * (s + z * (s - s * s))


# Comparisons are such that NaN stays NaN.
_ELEMENTWISE = {
    "identity": (lambda z: z, lambda a, g: g),
    "step": (lambda z: 1.0 if z > 0 else 0.0, lambda a, g: g),
    "sigmoid": (_sigmoid, lambda a, g: g * (a - a * a)),
    "tanh": (_tanh, lambda a, g: g - g * (a * a)),
    "relu": (lambda z: 0.0 if z < 0 else z, lambda a, g: g if a > 0 else 0.0),
    "leaky_relu": (
        lambda z: z if z > 0 else z * LEAKY_RELU_SLOPE,
        lambda a, g: g if a > 0 else g * LEAKY_RELU_SLOPE,
    ),
    "elu": (
        lambda z: z if z > 0 else ELU_ALPHA * _expm1(-abs(z)),
        lambda a, g: g if a > 0 else g * (a + ELU_ALPHA),
    ),
    "softplus": (
        lambda z: (0.0 if z < 0 else z) + math.log1p(_exp(-abs(z))),
        lambda a, g: -g * _expm1(-a),
    ),
    "silu": (lambda z: z * _sigmoid(z), _silu_derivative),
    "gelu": (
        lambda z: z * (0.5 * math.erfc(z * -math.sqrt(0.5))),
        lambda z, g: (
            g * (0.5 * math.erfc(z * -math.sqrt(0.5)) + z * math.exp(-0.5 * z * z) * _DENSITY_AT_0)
        ),
    ),
    "exp": (_exp, lambda a, g: g * a),
}
_DENSITY_AT_0 = 1.0 / math.sqrt(2.0 * math.pi)


@kernel(Pointer="a")
def _activate(a, ld, m, n):
    """Replace z by f(z)."""
    for j in range(m):
        for r in range(j * ld, j * ld + n):
            a[r] = f(a[r])


@kernel(Pointer="kept g")
def _derive(kept, g, ld, m, n):
    """Replace g = dL/da by dL/dz."""
    for j in range(m):
        for r in range(j * ld, j * ld + n):
            g[r] = f(kept[r], g[r])


@kernel(Pointer="a")
def _softmax(a, ld, m, n):
    for r in range(n):
        largest, total = a[r], a[r] - a[r]
        for j in range(m):
            largest = a[j * ld + r] if a[j * ld + r] > largest else largest
        for j in range(m):
            a[j * ld + r] = _exp(a[j * ld + r] - largest)
            total += a[j * ld + r]
        for j in range(m):
            a[j * ld + r] /= total


@kernel(Pointer="kept g")
def _softmax_derivative(kept, g, ld, m, n):
    for r in range(n):
        inner = g[r] - g[r]
        for j in range(m):
            inner += g[j * ld + r] * kept[j * ld + r]
        for j in range(m):
            g[j * ld + r] = kept[j * ld + r] * (g[j * ld + r] - inner)


#: The kernels of an activation and of its derivative.
ACTIVATION_KERNELS = {
    name: (
        fill_in(_activate, f"{name}_activate", f=f),
        fill_in(_derive, f"{name}_derive", f=derivative),
    )
    for name, (f, derivative) in _ELEMENTWISE.items()
}
ACTIVATION_KERNELS["softmax"] = _softmax, _softmax_derivative
