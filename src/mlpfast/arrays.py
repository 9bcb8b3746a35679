"""The checks on arrays that users pass in: a right array comes out, or one clear error."""

from __future__ import annotations

from typing import Any

import numpy as np

from mlpfast.backends.base import Array, Data
from mlpfast.spec import LOSS_RECORDS, NetSpec, check_real

__all__ = [
    "as_array",
    "as_finite",
    "check_data",
    "check_finite",
    "check_out",
    "check_sample_weight",
    "check_x",
    "check_y",
    "not_finite",
]

_CHUNK_ROWS = 65536
_SHORT = 4096


def as_array(name: str, value: Any) -> Array:
    """Return `value` as a numeric array in native byte order, itself if it is one already."""
    if type(value) is not np.ndarray:
        if hasattr(value, "toarray") and hasattr(value, "nnz"):
            raise TypeError(f"{name} must be a dense array, got a sparse matrix; use .toarray()")
        if isinstance(value, np.ma.MaskedArray):
            raise TypeError(f"{name} must not be a masked array; fill the gaps first")
        try:
            value = np.asarray(value)
        except (ValueError, TypeError) as error:
            raise ValueError(f"{name} cannot be read as an array: {error}") from None
    kind = value.dtype.kind
    if kind == "c":
        raise TypeError(f"{name} must be real, got dtype {value.dtype}")
    if kind not in "fiub":
        raise TypeError(f"{name} must be numeric, got dtype {value.dtype}")
    if not value.dtype.isnative:
        value = value.astype(value.dtype.newbyteorder("="))
    return value


def check_finite(name: str, value: Array) -> None:
    """Raise a ValueError that names the first entry which is NaN or infinite."""
    if value.dtype.kind != "f":
        return
    # Of the ways to look at a short array this one costs least.
    if value.size <= _SHORT and np.count_nonzero(np.isfinite(value)) == value.size:
        return
    for first in range(0, len(value), _CHUNK_ROWS):
        part = value[first : first + _CHUNK_ROWS]
        # A sum is finite unless an entry is not (or the sum overflows): look closer only then.
        with np.errstate(over="ignore", invalid="ignore"):
            if np.isfinite(part.sum()):
                continue
        bad = np.argwhere(~np.isfinite(part))
        if len(bad):
            raise not_finite(name, value, first + bad[0][0])


def as_finite(name: str, value: Array, dtype: Any) -> Array:
    """Return `value` C-contiguous and aligned in `dtype`, every entry finite in it."""
    check_finite(name, value)
    flags = value.flags
    if value.dtype == dtype and flags.c_contiguous and flags.aligned:
        return value
    with np.errstate(over="ignore"):
        converted = np.array(value, dtype, order="C")
    if not np.isfinite(converted).all():
        raise ValueError(f"{name} holds values too large for {converted.dtype}")
    return converted


def not_finite(name: str, value: Array, row: int) -> ValueError:
    """Return the error for an array whose row `row` is not finite."""
    where = f"row {row}"
    entries = np.atleast_1d(value[row])
    column = int(np.flatnonzero(~np.isfinite(entries))[0])
    if value.ndim > 1:
        where += f", column {column}"
    return ValueError(f"{name} must be finite, got {entries[column]} in {where}")


def check_out(name: str, out: Any, shape: tuple[int, ...], dtype: Any) -> None:
    """Raise unless `out` is a writable C-contiguous array of that shape and dtype."""
    if not isinstance(out, np.ndarray):
        raise TypeError(f"{name} must be a NumPy array, got {type(out).__name__}")
    if out.shape != shape or out.dtype != dtype:
        raise ValueError(
            f"{name} must have shape {shape} and dtype {np.dtype(dtype)}, "
            f"got {out.shape} and {out.dtype}"
        )
    flags = out.flags
    if not (flags.c_contiguous and flags.writeable and flags.aligned):
        raise ValueError(f"{name} must be C-contiguous, aligned and writable")


