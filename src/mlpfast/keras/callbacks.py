"""Keras' callbacks, run at the beginning and end of a fit and of each epoch."""

from __future__ import annotations

import csv
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mlpfast.backends.base import Array
from mlpfast.keras import _files
from mlpfast.keras._callback import BATCHES, Callback, Logs, refuse_batches
from mlpfast.keras._unsupported import lookup, refuse
from mlpfast.spec import check_choice, check_int, check_real

__all__ = [
    "CSVLogger",
    "Callback",
    "EarlyStopping",
    "History",
    "LambdaCallback",
    "LearningRateScheduler",
    "ModelCheckpoint",
    "ReduceLROnPlateau",
    "TerminateOnNaN",
]


class History(Callback):
    """What happened in a fit, as `Sequential.fit` returns it.

    Attributes
    ----------
    history : dict of str to list of float
        A list with one entry an epoch: "loss", the metrics as they were called in `compile`, and
        with validation data "val_loss" and so on.
    epoch : list of int
    """

    def __init__(self) -> None:
        self.history: dict[str, list[float]] = {}
        self.epoch: list[int] = []

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        self.epoch.append(epoch)
        for name, value in (logs or {}).items():
            self.history.setdefault(name, []).append(value)


class LambdaCallback(Callback):
    """Wraps functions: ``LambdaCallback(on_epoch_end=lambda epoch, logs: ...)``."""

    def __init__(
        self,
        on_epoch_begin: Callable[..., Any] | None = None,
        on_epoch_end: Callable[..., Any] | None = None,
        on_train_begin: Callable[..., Any] | None = None,
        on_train_end: Callable[..., Any] | None = None,
        **others: Any,
    ) -> None:
        given = {
            "on_epoch_begin": on_epoch_begin,
            "on_epoch_end": on_epoch_end,
            "on_train_begin": on_train_begin,
            "on_train_end": on_train_end,
        }
        for name, function in others.items():
            if name not in BATCHES:
                raise TypeError(f"LambdaCallback got an unknown argument {name!r}")
            if function is not None:
                refuse_batches("LambdaCallback", name)
        for name, function in given.items():
            if function is not None:
                if not callable(function):
                    raise TypeError(f"{name} must be callable, got {type(function).__name__}")
                setattr(self, name, function)


class LearningRateScheduler(Callback):
    """Sets the learning rate of each epoch: ``schedule(epoch, rate) -> rate``."""

    def __init__(self, schedule: Callable[..., float], verbose: int = 0) -> None:
        self.schedule, self.verbose = schedule, verbose

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        rate = self._optimizer.learning_rate
        try:
            rate = self.schedule(epoch, rate)
        except TypeError:  # of older versions, with the epoch alone
            rate = self.schedule(epoch)
        self._optimizer.learning_rate = rate
        if self.verbose:
            print(f"\nEpoch {epoch + 1}: LearningRateScheduler setting learning rate to {rate}.")

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        if logs is not None:
            logs["learning_rate"] = float(self._optimizer.learning_rate)


class TerminateOnNaN(Callback):
    """Ends the fit when the loss is not finite, with the weights from before that epoch.

    Without it, such a fit ends with `mlpfast.TrainingDiverged`.
    """


class _Monitor(Callback):
    """Base of the callbacks that watch a figure."""

    def __init__(
        self, monitor: str, mode: str, best: float | None = None, min_delta: float = 0.0
    ) -> None:
        self.monitor, self.best = monitor, best
        self.mode = check_choice("mode", mode, ("auto", "min", "max"))
        self.min_delta = abs(check_real("min_delta", min_delta))
        self._sign = 0.0

    def _set_sign(self) -> None:
        """Decide at last whether less is better (1) or more (-1)."""
        mode = self.mode
        if mode == "auto":
            name = self.monitor.removeprefix("val_")
            rises = {"loss": False, **{m.name: m.rises for m in self.model.resolved_metrics}}
            if name not in rises:
                raise ValueError(
                    f"{type(self).__name__} cannot tell whether monitor={self.monitor!r} is to "
                    "rise or to fall: pass mode='max' or mode='min'"
                )
            mode = "max" if rises[name] else "min"
        self._sign = 1.0 if mode == "min" else -1.0

    def _value(self, logs: Logs | None) -> float | None:
        if not self._sign:
            self._set_sign()
        value = (logs or {}).get(self.monitor)
        if value is None:
            warnings.warn(
                f"{type(self).__name__} watches {self.monitor!r}, which is not there; there are "
                f"{', '.join(logs or {})}",
                UserWarning,
                stacklevel=3,
            )
        return value

    def _improves(self, value: float, best: float | None) -> bool:
        return best is None or self._sign * value + self.min_delta < self._sign * best


