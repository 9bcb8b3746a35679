"""The generator that initial weights, row orders and dropout are drawn from, one a process."""

from __future__ import annotations

import random
from typing import Any

import numpy as np

from mlpfast.spec import check_int

_generator = np.random.default_rng()


def generator(seed: Any = None) -> np.random.Generator:
    """Return the generator of all models, or one of its own for a seed."""
    return _generator if seed is None else np.random.default_rng(check_int("seed", seed, 0))


def set_random_seed(seed: int) -> None:
    """Seed Python's generator, NumPy's and that of `mlpfast.keras`, as Keras' function does."""
    global _generator
    check_int("seed", seed, 0)
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - the program may draw from it
    _generator = np.random.default_rng(seed)
