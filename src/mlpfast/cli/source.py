"""Where the command line's data come from, and how their features and targets are scaled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mlpfast import datasets
from mlpfast.backends.base import Array
from mlpfast.cli.errors import UsageError
from mlpfast.datasets.csv_files import csv_columns
from mlpfast.datasets.tables import Table
from mlpfast.model import MLP

BUILT_IN = ("digits", "xor")
_DIGIT_NAMES = tuple("0123456789")
_CSV_SUFFIXES = (".csv", ".tsv", ".txt")


def read(
    data: str,
    *,
    target: str | None = None,
    features: Sequence[str] | None = None,
    task: str = "auto",
) -> Table:
    """Return the table that `data` names: "digits", "xor", a folder of IDX files, CSV or NPZ."""
    kind = kind_of(data)
    if target is not None and kind not in ("csv", "npz"):
        raise UsageError(f"--target is for CSV and NPZ files, {data} has its own")
    if features is not None and kind != "csv":
        raise UsageError(f"--features is for CSV files, got {data}")
    if task == "regression" and kind not in ("csv", "npz"):
        raise UsageError(f"--task regression is for CSV and NPZ files, {data} has classes")
    if kind == "digits":
        return Table(*datasets.load_digits(), _DIGIT_NAMES)
    if kind == "xor":
        X, Y = datasets.xor()
        return Table(X, Y[:, 0].astype(np.int64), ("0", "1"))
    if kind == "folder":
        train, test = datasets.load_idx_folder(data)
        return _images(train, test)
    if kind == "csv":
        return datasets.load_csv(
            data, -1 if target is None else target, task=task, features=features
        )
    if kind == "npz":
        return datasets.load_npz(data, target, task=task)
    raise UsageError(f"{data}: a file of images alone has no labels to train on; name its folder")


def kind_of(data: str) -> str:
    """Return "digits", "xor", "folder", "csv", "npz" or "idx"; raise if it is none of them."""
    if data in BUILT_IN:
        return data
    path = Path(data)
    if not path.exists():
        hint = "" if path.suffix else f" (built in are {' and '.join(BUILT_IN)})"
        raise FileNotFoundError(f"there is no file or folder {data!r}{hint}")
    if path.is_dir():
        return "folder"
    suffix = path.suffix.lower()
    if suffix == ".npz":
        return "npz"
    if suffix in _CSV_SUFFIXES:
        return "csv"
    if "idx" in path.name:
        return "idx"
    raise ValueError(
        f"{data}: must be a folder of IDX files, or a file in .npz, {', '.join(_CSV_SUFFIXES)}, "
        "or IDX"
    )


def _images(train: tuple[Array, Array], test: tuple[Array, Array] | None) -> Table:
    labels = [train[1]] if test is None else [train[1], test[1]]
    # Numbered classes: 0 up to the largest label, whichever of them occur.
    count = 1 + max((int(part.max()) for part in labels if part.size), default=0)
    return Table(*train, tuple(map(str, range(count))), test=test)


@dataclass(frozen=True)
class Model:
    """A net with what must be known to use it on a file's rows.

    Attributes
    ----------
    task : str
        "classification" or "regression".
    class_names : tuple of str
        Empty for a regression.
    feature_names, target_names : tuple of str
        Columns of the file it was trained on, if they had names.
    target : int or None
        Position of a CSV file's target column.
    input_scale : float
        Factor on the features.
    mean, scale : (n_in,) float64, or None
        The features are trained on as (x - mean) / scale.
    target_mean, target_scale : (n_out,) float64, or None
        The outputs stand for output * target_scale + target_mean.
    """

    task: str
    class_names: tuple[str, ...] = ()
    feature_names: tuple[str, ...] = ()
    target_names: tuple[str, ...] = ()
    target: int | None = None
    input_scale: float = 1.0
    mean: Array | None = None
    scale: Array | None = None
    target_mean: Array | None = None
    target_scale: Array | None = None

    def to_extra(self) -> dict[str, Any]:
        """Return what `mlpfast.files.save` is to keep, None and () left out."""
        extra: dict[str, Any] = {}
        for name, value in vars(self).items():
            if isinstance(value, np.ndarray):
                extra[name] = value.tolist()
            elif value is not None and value != ():
                extra[name] = value
        return extra

    @classmethod
    def from_extra(cls, net: MLP, extra: dict[str, Any], path: str) -> Model:
        """Return what `to_extra` gave; for a net saved from Python what its output layer says."""
        spec = net.spec
        if "task" not in extra:
            if spec.activations[-1] not in ("softmax", "sigmoid"):
                return cls("regression")
            return cls("classification", tuple(map(str, range(max(spec.n_out, 2)))))
        sizes = {
            "mean": spec.n_in,
            "scale": spec.n_in,
            "target_mean": spec.n_out,
            "target_scale": spec.n_out,
        }
        try:
            known = {k: v for k, v in extra.items() if k in cls.__dataclass_fields__}
            for name in ("class_names", "feature_names", "target_names"):
                known[name] = tuple(map(str, known.get(name, ())))
            for name, size in sizes.items():
                if name in known:
                    known[name] = np.asarray(known[name], np.float64)
                    if known[name].shape != (size,) or not np.isfinite(known[name]).all():
                        raise ValueError(f"{name} must be {size} finite numbers")
            known["input_scale"] = float(known.get("input_scale", 1.0))
            if known["task"] not in ("classification", "regression"):
                raise ValueError(f"task is {known['task']!r}")
            if known["task"] == "classification" and len(known["class_names"]) != max(
                spec.n_out, 2
            ):
                raise ValueError(f"{len(known['class_names'])} class names do not fit the net")
            return cls(**known)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{path}: its extra facts are not mlpfast's: {error}") from None

    def features(self, net: MLP, X: Array) -> Array:
        """Return rows as the net takes them; `input_scale` is left to the net."""
        if X.shape[1] != net.spec.n_in:
            raise ValueError(
                f"the data must have {net.spec.n_in} features as the net has inputs, got "
                f"{X.shape[1]}"
            )
        if self.mean is None or self.scale is None:
            return X
        return ((X - self.mean) / self.scale).astype(net.spec.dtype)

    def net_targets(self, net: MLP, y: Array) -> Array:
        """Return targets as the net takes them."""
        if self.task == "classification":
            return y[:, None] if net.spec.n_out == 1 else y
        if self.target_mean is None or self.target_scale is None:
            return y
        return (y - self.target_mean) / self.target_scale

    def predict(self, net: MLP, X: Array) -> Array:
        """Return the net's outputs for rows of the file, in the units of its targets."""
        out = net.predict(self.features(net, X), input_scale=self.input_scale)
        if self.target_mean is None or self.target_scale is None:
            return out
        return out * self.target_scale + self.target_mean

    def read(self, net: MLP, data: str, target: str | None, *, need_target: bool) -> Table:
        """Return the rows of `data` with their targets numbered as the model's classes are."""
        kind = kind_of(data)
        if kind == "csv":
            table = self._read_csv(net, data, target, need_target)
        elif kind == "idx":
            images = datasets.read_idx(data)
            if images.ndim < 2:
                raise ValueError(f"{data}: must hold images, got shape {images.shape}")
            table = Table(images.reshape(len(images), -1), None)
        else:
            table = read(data, target=target, task=self.task)
        if table.test is not None:
            table = Table(*table.test, table.class_names)
        if not need_target:
            return table
        if table.y is None:
            raise ValueError(f"{data}: there are no targets to compare with")
        if self.task == "regression":
            if table.y.shape[1] != net.spec.n_out:
                raise ValueError(
                    f"{data}: the target must have {net.spec.n_out} columns as the net has "
                    f"outputs, got {table.y.shape[1]}"
                )
            return table
        known = {name: i for i, name in enumerate(self.class_names)}
        names = table.class_names or ()
        used = sorted(set(table.y.tolist()))
        for i in used:
            if names[i] not in known:
                raise ValueError(f"{data}: class {names[i]!r} is not one that the net knows")
        lookup = np.zeros(len(names), np.int64)
        lookup[used] = [known[names[i]] for i in used]
        return Table(table.X, lookup[table.y], self.class_names)

    def _read_csv(self, net: MLP, data: str, target: str | None, need_target: bool) -> Table:
        header, width = csv_columns(data)
        column: str | int | None = target
        if column is None and header and self.target_names:
            column = self.target_names[0] if self.target_names[0] in header else None
        elif column is None and width == net.spec.n_in + 1:
            column = -1 if self.target is None else self.target
        if column is None and need_target:
            wanted = f" {self.target_names[0]!r}" if self.target_names else ""
            raise ValueError(f"{data}: there is no target column{wanted}; name it with --target")
        features = self.feature_names if header and self.feature_names else None
        if not need_target and features is not None:
            column = None  # not even looked at
        return datasets.load_csv(data, column, task=self.task, features=features)