class EarlyStopping(_Monitor):
    """Ends the fit when a figure has not improved for `patience` epochs.

    Parameters
    ----------
    monitor, min_delta, patience, verbose, mode, baseline, restore_best_weights, start_from_epoch
        As in Keras.

    Attributes
    ----------
    stopped_epoch, best_epoch : int
    best : float
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        min_delta: float = 0.0,
        patience: int = 0,
        verbose: int = 0,
        mode: str = "auto",
        baseline: float | None = None,
        restore_best_weights: bool = False,
        start_from_epoch: int = 0,
    ) -> None:
        super().__init__(monitor, mode, min_delta=min_delta)
        self.patience = check_int("patience", patience, 0)
        self.verbose, self.baseline = verbose, baseline
        self.restore_best_weights = restore_best_weights
        self.start_from_epoch = start_from_epoch
        self.on_train_begin()

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self.wait = self.stopped_epoch = self.best_epoch = 0
        self.best = None
        self.best_weights: list[Array] | None = None

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        value = self._value(logs)
        if value is None or epoch < self.start_from_epoch:
            return
        self.wait += 1
        if self._improves(value, self.best):
            self.best, self.best_epoch = value, epoch
            if self.restore_best_weights:
                self.best_weights = self.model.get_weights()
            if self.baseline is None or self._improves(value, self.baseline):
                self.wait = 0
        elif self.wait >= self.patience and epoch > 0:
            self.stopped_epoch = epoch
            self.model.stop_training = True

    def on_train_end(self, logs: Logs | None = None) -> None:
        if self.stopped_epoch and self.verbose:
            print(f"Epoch {self.stopped_epoch + 1}: early stopping")
        if self.best_weights is not None:
            if self.verbose:
                print(
                    "Restoring model weights from the end of the best epoch: "
                    f"{self.best_epoch + 1}."
                )
            self.model.set_weights(self.best_weights)


class ReduceLROnPlateau(_Monitor):
    """Multiplies the learning rate by `factor` when a figure has not improved for a while.

    Parameters
    ----------
    monitor, factor, patience, verbose, mode, min_delta, cooldown, min_lr
        As in Keras.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        factor: float = 0.1,
        patience: int = 10,
        verbose: int = 0,
        mode: str = "auto",
        min_delta: float = 1e-4,
        cooldown: int = 0,
        min_lr: float = 0.0,
    ) -> None:
        super().__init__(monitor, mode, min_delta=min_delta)
        self.factor = check_real("factor", factor, low=0.0, high=1.0, open_high=True)
        self.patience, self.verbose = check_int("patience", patience, 0), verbose
        self.cooldown, self.min_lr = check_int("cooldown", cooldown, 0), min_lr
        self.on_train_begin()

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self.best = None
        self.wait = self.cooldown_counter = 0

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        optimizer = self._optimizer
        if logs is not None:
            logs["learning_rate"] = float(optimizer.learning_rate)
        value = self._value(logs)
        if value is None:
            return
        if self.cooldown_counter:
            self.cooldown_counter -= 1
            self.wait = 0
        if self._improves(value, self.best):
            self.best, self.wait = value, 0
        elif not self.cooldown_counter:
            self.wait += 1
            if self.wait >= self.patience and optimizer.learning_rate > self.min_lr:
                rate = max(optimizer.learning_rate * self.factor, self.min_lr)
                optimizer.learning_rate = rate
                self.cooldown_counter, self.wait = self.cooldown, 0
                if self.verbose:
                    print(
                        f"\nEpoch {epoch + 1}: ReduceLROnPlateau reducing learning rate to {rate}."
                    )


class ModelCheckpoint(_Monitor):
    """Saves the model after an epoch.

    Parameters
    ----------
    filepath : str or path
        May hold ``{epoch:02d}``, counted from 1, and names of the history. See
        `Sequential.save` and, with `save_weights_only`, `Sequential.save_weights`.
    monitor, verbose, save_best_only, save_weights_only, mode, initial_value_threshold
        As in Keras. `save_freq` must be "epoch".
    """

    def __init__(
        self,
        filepath: Any,
        monitor: str = "val_loss",
        verbose: int = 0,
        save_best_only: bool = False,
        save_weights_only: bool = False,
        mode: str = "auto",
        save_freq: Any = "epoch",
        initial_value_threshold: float | None = None,
    ) -> None:
        super().__init__(monitor, mode, initial_value_threshold)
        if save_freq != "epoch":
            refuse(f"ModelCheckpoint(save_freq={save_freq!r})", 'there is save_freq="epoch"')
        self.filepath, self.verbose = os.fspath(filepath), verbose
        self.save_best_only, self.save_weights_only = save_best_only, save_weights_only
        check = _files.check_weights_suffix if save_weights_only else _files.check_suffix
        check(Path(self.filepath))

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        path = self.filepath.format(epoch=epoch + 1, **(logs or {}))
        done = f"saving model to {path}"
        if self.save_best_only:
            value = self._value(logs)
            best = "None" if self.best is None else f"{self.best:.5f}"
            if value is not None and not self._improves(value, self.best):
                self._say(epoch, f"{self.monitor} did not improve from {best}")
                return
            if value is not None:
                done = f"{self.monitor} improved from {best} to {value:.5f}, {done}"
                self.best = value
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        if self.save_weights_only:
            self.model.save_weights(path)
        else:
            self.model.save(path)
        self._say(epoch, done)

    def _say(self, epoch: int, text: str) -> None:
        if self.verbose:
            print(f"\nEpoch {epoch + 1}: {text}")


class CSVLogger(Callback):
    """Writes a line an epoch to a file, with a header."""

    def __init__(self, filename: Any, separator: str = ",", append: bool = False) -> None:
        self.path, self.separator, self.append = Path(filename), separator, append
        self._file: Any = None
        self._writer: Any = None

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self._header = not (self.append and self.path.exists() and self.path.stat().st_size)
        self._file = self.path.open("a" if self.append else "w", newline="", encoding="utf-8")
        self._writer = None

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        logs = logs or {}
        if self._writer is None:
            names = ["epoch", *sorted(logs)]
            self._writer = csv.DictWriter(
                self._file, names, restval="NA", extrasaction="ignore", delimiter=self.separator
            )
            if self._header:
                self._writer.writeheader()
        self._writer.writerow({"epoch": epoch, **logs})
        self._file.flush()

    def on_train_end(self, logs: Logs | None = None) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def __getattr__(name: str) -> Any:
    return lookup(__name__, name, "callback", __all__)
