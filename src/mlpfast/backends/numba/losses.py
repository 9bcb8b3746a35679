"""The losses that Numba compiles, each with its gradient, and the figures of a pass over data.

To add one, enter it in `_PER_OUTPUT`: a function of an output a, its z and target t and the loss's
parameter c, all double, that returns the loss and its gradient with respect to the output, or to z
for one that is computed from the logits. A net with a loss that is not here is trained by the NumPy
backend.
"""

# Numba types compiled code itself; templates have names that are filled in; min and max would not
# say what becomes of NaN.
# mypy: ignore-errors
# ruff: noqa: ARG001, ARG005, F821, FURB136
from __future__ import annotations

import math

import numpy as np

from mlpfast.backends.numba.jit import fill_in, kernel
from mlpfast.backends.numba.vectors import real
from mlpfast.spec import POISSON_EPSILON


def _huber(a, z, t, c):
    e = a - t
    inside = min(max(e, -c), c)
    return inside * (e - 0.5 * inside), inside


def _quantile(a, z, t, c):
    e = a - t
    slope = 1.0 - c if e > 0.0 else -c if e < 0.0 else e
    return slope * e, slope


def _binary_crossentropy(a, z, t, c):
    return (0.0 if z < 0.0 else z) - z * t + math.log1p(math.exp(-abs(z))), a - t


def _binary_log_loss(a, z, t, c):
    # From the rounded p as in scikit-learn, though 1 - p has few digits where p is close to 1.
    p = c if a < c else 1.0 - c if a > 1.0 - c else a
    value = 0.0 if t <= 0.0 else -t * math.log(p)
    return value if t >= 1.0 else value - (1.0 - t) * math.log(1.0 - p), a - t


def _poisson(a, z, t, c):
    safe = a + POISSON_EPSILON
    return a - t * math.log(safe), 1.0 - t / safe


def _poisson_deviance(a, z, t, c):
    ratio = t / a
    return (ratio if t == 0.0 else t * math.log(ratio)) - t + a, a - t


# (name, whether from the logits): the function, and whether the loss is a mean over the outputs.
# Where a loss has no parameter, c is the least number of the dtype with 1 + c > 1.
_PER_OUTPUT = {
    ("mse", False): (lambda a, z, t, c: ((a - t) * (a - t), 2.0 * (a - t)), True),
    ("squared_error", False): (lambda a, z, t, c: (0.5 * (a - t) * (a - t), a - t), False),
    ("mae", False): (lambda a, z, t, c: (abs(a - t), np.sign(a - t)), True),
    ("huber", False): (_huber, True),
    ("quantile", False): (_quantile, True),
    ("poisson", False): (_poisson, True),
    ("poisson", True): (lambda a, z, t, c: (a - t * z, a - t), True),
    ("binary_crossentropy", True): (_binary_crossentropy, True),
    ("binary_log_loss", True): (_binary_log_loss, False),
    ("poisson_deviance", True): (_poisson_deviance, False),
}

# The same for a whole row of a softmax: -log p as it is, or as if p were clipped to within c.
_PER_ROW = {
    ("categorical_crossentropy", True): lambda miss, c: miss,
    ("log_loss", True): lambda miss, c: (
        c if miss < c else -math.log(c) if miss > -math.log(c) else miss
    ),
}


@kernel(Pointer="a z t delta weight", Doubles="total", float="scale c")
def _loss(a, z, t, delta, ld, m, rows, weight, scale, c, total):
    """Write the loss of each row to total (rows,), its weighted and scaled gradient to delta."""
    share = 1.0 / m if mean else 1.0
    for r in range(rows):
        total[r] = 0.0
    for j in range(m):
        for r in range(rows):
            at = j * ld + r
            value, slope = f(np.float64(a[at]), np.float64(z[at]), np.float64(t[at]), c)
            total[r] += value * share
            delta[at] = slope * share * (weight[r] * scale)


@kernel(Pointer="a z t delta weight", Doubles="total", float="scale c")
def _softmax_loss(a, z, t, delta, ld, m, rows, weight, scale, c, total):
    """-sum t log p from the logits of a softmax; as `_loss`."""
    for r in range(rows):
        largest, partition, targets, total[r] = np.float64(z[r]), 0.0, 0.0, 0.0
        for j in range(m):
            largest = max(largest, z[j * ld + r])
        for j in range(m):
            partition += math.exp(z[j * ld + r] - largest)
            targets += t[j * ld + r]
        partition = math.log(partition)
        for at in range(r, m * ld + r, ld):
            total[r] += t[at] * f(partition - (z[at] - largest), c)
            delta[at] = (a[at] * targets - t[at]) * (weight[r] * scale)


#: The kernel of a loss, by its name and whether it is computed from the logits.
LOSS_KERNELS = {
    **{
        key: fill_in(_loss, f"{key[0]}_{key[1]}", f=f, mean=mean)
        for key, (f, mean) in _PER_OUTPUT.items()
    },
    **{key: fill_in(_softmax_loss, key[0], f=f) for key, f in _PER_ROW.items()},
}

#: Numbers that `figures` has for a group of rows: `TOTALS` but for the penalty.
FIGURES = 5


@kernel(Pointer="a t weight", Doubles="total sums")
def figures(a, t, ld, m, rows, lanes, weight, total, counts_rows, wanted, sums):
    """Write the sums over every `lanes` rows; only loss and weight unless all are wanted."""
    for first in range(0, rows, lanes):
        to = first // lanes * FIGURES
        for q in range(FIGURES):
            sums[to + q] = 0.0
        for r in range(first, min(first + lanes, rows)):
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
