"""NPZ files as tables, under the usual names of features and targets."""

from __future__ import annotations

import os

import numpy as np

from mlpfast.backends.base import Array
from mlpfast.datasets.tables import TASKS, Table, classes_or_numbers
from mlpfast.files import read_npz
from mlpfast.spec import check_choice

#: Names under which an NPZ file may keep features and targets, in order of precedence; a file may
#: also hold rows to test on, as x_test and y_test.
_NPZ_PAIRS = (
    ("x_train", "y_train"),
    ("X", "y"),
    ("X", "Y"),
    ("x", "y"),
    ("data", "target"),
    ("data", "labels"),
    ("features", "target"),
    ("features", "labels"),
)


def load_npz(
    path: str | os.PathLike[str], target: str | None = None, *, task: str = "auto"
) -> Table:
    """Read features and targets from an NPZ file.

    Parameters
    ----------
    path : path
        Holds X (n, ...) and y under one of the usual pairs of names: X and y or Y, x and y, data
        and target or labels, features and target or labels; or x_train and y_train, perhaps with
        x_test and y_test. Axes of X beyond the first are laid end to end.
    target : str, optional
        Name of the array of targets, if it has another.
    task : {"auto", "classification", "regression"}
        See `classes_or_numbers`.

    Returns
    -------
    Table
        X uint8, float32 or float64; y is None if the file has features alone.

    Raises
    ------
    ValueError
        If the file is damaged or holds no such arrays; names the file.
    """
    name = os.fspath(path)
    check_choice("task", task, TASKS)
    arrays = read_npz(path)
    pairs = [p for p in _NPZ_PAIRS if p[0] in arrays]
    full = [p for p in pairs if p[1] in arrays]
    if target is not None:
        if target not in arrays:
            raise ValueError(f"{name}: there is no array {target!r}; it holds {_list(arrays)}")
        full = [(p[0], target) for p in pairs if p[0] != target]
    if not pairs or (target is not None and not full):
        raise ValueError(f"{name}: there is no array X, x or data; it holds {_list(arrays)}")
    x_name, y_name = full[0] if full else (pairs[0][0], None)
    X = _features(f"{name}: {x_name}", arrays[x_name])
    if y_name is None:
        return Table(X, None)
    targets = arrays[y_name]
    _check_rows(name, x_name, X, y_name, targets)
    if not (x_name == "x_train" and "x_test" in arrays and "y_test" in arrays):
        y, class_names = classes_or_numbers(targets, task, where=f"{name}: {y_name}")
        return Table(X, y, class_names)
    X_test = _features(f"{name}: x_test", arrays["x_test"])
    y_test = arrays["y_test"]
    _check_rows(name, "x_test", X_test, "y_test", y_test)
    for a, b, what in ((X_test, X, "x"), (y_test, targets, "y")):
        if a.shape[1:] != b.shape[1:]:
            raise ValueError(
                f"{name}: {what}_test must have rows of shape {b.shape[1:]} as {what}_train, got "
                f"{a.shape[1:]}"
            )
    # Together, so that a class that only one of the two has is known to both.
    both = np.concatenate([targets, y_test])
    y, class_names = classes_or_numbers(both, task, where=f"{name}: {y_name}")
    return Table(X, y[: len(X)], class_names, test=(X_test, y[len(X) :]))


def _list(arrays: dict[str, Array]) -> str:
    return ", ".join(arrays) or "nothing"


def _features(name: str, X: Array) -> Array:
    if X.ndim < 2 or X.dtype.kind not in "biuf":
        raise ValueError(f"{name} must be numbers of shape (n, ...), got {X.shape} {X.dtype}")
    if X.dtype not in (np.uint8, np.float32, np.float64):
        X = X.astype(np.float64)
    if not np.isfinite(X).all():
        raise ValueError(f"{name} must be finite, got NaN or an infinity")
    return np.ascontiguousarray(X.reshape(len(X), int(np.prod(X.shape[1:]))))


def _check_rows(file: str, x_name: str, X: Array, y_name: str, y: Array) -> None:
    if y.ndim == 0 or len(X) != len(y):
        raise ValueError(
            f"{file}: {x_name} and {y_name} must have equally many rows, got {len(X)} and "
            f"{len(y) if y.ndim else 'none'}"
        )
