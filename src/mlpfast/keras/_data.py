"""From what a Keras program passes as x, y and weights to what `MLP.fit` takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from mlpfast.arrays import as_array
from mlpfast.backends.base import Array
from mlpfast.keras._chain import Chain
from mlpfast.keras._unsupported import refuse
from mlpfast.keras.losses import Loss
from mlpfast.spec import check_real


class Batch(NamedTuple):
    """Rows as mlpfast takes them: x (n, n_in), y (n, n_out) or labels (n,), weights (n,)."""

    x: Array
    y: Array
    weight: Array | None

    def rows(self, part: slice) -> Batch:
        """Return some of the rows."""
        return Batch(self.x[part], self.y[part], None if self.weight is None else self.weight[part])


def inputs(chain: Chain, x: Any, name: str = "x") -> Array:
    """Return the inputs of the first Dense, but for a scale that `MLP` applies itself."""
    array = _array(name, x)
    shape = chain.input_shape
    if array.ndim == 1 and shape == (1,):
        array = array[:, None]
    if array.shape[1:] not in (shape, (*shape, 1), shape[:-1] if shape[-1] == 1 else shape):
        raise ValueError(
            f"{name} must have shape (n, {', '.join(map(str, shape))}), got {array.shape}"
        )
    rows = array.reshape(len(array), chain.sizes[0])
    if chain.offset:
        return (rows * np.float32(chain.scale) + np.float32(chain.offset)).astype(np.float32)
    return rows


def input_scale(chain: Chain) -> float:
    """Return the factor that `MLP` applies to `inputs`."""
    return 1.0 if chain.offset else chain.scale


def targets(chain: Chain, loss: Loss, y: Any, name: str = "y") -> Array:
    """Return targets (n, n_out), or class labels (n,) for a loss of labels."""
    array, n_out = _array(name, y), chain.sizes[-1]
    if loss.labels:
        if n_out == 1:
            refuse(f"{type(loss).__name__} with one output", "use BinaryCrossentropy")
        if array.ndim == 2 and array.shape[1] == 1:
            array = array[:, 0]
        if array.ndim != 1:
            raise ValueError(
                f"{name} must hold class labels (n,) for {type(loss).__name__}, got shape "
                f"{array.shape}; one-hot rows are for CategoricalCrossentropy"
            )
        return array
    if array.ndim == 1 and n_out == 1:
        array = array[:, None]
    if array.shape[1:] != (n_out,):
        hint = "; class labels are for SparseCategoricalCrossentropy" if array.ndim == 1 else ""
        raise ValueError(f"{name} must have shape (n, {n_out}), got {array.shape}{hint}")
    if loss.label_smoothing:
        share = loss.label_smoothing / (2 if loss.output == "sigmoid" else n_out)
        array = (array * (1.0 - loss.label_smoothing) + share).astype(np.float32)
    return array


def batch(
    chain: Chain,
    loss: Loss,
    x: Any,
    y: Any,
    sample_weight: Any = None,
    prefix: str = "",
) -> Batch:
    """Return x, y and weights of a call."""
    if y is None:
        raise ValueError(f"{prefix}y is missing: x and y must be arrays")
    rows, wanted = inputs(chain, x, f"{prefix}x"), targets(chain, loss, y, f"{prefix}y")
    if len(rows) != len(wanted):
        raise ValueError(
            f"{prefix}y must have as many rows as {prefix}x ({len(rows)}), got {len(wanted)}"
        )
    weight = None
    if sample_weight is not None:
        weight = _array("sample_weight", sample_weight)
        if weight.ndim == 2 and weight.shape[1] == 1:
            weight = weight[:, 0]
        if weight.shape != (len(rows),):
            raise ValueError(f"sample_weight must have shape ({len(rows)},), got {weight.shape}")
    return Batch(rows, wanted, weight)


def weigh(data: Batch, class_weight: Mapping[int, float] | None) -> Batch:
    """Return the rows with the weights of their classes, a class not mentioned weighing 1."""
    if class_weight is None:
        return data
    if data.weight is not None:
        raise ValueError("class_weight and sample_weight cannot both be given")
    if not isinstance(class_weight, Mapping):
        raise TypeError(f"class_weight must be a dict, got {type(class_weight).__name__}")
    y = data.y
    labels = y if y.ndim == 1 else y[:, 0] if y.shape[1] == 1 else y.argmax(axis=1)
    labels = np.round(labels).astype(np.int64)
    weight = np.ones(len(labels), np.float32)
    for label, value in class_weight.items():
        weight[labels == label] = check_real(f"class_weight[{label!r}]", value, low=0.0)
    return data._replace(weight=weight)


def split(data: Batch, share: float) -> tuple[Batch, Batch]:
    """Return the first rows and the last, the latter a share of all."""
    check_real("validation_split", share, low=0.0, high=1.0, open_high=True)
    first = int(np.floor(len(data.x) * (1.0 - share)))
    if not 0 < first < len(data.x):
        raise ValueError(
            f"validation_split={share} leaves {first} of {len(data.x)} rows to train on, and the "
            "rest to validate on: neither may be none"
        )
    return data.rows(slice(first)), data.rows(slice(first, None))


def is_binary(*arrays: Array) -> bool:
    """Whether all targets are 0 or 1."""
    return all(((y == 0) | (y == 1)).all() for y in arrays)


def _array(name: str, value: Any) -> Array:
    if hasattr(value, "__next__") or hasattr(value, "as_numpy_iterator"):
        refuse(f"{name}: a {type(value).__name__}", "data must be in arrays")
    array = as_array(name, value)
    return array.astype(np.float32) if array.dtype == np.bool_ else array
