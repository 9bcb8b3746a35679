"""The optimizers that Numba compiles: what each does to a weight.

To add one: write ``f(w, g, m, v, s)`` on vectors, which returns the new weights and moments, and
say in `rule_of` whose it is. s are the numbers of the step, see `passes.step_sizes`.
"""

# Numba types compiled code itself.
# mypy: ignore-errors
from __future__ import annotations

from typing import Any

import numpy as np

from mlpfast.backends.numba.jit import Doubles, Kernel, Pointer, fill_in, jit
from mlpfast.backends.numba.vectors import lanes, load, root, store

# Where in s. The rate, epsilon, the factor of the weights and that of a velocity's gradient are
# made anew in each step; the others come from the optimizer.
RATE, EPSILON, SHRINK, GAIN, MOMENTUM, BETA_1, REST_1, BETA_2, REST_2, IN_ROOT = range(10)
# What the former are made of comes behind: see `passes.step_sizes`.
PLAIN_EPSILON, DECAY, HAT, SCALED, CORRECTED = range(10, 15)
#: Of s: whole cache lines.
BYTES = 128


@jit
def _sgd(w, g, m, v, s):
    return w - g * s[RATE], m, v


@jit
def _velocity(w, g, m, v, s):
    m = m * s[MOMENTUM] + g * s[GAIN]
    return w - m * s[RATE], m, v


@jit
def _nesterov(w, g, m, v, s):
    g = g * s[GAIN]
    m = m * s[MOMENTUM] + g
    return w - (m * s[MOMENTUM] + g) * s[RATE], m, v


@jit
def _adam(w, g, m, v, s):
    m = m * s[BETA_1] + g * s[REST_1]
    v = v * s[BETA_2] + g * g * s[REST_2]
    return w * s[SHRINK] - m / (root(v) + s[EPSILON]) * s[RATE], m, v


@jit
def _rmsprop(w, g, m, v, s):
    v = v * s[BETA_2] + g * g * s[REST_2]
    m = m * s[MOMENTUM] + g / (root(v + s[IN_ROOT]) + s[EPSILON]) * s[GAIN]
    return w - m * s[RATE], m, v


@jit
def _rmsprop_plain(w, g, m, v, s):
    v = v * s[BETA_2] + g * g * s[REST_2]
    return w - g / (root(v + s[IN_ROOT]) + s[EPSILON]) * s[RATE], m, v


def _update(
    w: Pointer, g: Pointer, m: Pointer, v: Pointer, count: int, l2: float, s: Doubles
) -> None:
    """Move `count` weights, in whole vectors, by the gradient g plus l2 * w."""
    for i in range(0, count, lanes(w)):
        wi, mi, vi = f(  # noqa: F821
            load(w, i), load(g, i) + load(w, i) * l2, load(m, i), load(v, i), s
        )
        store(w, i, wi)
        if moments > 0:  # noqa: F821
            store(m, i, mi)
        if moments > 1:  # noqa: F821
            store(v, i, vi)


def _kernel(f: Any, moments: int) -> Kernel:
    return fill_in(_update, f"_update{f.__name__}", f=f, moments=moments)


_KERNELS = {
    "sgd": (_kernel(_sgd, 0), 0),
    "velocity": (_kernel(_velocity, 1), 1),
    "nesterov": (_kernel(_nesterov, 1), 1),
    "adam": (_kernel(_adam, 2), 2),
    "adamw": (_kernel(_adam, 2), 2),
    "rmsprop": (_kernel(_rmsprop, 2), 2),
    "rmsprop_plain": (_kernel(_rmsprop_plain, 2), 2),
}


def rule_of(optimizer: Any) -> tuple[Kernel, int, np.ndarray]:
    """Return an optimizer's kernel, the number of moments that it keeps, and the numbers s."""
    o, name = optimizer, optimizer.name
    s = np.zeros(BYTES // 8)
    s[MOMENTUM] = momentum = getattr(o, "momentum", 0.0)
    s[BETA_1] = getattr(o, "beta_1", 0.0)
    s[BETA_2] = getattr(o, "beta_2", getattr(o, "rho", 0.0))
    s[REST_1], s[REST_2] = 1.0 - s[BETA_1], 1.0 - s[BETA_2]
    in_root = getattr(o, "epsilon_in_root", False)
    s[IN_ROOT if in_root else PLAIN_EPSILON] = getattr(o, "epsilon", 0.0)
    s[DECAY], s[HAT] = getattr(o, "weight_decay", 0.0), getattr(o, "epsilon_hat", False)
    # Without momentum there is no velocity.
    s[SCALED] = getattr(o, "scaled_velocity", False) and momentum != 0
    s[CORRECTED] = name in ("adam", "adamw")
    if name == "sgd" and momentum:
        name = "nesterov" if o.nesterov else "velocity"
    if name == "rmsprop" and not momentum:
        name = "rmsprop_plain"
    return *_KERNELS[name], s
