"""CSV files as tables: numbers throughout but for the target, read in one pass."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from mlpfast.datasets.tables import TASKS, Table, classes_or_numbers
from mlpfast.spec import check_choice


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