def check_x(spec: NetSpec, value: Any, *, name: str = "X") -> Array:
    """Return the rows of `value` (n, n_in) as float32, float64 or uint8, each row contiguous."""
    x = as_array(name, value)
    if x.ndim != 2 or x.shape[1] != spec.n_in:
        hint = "; a single sample is X[None, :]" if x.ndim == 1 else ""
        raise ValueError(f"{name} must have shape (n, {spec.n_in}), got {x.shape}{hint}")
    if x.dtype.char not in "fdB":  # float32, float64, uint8
        x = x.astype(spec.dtype)
    flags = x.flags
    if flags.c_contiguous and flags.aligned:
        return x
    if (x.shape[1] > 1 and x.strides[1] != x.itemsize) or x.strides[0] % x.itemsize:
        x = np.ascontiguousarray(x)
    if not x.flags.aligned:
        x = x.copy()
    return x


def check_y(spec: NetSpec, value: Any, n: int, *, name: str = "Y") -> Array:
    """Return targets (n, n_out) of the net's dtype, or class labels (n,) int64."""
    y = as_array(name, value)
    if y.ndim == 1 and spec.n_out == 1:
        y = y[:, None]
    if y.ndim in (1, 2) and y.shape[1:] in ((), (spec.n_out,)) and len(y) != n:
        raise ValueError(f"{name} must have as many rows as X ({n}), got {len(y)}")
    if y.ndim == 1:
        return _check_labels(spec, y, name)
    if y.ndim != 2 or y.shape[1] != spec.n_out:
        labels = " or (n,) class labels" if spec.n_out > 1 else " or (n,)"
        raise ValueError(f"{name} must have shape (n, {spec.n_out}){labels}, got {y.shape}")
    y = as_finite(name, y, spec.dtype)
    _check_target_range(spec, y, name)
    return y


def _check_labels(spec: NetSpec, y: Array, name: str) -> Array:
    check_finite(name, y)
    labels = y.astype(np.int64)
    if y.dtype.kind == "f" and not np.array_equal(labels, y):
        raise ValueError(
            f"{name} of shape (n,) must hold whole class labels 0..{spec.n_out - 1}; "
            f"targets of this net have shape (n, {spec.n_out})"
        )
    # One look for both ends: without their sign, negative labels are the largest of all.
    if len(labels) and np.maximum.reduce(labels.view(np.uint64)) >= spec.n_out:
        wrong = labels[(labels < 0) | (labels >= spec.n_out)][0]
        raise ValueError(f"{name} must hold class labels 0..{spec.n_out - 1}, got {wrong}")
    return np.ascontiguousarray(labels)


def _check_target_range(spec: NetSpec, y: Array, name: str) -> None:
    record = LOSS_RECORDS[spec.loss]
    low, high = record.low, record.high
    if low == -np.inf or not y.size:
        return
    for extreme in (y.min(), y.max()):
        if not low <= extreme <= high:
            interval = f"{low:g}..{high:g}" if np.isfinite(high) else "0 or more"
            raise ValueError(f"{name} must be {interval} for loss={spec.loss!r}, got {extreme:g}")


def check_sample_weight(spec: NetSpec, value: Any, n: int) -> Array | None:
    """Return weights (n,) of the net's dtype, none negative; None stays None."""
    if value is None:
        return None
    weight = as_array("sample_weight", value)
    if weight.shape != (n,):
        raise ValueError(f"sample_weight must have shape ({n},), got {weight.shape}")
    weight = as_finite("sample_weight", weight, spec.dtype)
    if n and weight.min() < 0:
        raise ValueError(f"sample_weight must not be negative, got {weight.min():g}")
    return weight


def check_data(
    spec: NetSpec,
    x: Any,
    y: Any,
    sample_weight: Any = None,
    input_scale: float = 1.0,
    *,
    prefix: str = "",
    finite_x: bool = True,
) -> Data:
    """Return checked `Data`; `finite_x=False` leaves it to the caller to look for NaN in x."""
    rows = check_x(spec, x, name=f"{prefix}X")
    if len(rows) == 0:
        raise ValueError(f"{prefix}X must have at least one row, got shape {rows.shape}")
    targets = check_y(spec, y, len(rows), name=f"{prefix}Y")
    weight = check_sample_weight(spec, sample_weight, len(rows))
    if finite_x:
        check_finite(f"{prefix}X", rows)
    return Data(rows, targets, weight, check_real("input_scale", input_scale))
