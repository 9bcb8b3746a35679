"""The losses that Numba compiles, each with its gradient, and the figures of a pass over data.

To add one: write a function of one output a, its z, its target t and the parameter of the loss, all
in double, that returns the loss and its gradient with respect to the output (to z for one that is
computed from the logits), and enter it in `_PER_OUTPUT` with whether it is a mean over outputs. A
net with a loss that is not here is trained by the NumPy backend.
"""

# Numba types compiled code itself; min and max would not say what becomes of NaN.
# mypy: ignore-errors
# ruff: noqa: ARG001, FURB136
from __future__ import annotations

import math

import numpy as np

from mlpfast.backends.numba.activations import exp, largest_of
from mlpfast.backends.numba.jit import Doubles, Kernel, Pointer, fill_in, jit
from mlpfast.backends.numba.vectors import filled, is_single, lanes, load, real, store
from mlpfast.spec import POISSON_EPSILON

# ---------------------------------------------------------------------------- per output


@jit
def _mse(a, z, t, c, resolution):
    e = a - t
    return e * e, 2.0 * e


@jit
def _squared_error(a, z, t, c, resolution):
    e = a - t
    return 0.5 * e * e, e


@jit
def _mae(a, z, t, c, resolution):
    e = a - t
    return abs(e), np.sign(e)


@jit
def _huber(a, z, t, c, resolution):
    e = a - t
    inside = min(max(e, -c), c)
    return inside * (e - 0.5 * inside), inside


@jit
def _quantile(a, z, t, c, resolution):
    e = a - t
    slope = 1.0 - c if e > 0.0 else -c if e < 0.0 else e
    return slope * e, slope


@jit
def _poisson(a, z, t, c, resolution):
    safe = a + POISSON_EPSILON
    return a - t * math.log(safe), 1.0 - t / safe


@jit
def _binary_crossentropy(a, z, t, c, resolution):
    return (0.0 if z < 0.0 else z) - z * t + math.log1p(math.exp(-abs(z))), a - t


@jit
def _poisson_of_logits(a, z, t, c, resolution):
    return a - t * z, a - t


@jit
def _binary_log_loss(a, z, t, c, resolution):
    # From the rounded p as in scikit-learn, though 1 - p has few digits where p is close to 1.
    p = a if resolution > 1e-10 else 1.0 / (1.0 + math.exp(-z))
    p = resolution if p < resolution else 1.0 - resolution if p > 1.0 - resolution else p
    value = 0.0 if t <= 0.0 else -t * math.log(p)
    return value if t >= 1.0 else value - (1.0 - t) * math.log(1.0 - p), a - t


@jit
def _poisson_deviance(a, z, t, c, resolution):
    ratio = t / a
    return (ratio if t == 0.0 else t * math.log(ratio)) - t + a, a - t


#: (name, whether from the logits): the function, and whether the loss is a mean over the outputs.
_PER_OUTPUT = {
    ("mse", False): (_mse, True),
    ("squared_error", False): (_squared_error, False),
    ("mae", False): (_mae, True),
    ("huber", False): (_huber, True),
    ("quantile", False): (_quantile, True),
    ("poisson", False): (_poisson, True),
    ("poisson", True): (_poisson_of_logits, True),
    ("binary_crossentropy", True): (_binary_crossentropy, True),
    ("binary_log_loss", True): (_binary_log_loss, False),
    ("poisson_deviance", True): (_poisson_deviance, False),
}


@jit
def _resolution(like):
    """Return the least x of the dtype with 1 + x > 1."""
    return 1.1920928955078125e-07 if is_single(like) else 2.220446049250313e-16


