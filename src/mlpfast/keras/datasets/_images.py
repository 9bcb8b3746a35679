"""Where images in the form of MNIST are found: local files first, then the network."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from mlpfast.backends.base import Array
from mlpfast.files import read_npz

Part: TypeAlias = tuple[Array, Array]


def load(
    path: str | os.PathLike[str] | None,
    read_folder: Callable[[Any], tuple[Part, Part]],
    cached: str,
) -> tuple[Part, Part]:
    """Return images (n, 28, 28) and labels (n,), both uint8, of a training and of a test part.

    Parameters
    ----------
    path : path, optional
        A folder with IDX files or an .npz file as Keras has it; else the name of one in its cache.
    read_folder : callable
        Reads the folder, or for None whatever it knows of.
    cached : str
        What Keras' cache calls the folder or the file.
    """
    given = None if path is None else Path(path)
    if given is not None and given.exists():
        place: Path | None = given
    elif os.environ.get("MLPFAST_DATA"):
        place = None
    else:
        place = _in_cache(cached if given is None else given.name) or _in_cache(cached)
    if place is not None and place.is_file():
        return _read_npz(place)
    (x, y), (x_test, y_test) = (
        (x.reshape(-1, 28, 28), y.astype(np.uint8)) for x, y in read_folder(place)
    )
    return (x, y), (x_test, y_test)


def _in_cache(name: str) -> Path | None:
    home = os.environ.get("KERAS_HOME")
    path = (Path(home) if home else Path.home() / ".keras") / "datasets" / name
    return path if path.exists() else None


def _read_npz(path: Path) -> tuple[Part, Part]:
    arrays = read_npz(path)

    def part(name: str, ndim: int) -> Array:
        array = arrays.get(name)
        if array is None or array.ndim != ndim or array.dtype != np.uint8:
            raise ValueError(
                f"{path}: must hold x_train, y_train, x_test and y_test, images (n, 28, 28) and "
                f"labels (n,) of bytes; {name} is not so"
            )
        return array

    return (part("x_train", 3), part("y_train", 1)), (part("x_test", 3), part("y_test", 1))
