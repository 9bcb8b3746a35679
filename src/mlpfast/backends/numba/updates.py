"""The optimizers that Numba compiles: what each does to a weight.

To add one, enter it in `_RULES`: a function of a weight, its gradient, the two moments and the
numbers s of the step that returns the new weight and moments, and how many moments it keeps; and
say in `rule_of` whose it is.
"""

# Numba types compiled code itself; a template has names that are filled in.
# mypy: ignore-errors
# ruff: noqa: F821
from __future__ import annotations

import math
from typing import Any

import numpy as np

from mlpfast.backends.numba.jit import Kernel, fill_in, kernel
from mlpfast.backends.numba.vectors import real

# Where in s. The first four are made anew in each step, see `passes.step_sizes`: the rate, epsilon,
# the factor of the weights and that of the gradient in a velocity; from what comes last.
RATE, EPSILON, SHRINK, GAIN, MOMENTUM, BETA_1, REST_1, BETA_2, REST_2, IN_ROOT = range(10)
PLAIN_EPSILON, DECAY, HAT, SCALED, CORRECTED = range(10, 15)
#: Of s: whole cache lines.
BYTES = 128


def _velocity(w, g, m, v, s):
    m = m * s[MOMENTUM] + g * s[GAIN]
    return w - m * s[RATE], m, v


def _nesterov(w, g, m, v, s):
    g = g * s[GAIN]
    m = m * s[MOMENTUM] + g
    return w - (m * s[MOMENTUM] + g) * s[RATE], m, v


def _adam(w, g, m, v, s):
    m = m * s[BETA_1] + g * s[REST_1]
    v = v * s[BETA_2] + g * g * s[REST_2]
    return w * s[SHRINK] - m / (math.sqrt(v) + s[EPSILON]) * s[RATE], m, v


def _rmsprop(w, g, m, v, s):
    v = v * s[BETA_2] + g * g * s[REST_2]
    m = m * s[MOMENTUM] + g / (math.sqrt(v + s[IN_ROOT]) + s[EPSILON]) * s[GAIN]
    return w - m * s[RATE], m, v


def _rmsprop_without_momentum(w, g, m, v, s):
    v = v * s[BETA_2] + g * g * s[REST_2]
    return w - g / (math.sqrt(v + s[IN_ROOT]) + s[EPSILON]) * s[RATE], m, v


_RULES = {
    "sgd": (lambda w, g, m, v, s: (w - g * s[RATE], m, v), 0),
    "velocity": (_velocity, 1),
    "nesterov": (_nesterov, 1),
    "adam": (_adam, 2),
    "adamw": (_adam, 2),
    "rmsprop": (_rmsprop, 2),
    "rmsprop_without_momentum": (_rmsprop_without_momentum, 2),
}


@kernel(Pointer="w g m v", float="l2", Doubles="s")
def _update(w, g, m, v, count, l2, s):
    """Move weights by the gradient g plus l2 * w."""
    l2 = real(w, l2)
    c = (
        *(real(w, s[0]), real(w, s[1]), real(w, s[2]), real(w, s[3]), real(w, s[4])),
        *(real(w, s[5]), real(w, s[6]), real(w, s[7]), real(w, s[8]), real(w, s[9])),
    )
    for i in range(count):
        wi, mi, vi = f(w[i], g[i] + w[i] * l2, m[i], v[i], c)
        w[i] = wi
        if moments > 0:
            m[i] = mi
        if moments > 1:
            v[i] = vi


_KERNELS = {
    name: fill_in(_update, f"update_{name}", f=f, moments=moments)
    for name, (f, moments) in _RULES.items()
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
    s[SCALED], s[CORRECTED] = getattr(o, "scaled_velocity", False), name in ("adam", "adamw")
    if name == "sgd" and momentum:
        name = "nesterov" if o.nesterov else "velocity"
    if not momentum:  # there is no velocity
        s[SCALED] = False
        name = "rmsprop_without_momentum" if name == "rmsprop" else name
    return _KERNELS[name], _RULES[name][1], s
