"""Small helpers of Keras: one-hot rows, the seed, names that begin anew."""

from __future__ import annotations

from typing import Any

import numpy as np

from mlpfast.backends.base import Array
from mlpfast.keras._names import clear_names
from mlpfast.keras._random import set_random_seed

__all__ = ["clear_session", "set_random_seed", "to_categorical"]


def to_categorical(x: Any, num_classes: int | None = None) -> Array:
    """Return a one-hot row for each class label.

    Parameters
    ----------
    x : array of int, or (n, 1)
    num_classes : int, optional
        By default one more than the largest label.

    Returns
    -------
    (..., num_classes) float64

    Raises
    ------
    ValueError
        If a label is negative or too large.
    """
    labels = np.asarray(x).astype(np.int64)
    if labels.ndim > 1 and labels.shape[-1] == 1:
        labels = labels[..., 0]
    if num_classes is None:
        num_classes = int(labels.max()) + 1
    if labels.size and not 0 <= labels.min() <= labels.max() < num_classes:
        raise ValueError(
            f"x must hold labels 0..{num_classes - 1}, got {labels.min()} to {labels.max()}"
        )
    return np.eye(num_classes)[labels]


def clear_session() -> None:
    """Let the names of layers and models begin anew: "dense", "dense_1"."""
    clear_names()