def standardise(X: Array, y: Array | None) -> dict[str, Any]:
    """Return the scaling that training rows call for, as fields of `Model`.

    Bytes are divided by the largest, other features brought to mean 0 and deviation 1, and so are
    the numbers `y` that a regression is to meet.
    """
    fields: dict[str, Any] = {}
    if X.dtype == np.uint8:
        fields["input_scale"] = 1.0 / max(int(X.max()), 1)
    else:
        fields["mean"], fields["scale"] = _moments(X)
    if y is not None:
        fields["target_mean"], fields["target_scale"] = _moments(y)
    return fields


def regression_figures(model: Model, net: MLP, X: Array, y: Array) -> dict[str, float]:
    """Return rmse, in the target's units, and r2 = 1 - squared error / variance (0 without any)."""
    error = model.predict(net, X) - y
    squared = float(np.mean(error * error))
    variance = float(np.mean(np.square(y - y.mean(axis=0))))
    return {"rmse": squared**0.5, "r2": 1.0 - squared / variance if variance > 0 else 0.0}


def in_words(figures: dict[str, float]) -> str:
    """Return figures as a person reads them, the loss last."""
    order = sorted(figures, key=lambda name: name == "loss")
    return ", ".join(f"{name} {figures[name]:.4f}" for name in order)


def _moments(values: Array) -> tuple[Array, Array]:
    mean = values.mean(axis=0, dtype=np.float64)
    deviation = values.std(axis=0, dtype=np.float64)
    # A constant column says nothing and must not be blown up from its rounding errors.
    constant = deviation <= 1e-12 * np.abs(mean)
    return mean, np.where(constant, 1.0, deviation)
