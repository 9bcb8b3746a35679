"""Tables of features and targets, and whether targets are classes or numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mlpfast.backends.base import Array
from mlpfast.spec import check_choice

TASKS = ("auto", "classification", "regression")

#: With "auto", whole numbers are classes up to this many distinct ones.
MAX_CLASSES = 100


@dataclass(frozen=True)
class Table:
    """Rows of features with their targets.

    Attributes
    ----------
    X : (n, n_features) float64, float32 or uint8
    y : (n,) int64, (n, n_targets) float64, or None
        Class numbers if `class_names` is set, else numbers to be met; None if there are none.
    class_names : tuple of str, or None
        What the class numbers stand for.
    feature_names, target_names : tuple of str
        Empty if the file names nothing.
    test : (X, y) or None
        Rows that the file itself sets apart for testing.
    """

    X: Array
    y: Array | None
    class_names: tuple[str, ...] | None = None
    feature_names: tuple[str, ...] = ()
    target_names: tuple[str, ...] = ()
    test: tuple[Array, Array] | None = None

    def __len__(self) -> int:
        return len(self.X)


def number_name(value: float) -> str:
    """Return a class's name for a number: "3" for 3.0."""
    return str(int(value)) if float(value).is_integer() else repr(float(value))


def classes_or_numbers(
    targets: Array, task: str = "auto", *, where: str = "target"
) -> tuple[Array, tuple[str, ...] | None]:
    """Decide whether targets are classes or numbers.

    Parameters
    ----------
    targets : (n,) or (n, k) array of numbers, bools or strings
    task : {"auto", "classification", "regression"}
        "auto" takes strings, bools and one-hot rows for classes, and whole numbers too if there
        are at most `MAX_CLASSES` distinct ones that occur twice or more on average.
    where : str
        What to call the targets in an error.

    Returns
    -------
    y : (n,) int64 class numbers or (n, k) float64
    class_names : tuple of str, or None
        Sorted by value if all are numbers, else by spelling. None for numbers.
    """
    check_choice("task", task, TASKS)
    if targets.ndim == 2 and targets.shape[1] == 1:
        targets = targets[:, 0]
    if targets.ndim not in (1, 2):
        raise ValueError(f"{where} must have shape (n,) or (n, k), got {targets.shape}")
    if targets.dtype.kind not in "biufUS":
        raise ValueError(f"{where} must hold numbers or strings, got dtype {targets.dtype}")
    if targets.dtype.kind == "S":
        targets = np.char.decode(targets, "utf-8")
    if targets.dtype.kind == "U":
        try:
            targets = targets.astype(np.float64)
        except ValueError:
            if task == "regression" or targets.ndim == 2:
                raise ValueError(f"{where} must hold numbers for a regression") from None
            names, codes = np.unique(targets, return_inverse=True)
            return codes.astype(np.int64), tuple(names.tolist())
    if not np.isfinite(targets).all():
        row = int(np.argwhere(~np.isfinite(targets))[0][0])
        raise ValueError(f"{where} must be finite, got {targets[row]} in row {row}")

    if targets.ndim == 2:
        one_hot = ((targets == 0) | (targets == 1)).all() and (targets.sum(axis=1) == 1).all()
        if task == "classification" and not one_hot:
            raise ValueError(f"{where} with several columns must be one-hot to be classes")
        if one_hot and task != "regression":
            return targets.argmax(axis=1), tuple(map(str, range(targets.shape[1])))
        return targets.astype(np.float64), None
    values, codes = np.unique(targets, return_inverse=True)
    few_values = len(values) <= min(MAX_CLASSES, len(targets) // 2)
    whole = targets.dtype.kind == "b" or bool((values == np.floor(values)).all())
    if task == "classification" or (task == "auto" and whole and few_values):
        return codes.astype(np.int64), tuple(number_name(v) for v in values.tolist())
    return targets.astype(np.float64)[:, None], None
