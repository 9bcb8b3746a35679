"""The base of Keras' callbacks, and what one may ask of its model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from mlpfast.backends.base import Array
from mlpfast.keras._unsupported import refuse
from mlpfast.keras.metrics import Metric
from mlpfast.keras.optimizers import Optimizer

#: An epoch is one call into compiled code: nothing can happen between its batches.
BATCHES = tuple(
    f"on_{part}_{when}"
    for part in ("batch", "train_batch", "test_batch", "predict_batch")
    for when in ("begin", "end")
)

Logs = dict[str, Any]


class Trainee(Protocol):
    """A model as its callbacks see it; a `Sequential` is one."""

    optimizer: Optimizer | None
    stop_training: bool

    @property
    def resolved_metrics(self) -> list[Metric]:
        """The metrics of `compile`."""

    def get_weights(self) -> list[Array]:
        """Return copies of the weights."""

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Set all weights, or none."""

    def save(self, filepath: Any, overwrite: bool = True) -> None:
        """Write the model to a file."""

    def save_weights(self, filepath: Any, overwrite: bool = True) -> None:
        """Write the weights to a file."""

    def evaluate(self, x: Any = None, y: Any = None, *args: Any, **options: Any) -> Any:
        """Return the loss and the metrics."""

    def predict(self, x: Any, *args: Any, **options: Any) -> Array:
        """Return the outputs."""


class Callback:
    """Base of the callbacks; override what you need.

    Attributes
    ----------
    model : Sequential
    params : dict
        "verbose", "epochs" and "steps" of the fit.

    Notes
    -----
    An epoch is one call into compiled code, so that the ``on_..._batch_...`` methods are not
    offered; a callback that has one is refused.
    """

    model: Trainee
    params: Logs

    def set_model(self, model: Trainee) -> None:
        """Take note of the model."""
        self.model = model

    def set_params(self, params: Logs) -> None:
        """Take note of the fit."""
        self.params = params

    @property
    def _optimizer(self) -> Optimizer:
        assert self.model.optimizer is not None
        return self.model.optimizer

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Run before the first epoch."""

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Run after the last epoch."""

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Run before each epoch, counted from 0."""

    def on_test_begin(self, logs: Logs | None = None) -> None:
        """Run when the validation data are evaluated, before `on_epoch_end`."""

    def on_test_end(self, logs: Logs | None = None) -> None:
        """Run right after it, with the figures."""

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Run after each epoch; set ``self.model.stop_training = True`` to end the fit."""


def check_list(callbacks: Any) -> list[Callback]:
    """Return the callbacks of a call of `fit`."""
    given = callbacks if isinstance(callbacks, list | tuple) else [callbacks]
    if callbacks is None:
        return []
    for callback in given:
        if not isinstance(callback, Callback):
            raise TypeError(
                f"callbacks must hold instances of mlpfast.keras.callbacks, got {callback!r}"
            )
        for name in BATCHES:
            if hasattr(callback, name):
                refuse_batches(type(callback).__name__, name)
    return list(given)


def refuse_batches(where: str, name: str) -> None:
    """Raise the error for a method that is not offered."""
    refuse(f"{where}.{name}", "an epoch is one call into compiled code")
