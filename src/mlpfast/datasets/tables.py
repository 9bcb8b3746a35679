"""Tables to learn from: CSV and NPZ files as features, and targets that are classes or numbers."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from mlpfast.backends.base import Array
from mlpfast.files.npz import read_npz
from mlpfast.spec import check_choice

TASKS = ("auto", "classification", "regression")

#: With "auto", whole numbers are classes up to this many distinct ones.
MAX_CLASSES = 100

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


@dataclass(frozen=True)
class Table:
    """Rows of features with what is to be learned from them.

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


# ---------------------------------------------------------------------------- CSV


def load_csv(
    path: str | os.PathLike[str],
    target: str | int | None = -1,
    *,
    task: str = "auto",
    features: Sequence[str | int] | None = None,
) -> Table:
    """Read a CSV file of numbers, one column of which may be the target.

    Parameters
    ----------
    path : path
        UTF-8 text; commas, semicolons or tabs, whichever the first line has most of. A first line
        in which no cell is a number names the columns. All columns but the target must be numbers.
    target : str, int or None, default -1
        The target's column by name or position (negative ones count from the end); None if the
        file has no target. A name that is not among the columns' is read as a position.
    task : {"auto", "classification", "regression"}
        See `classes_or_numbers`.
    features : list of str or int, optional
        The columns to use as features, in this order; the others may then hold anything.

    Returns
    -------
    Table
        X float64.

    Raises
    ------
    ValueError
        If the file is not such a table; names the file, and the line and column at fault.
    """
    check_choice("task", task, TASKS)
    with _open_csv(path) as file:
        return _read_csv(file, os.fspath(path), target, task, features)


def csv_columns(path: str | os.PathLike[str]) -> tuple[list[str], int]:
    """Return the column names of a CSV file ([] if it has none) and the number of columns."""
    with _open_csv(path) as file:
        _, header, width, _ = _read_head(file, os.fspath(path))
    return header, width


@contextmanager
def _open_csv(path: str | os.PathLike[str]) -> Iterator[TextIO]:
    name = os.fspath(path)
    try:
        with Path(path).open(newline="", encoding="utf-8-sig") as file:
            yield file
    except UnicodeDecodeError as error:
        raise ValueError(f"{name}: not UTF-8 text: {error}") from None
    except csv.Error as error:
        raise ValueError(f"{name}: not a CSV file: {error}") from None


def _read_head(file: TextIO, name: str) -> tuple[str, list[str], int, int]:
    """Return delimiter, column names, number of columns, and the lines before the data."""
    lines = 1
    first_line = file.readline()
    while first_line and not first_line.strip():
        first_line = file.readline()
        lines += 1
    if not first_line:
        raise ValueError(f"{name}: the file is empty")
    delimiter = max(",;\t", key=first_line.count)
    first = [cell.strip() for cell in next(csv.reader([first_line], delimiter=delimiter))]
    if any(_is_number(cell) for cell in first):
        return delimiter, [], len(first), 0
    return delimiter, first, len(first), lines


def _read_csv(
    file: TextIO,
    name: str,
    target: str | int | None,
    task: str,
    features: Sequence[str | int] | None,
) -> Table:
    delimiter, header, width, before = _read_head(file, name)
    column = None if target is None else _column(name, header, width, target)
    columns = [i for i in range(width) if i != column]
    if features is not None:
        columns = [_column(name, header, width, f) for f in features]
        if column in columns:
            raise ValueError(f"{name}: the target must not be among the features")
    if not columns:
        raise ValueError(f"{name}: there is no column besides the target")
    used = None  # all, which also makes the reader count every line's cells
    if features is not None:
        used = columns if column is None else [*columns, column]

    labels: dict[str, int] = {}
    converters: dict[int | str, Callable[[str], Any]] = {}
    if column is not None:
        # Strings are kept once each; the table itself is numbers throughout, one pass in C.
        converters = {column: lambda text: labels.setdefault(text.strip(), len(labels))}
    file.seek(0)
    if not _has_rows(file, before):
        raise ValueError(f"{name}: there are no rows below the column names")
    try:
        values = np.loadtxt(
            file,
            delimiter=delimiter,
            skiprows=before,
            converters=converters or None,
            usecols=used,
            comments=None,
            quotechar='"',
            ndmin=2,
            encoding=None,
        )
    except UnicodeDecodeError:
        raise
    except ValueError as error:
        raise _csv_error(file, name, delimiter, header, width, columns, error) from None
    if used is None and values.shape[1] != width:
        raise ValueError(
            f"{name}: the first line has {width} columns, the others have {values.shape[1]}"
        )
    codes = np.empty(0)
    if column is not None:
        codes = values[:, column if used is None else -1].astype(np.int64)
    X = np.ascontiguousarray(values[:, columns if used is None else range(len(columns))])
    if not np.isfinite(X).all():
        row, place = np.argwhere(~np.isfinite(X))[0]
        raise ValueError(
            f"{name}: {_column_name(header, columns[place])} must be finite, got {X[row, place]} "
            f"in data row {row + 1}"
        )
    y, class_names = None, None
    if column is not None:
        texts = np.array(list(labels))[codes]
        where = f"{name}: {_column_name(header, column)}"
        if (empty := np.flatnonzero(texts == "")).size:
            raise ValueError(f"{where} is empty in data row {empty[0] + 1}")
        y, class_names = classes_or_numbers(texts, task, where=where)
    return Table(
        X,
        y,
        class_names,
        tuple(header[i] for i in columns) if header else (),
        (header[column],) if header and column is not None else (),
    )


def _has_rows(file: TextIO, before: int) -> bool:
    """Whether there is more than blank lines after the first `before`; rewinds the file."""
    found = any(line.strip() for number, line in enumerate(file) if number >= before)
    file.seek(0)
    return found


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _column(name: str, header: list[str], width: int, wanted: str | int) -> int:
    """Return the position of a column given by name or position."""
    if isinstance(wanted, str) and wanted in header:
        if header.count(wanted) > 1:
            raise ValueError(f"{name}: {wanted!r} names {header.count(wanted)} columns")
        return header.index(wanted)
    try:
        index = int(wanted)
    except ValueError:
        known = f"the columns are {', '.join(header)}" if header else "the columns have no names"
        raise ValueError(f"{name}: there is no column {wanted!r}; {known}") from None
    if not -width <= index < width:
        raise ValueError(f"{name}: a column must be in 0..{width - 1}, got {index}")
    return index % width


def _column_name(header: list[str], index: int) -> str:
    return f"column {header[index]!r}" if header else f"column {index}"


def _csv_error(
    file: TextIO,
    name: str,
    delimiter: str,
    header: list[str],
    width: int,
    columns: list[int],
    error: ValueError,
) -> ValueError:
    """Find the cell that the fast reader stumbled over, and say where it is."""
    file.seek(0)
    reader = csv.reader(file, delimiter=delimiter)
    skip = bool(header)
    for row in reader:
        if not row or (len(row) == 1 and not row[0].strip()):
            continue
        if skip:
            skip = False
            continue
        if len(row) != width:
            return ValueError(
                f"{name}: line {reader.line_num} has {len(row)} columns, the first has {width}"
            )
        for i in columns:
            if not _is_number(row[i]):
                return ValueError(
                    f"{name}: {_column_name(header, i)} must be a number, got {row[i]!r} in line "
                    f"{reader.line_num}"
                )
    return ValueError(f"{name}: not a table of numbers: {error}")


# ---------------------------------------------------------------------------- NPZ


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