def _loss(
    a: Pointer,
    z: Pointer,
    t: Pointer,
    delta: Pointer,
    ld: int,
    m: int,
    rows: int,
    weight: Pointer,
    scale: float,
    parameter: float,
    total: Doubles,
    spare: Pointer,
):
    """Write the loss of each row to total (rows,), its weighted and scaled gradient to delta.

    All but total and weight are unit-major blocks (m, rows) or, spare, (3, ld).
    """
    share = 1.0 / m if mean else 1.0  # noqa: F821
    resolution = _resolution(a)
    for r in range(rows):
        total[r] = 0.0
    for j in range(m):
        for r in range(rows):
            at = j * ld + r
            value, slope = f(  # noqa: F821
                np.float64(a[at]), np.float64(z[at]), np.float64(t[at]), parameter, resolution
            )
            total[r] += value * share
            delta[at] = slope * share * (weight[r] * scale)


# ---------------------------------------------------------------------------- of whole rows


@jit
def _plain(miss, resolution):
    return miss


@jit
def _clipped(miss, resolution):
    """-log p as if p were clipped to within the resolution of 0 and 1."""
    high = -math.log(resolution)
    return resolution if miss < resolution else high if miss > high else miss


def _softmax_loss(
    a: Pointer,
    z: Pointer,
    t: Pointer,
    delta: Pointer,
    ld: int,
    m: int,
    rows: int,
    weight: Pointer,
    scale: float,
    parameter: float,
    total: Doubles,
    spare: Pointer,
):
    """-sum t log p from the logits of a softmax; as `_loss`."""
    resolution = _resolution(a)
    for r in range(0, rows, lanes(a)):
        largest = largest_of(z, r, ld, m)
        partition, targets = filled(a, 0.0), filled(a, 0.0)
        for j in range(m):
            partition = partition + exp(load(z, j * ld + r) - largest)
            targets = targets + load(t, j * ld + r)
        store(spare, r, largest)
        store(spare, ld + r, partition)
        store(spare, 2 * ld + r, targets)
    for r in range(rows):
        total[r] = 0.0
        spare[ld + r] = math.log(spare[ld + r])
    for j in range(m):
        for r in range(rows):
            at = j * ld + r
            miss = f(spare[ld + r] - (z[at] - spare[r]), resolution)  # noqa: F821
            total[r] += np.float64(t[at]) * miss
            delta[at] = (a[at] * spare[2 * ld + r] - t[at]) * (weight[r] * scale)


#: The kernel of a loss, by its name and whether it is computed from the logits.
LOSS_KERNELS = {
    (name, logits): fill_in(_loss, f"_{name}_{logits}", f=f, mean=mean)
    for (name, logits), (f, mean) in _PER_OUTPUT.items()
}
LOSS_KERNELS["categorical_crossentropy", True] = fill_in(_softmax_loss, "_categorical", f=_plain)
LOSS_KERNELS["log_loss", True] = fill_in(_softmax_loss, "_log_loss", f=_clipped)


# ---------------------------------------------------------------------------- figures

#: Numbers that `figures` has for a group of rows: `TOTALS` but for the penalty.
FIGURES = 5


@Kernel
def figures(
    a: Pointer,
    t: Pointer,
    ld: int,
    m: int,
    rows: int,
    weight: Pointer,
    total: Doubles,
    counts_rows: int,
    wanted: int,
    sums: Doubles,
):
    """Write the sums over each vector of rows; only loss and weight unless all are wanted."""
    for first in range(0, rows, lanes(a)):
        to = first // lanes(a) * FIGURES
        for q in range(FIGURES):
            sums[to + q] = 0.0
        for r in range(first, min(first + lanes(a), rows)):
            w = np.float64(weight[r])
            sums[to] += w * real(a, total[r])  # beyond float32 a loss is infinite there
            w = 1.0 if counts_rows else w
            sums[to + 1] += w
            if wanted:
                squares, sizes, best, right = 0.0, 0.0, 0, 0
                for j in range(m):
                    e = np.float64(a[j * ld + r]) - t[j * ld + r]
                    squares += e * e
                    sizes += abs(e)
                    best = j if a[j * ld + r] > a[best * ld + r] else best
                    right = j if t[j * ld + r] > t[right * ld + r] else right
                same = (a[r] > 0.5) == (t[r] > 0.5) if m == 1 else best == right
                sums[to + 2] += w * same
                sums[to + 3] += w * squares / m
                sums[to + 4] += w * sizes / m
