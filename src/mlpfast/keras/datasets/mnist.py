"""MNIST as Keras returns it: images of 28 x 28 bytes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TypeAlias

import numpy as np

from mlpfast import datasets
from mlpfast.backends.base import Array

Part: TypeAlias = tuple[Array, Array]


def load_data(path: str | os.PathLike[str] | None = None) -> tuple[Part, Part]:
    """Return 60,000 images of digits to learn from and 10,000 to be judged by.

    Parameters
    ----------
    path : path, optional
        As for `mlpfast.datasets.load_mnist`. What is no folder, such as the name of a
        file in Keras' cache, is not looked at.

    Returns
    -------
    (x_train, y_train), (x_test, y_test)
        x uint8 (n, 28, 28), y uint8 (n,).
    """
    folder = path if path is not None and Path(path).is_dir() else None
    parts = datasets.load_mnist(folder)
    (x, y), (x_test, y_test) = ((x.reshape(-1, 28, 28), y.astype(np.uint8)) for x, y in parts)
    return (x, y), (x_test, y_test)
