"""MNIST as Keras returns it: images of 28 x 28 bytes."""

from __future__ import annotations

import os

from mlpfast import datasets
from mlpfast.keras.datasets import _images

__all__ = [
    "load_data",
]


def load_data(path: str | os.PathLike[str] | None = None) -> tuple[_images.Part, _images.Part]:
    """Return 60,000 images of digits to train on and 10,000 to test on.

    Parameters
    ----------
    path : path, optional
        A folder with the four IDX files, or an .npz file as Keras has it. By default the folder
        that MLPFAST_DATA names, then Keras' own cache, then what
        `mlpfast.datasets.load_mnist` fetches.

    Returns
    -------
    (x_train, y_train), (x_test, y_test)
        x uint8 (n, 28, 28), y uint8 (n,).
    """
    return _images.load(path, datasets.load_mnist, "mnist.npz")
