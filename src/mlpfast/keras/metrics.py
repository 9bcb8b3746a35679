"""Keras' metrics: which of mlpfast's figures each is, and the three meanings of accuracy."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from mlpfast.keras._unsupported import check_none, lookup, refuse, there_are
from mlpfast.keras.losses import Loss

__all__ = [
    "BinaryAccuracy",
    "CategoricalAccuracy",
    "MeanAbsoluteError",
    "MeanSquaredError",
    "Metric",
    "SparseCategoricalAccuracy",
    "binary_accuracy",
    "categorical_accuracy",
    "get",
    "mean_absolute_error",
    "mean_squared_error",
    "sparse_categorical_accuracy",
]


class Metric:
    """Base of the metrics, which say what `Sequential.compile` is to report."""

    #: What `mlpfast.training.history.METRICS` calls it, and Keras.
    engine_name: str
    keras_name: str
    #: Whether larger is better.
    rises = False

    def __init__(self, name: str | None = None, dtype: Any = None) -> None:
        if type(self) not in CLASSES.values():
            refuse(f"metric {type(self).__name__}, a class of one's own,", there_are(CLASSES))
        check_none(type(self).__name__, dtype=dtype)
        self.name = name or self.keras_name

    def check(self, loss: Loss, n_out: int) -> None:
        """Raise an error if mlpfast's figure is another than Keras'."""

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make it again."""
        return {"name": self.name}


class _Error(Metric):
    def check(self, loss: Loss, n_out: int) -> None:
        if loss.labels or loss.from_logits or loss.label_smoothing:
            refuse(
                f"metric {self.name!r} with {type(loss).__name__}",
                "it is for targets as the outputs are: no class labels, logits or smoothed labels",
            )


class MeanSquaredError(_Error):
    """Mean of ``(t - o)^2``."""

    engine_name, keras_name = "mse", "mean_squared_error"


class MeanAbsoluteError(_Error):
    """Mean of ``abs(t - o)``."""

    engine_name, keras_name = "mae", "mean_absolute_error"


class _Accuracy(Metric):
    engine_name, rises = "accuracy", True


class BinaryAccuracy(_Accuracy):
    """Share of the rows whose one output is above 0.5 where the target is 1, or not where it is 0.

    For a loss from logits the threshold must be 0, which is where a sigmoid is 0.5.
    """

    keras_name = "binary_accuracy"

    def __init__(self, name: str | None = None, dtype: Any = None, threshold: float = 0.5) -> None:
        super().__init__(name, dtype)
        self.threshold = float(threshold)

    def check(self, loss: Loss, n_out: int) -> None:
        if n_out > 1:
            refuse(f"metric {self.name!r} for {n_out} outputs", "it is for a single one")
        if self.threshold != (0.0 if loss.from_logits else 0.5):
            refuse(
                f"metric {self.name!r} with threshold={self.threshold}",
                "it must be 0.5, or 0 for a loss from logits: BinaryAccuracy(threshold=0)",
            )

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "threshold": self.threshold}


class CategoricalAccuracy(_Accuracy):
    """Share of the rows whose largest output is where the largest target is."""

    keras_name = "categorical_accuracy"

    def check(self, loss: Loss, n_out: int) -> None:
        if n_out == 1 or loss.labels:
            refuse(f"metric {self.name!r} with {n_out} outputs or labels", "ask for 'accuracy'")


class SparseCategoricalAccuracy(_Accuracy):
    """Share of the rows whose largest output has the number that the label is."""

    keras_name = "sparse_categorical_accuracy"

    def check(self, loss: Loss, n_out: int) -> None:
        if not loss.labels:
            refuse(f"metric {self.name!r} for targets that are no labels", "ask for 'accuracy'")


CLASSES: dict[str, type[Metric]] = {
    kind.__name__: kind
    for kind in (
        *(MeanSquaredError, MeanAbsoluteError, BinaryAccuracy, CategoricalAccuracy),
        SparseCategoricalAccuracy,
    )
}
_BY_NAME: dict[str, type[Metric]] = {
    **CLASSES,
    **{kind.keras_name: kind for kind in CLASSES.values()},
    "mse": MeanSquaredError,
    "MSE": MeanSquaredError,
    "mae": MeanAbsoluteError,
    "MAE": MeanAbsoluteError,
}
# Functions in Keras.
mean_squared_error, mean_absolute_error = MeanSquaredError, MeanAbsoluteError
binary_accuracy, categorical_accuracy = BinaryAccuracy, CategoricalAccuracy
sparse_categorical_accuracy = SparseCategoricalAccuracy

#: What Keras chooses a meaning for.
_ACCURACY = ("accuracy", "acc", "Accuracy")


def get(identifier: Any) -> Metric | str:
    """Return the metric that a name, a class or an instance stands for; "accuracy" stays open."""
    if isinstance(identifier, Metric) or identifier in _ACCURACY:
        return identifier
    if isinstance(identifier, type) and issubclass(identifier, Metric):
        return identifier()
    choices = ", ".join(["accuracy", *(name for name in _BY_NAME if name.islower())])
    if not isinstance(identifier, str) or identifier not in _BY_NAME:
        refuse(f"metric {identifier!r}", f"there are {choices}")
    return _BY_NAME[identifier](name=identifier)


def check_list(metrics: Any) -> list[Metric | str]:
    """Return the metrics of a call of `compile`."""
    if metrics is None:
        return []
    if isinstance(metrics, str) or not isinstance(metrics, Iterable) or isinstance(metrics, dict):
        raise TypeError(f"metrics must be a list, got {metrics!r}")
    return [get(metric) for metric in metrics]


def resolve(metric: Metric | str, loss: Loss, n_out: int) -> Metric:
    """Return what "accuracy" means for a net, as Keras chooses, and any other metric itself."""
    if isinstance(metric, Metric):
        return metric
    if n_out == 1:
        return BinaryAccuracy(name=metric)
    if loss.labels:
        return SparseCategoricalAccuracy(name=metric)
    return CategoricalAccuracy(name=metric)


def __getattr__(name: str) -> Any:
    return lookup(__name__, name, "metric", ["accuracy", *CLASSES])
