"""What may happen at the end of an epoch: stop, save, log, or whatever the user writes."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from mlpfast import files
from mlpfast.spec import check_choice, check_int, check_real
from mlpfast.spec.schedules import (
    CosineDecay,
    ExponentialDecay,
    PerStep,
    ReduceOnPlateau,
    StepDecay,
    more_is_better,
)
from mlpfast.training.history import History

__all__ = [
    "CSVLogger",
    "Callback",
    "CallbackList",
    "EarlyStopping",
    "LambdaCallback",
    "ModelCheckpoint",
    "as_callback",
    "asks_to_stop",
]

_SCHEDULES = (StepDecay, ExponentialDecay, CosineDecay, PerStep, ReduceOnPlateau)


class Callback:
    """Base of the callbacks; override what you need.

    `net` is the `mlpfast.MLP` that is trained.
    """

    #: A figure of `logs` that the callback watches, if any; `fit` checks that it will be there.
    monitors: str | None = None
    #: Whether the callback may enter figures of its own into `logs`, for those after it.
    adds_figures = True

    def on_train_begin(self, net: Any) -> None:
        """Run before the first epoch."""

    def on_epoch_end(self, net: Any, epoch: int, logs: dict[str, float]) -> bool | None:
        """Run after each epoch; return True to stop training.

        `logs` holds the figures of this epoch under the names of the history.
        """
        return None

    def on_train_end(self, net: Any, history: History) -> None:
        """Run when training ends, for whatever reason (an error too)."""


class LambdaCallback(Callback):
    """Wraps functions: ``LambdaCallback(on_epoch_end=lambda net, epoch, logs: ...)``."""

    def __init__(
        self,
        on_epoch_end: Callable[[Any, int, dict[str, float]], Any] | None = None,
        on_train_begin: Callable[[Any], Any] | None = None,
        on_train_end: Callable[[Any, History], Any] | None = None,
    ) -> None:
        if on_epoch_end is not None:
            self._set("on_epoch_end", on_epoch_end)
        if on_train_begin is not None:
            self._set("on_train_begin", on_train_begin)
        if on_train_end is not None:
            self._set("on_train_end", on_train_end)

    def _set(self, name: str, function: Callable[..., Any]) -> None:
        if not callable(function):
            raise TypeError(f"{name} must be callable, got {type(function).__name__}")
        setattr(self, name, function)


def as_callback(callback: Callback | Callable[..., Any]) -> Callback:
    """Return `callback` itself, or a plain function wrapped as an ``on_epoch_end``."""
    if isinstance(callback, Callback):
        return callback
    if isinstance(callback, _SCHEDULES):
        raise TypeError(
            "callbacks must not hold a learning-rate schedule; pass it as the optimizer's "
            f"learning rate, such as mlpfast.Adam({type(callback).__name__}(...))"
        )
    if callable(callback) and not isinstance(callback, type):
        return LambdaCallback(on_epoch_end=callback)
    raise TypeError(
        "callbacks must hold mlpfast.Callback instances or functions (net, epoch, logs), got "
        f"{callback!r}"
    )


def asks_to_stop(answer: object) -> bool:
    """Return whether what an ``on_epoch_end`` returned ends training: True, also that of NumPy."""
    return answer is True or (isinstance(answer, np.bool_) and bool(answer))


class CallbackList:
    """The callbacks of one fit, told of everything in order, and of its end in reverse order.

    Parameters
    ----------
    net : Net
        What the callbacks see.
    callbacks : iterable of Callback or functions (net, epoch, logs)
    history : History
        Of the fit; its `stop_reason` becomes "callback" where one of them ends it.
    """

    def __init__(
        self,
        net: Any,
        callbacks: Iterable[Callback | Callable[..., Any]],
        history: History,
    ) -> None:
        self._net, self._history = net, history
        self._callbacks = [as_callback(callback) for callback in callbacks]
        self._begun: list[Callback] = []

    def __bool__(self) -> bool:
        return bool(self._callbacks)

    def monitored(self) -> list[str]:
        """Return the figures that callbacks go by and that no callback before them may add."""
        names = []
        for callback in self._callbacks:
            if callback.adds_figures:
                break
            if callback.monitors is not None:
                names.append(callback.monitors)
        return names

    def begin(self) -> None:
        """Say that training begins."""
        for callback in self._callbacks:
            self._begun.append(callback)
            callback.on_train_begin(self._net)

    def epoch_end(self, epoch: int, logs: dict[str, float]) -> bool:
        """Pass the figures of an epoch on; return whether a callback ends the fit."""
        ends = False
        for callback in self._callbacks:
            if asks_to_stop(callback.on_epoch_end(self._net, epoch, logs)):
                ends = True
        if ends:
            self._history.stop_reason = "callback"
        return ends

    def end(self) -> None:
        """Say that training has ended, to those that were told that it began."""
        for callback in reversed(self._begun):
            callback.on_train_end(self._net, self._history)


class _Monitor:
    """Watches one figure and says whether it improved."""

    def __init__(self, monitor: str, min_delta: float, mode: str) -> None:
        check_choice("mode", mode, ("auto", "min", "max"))
        if mode == "auto":
            mode = "max" if more_is_better(monitor) else "min"
        self.name = monitor
        self.min_delta = check_real("min_delta", min_delta, low=0.0)
        self.sign = 1.0 if mode == "min" else -1.0
        self.best = math.inf

    def improved(self, logs: dict[str, float]) -> bool:
        check_choice("monitor", self.name, tuple(logs))
        value = self.sign * logs[self.name]
        if not value < self.best - self.min_delta:
            return False
        self.best = value
        return True

    def reset(self) -> None:
        self.best = math.inf


class EarlyStopping(Callback):
    """Stop when a figure has not improved for `patience` epochs, and go back to the best weights.

    Parameters
    ----------
    monitor : str, default "val_loss"
        A name of the history. It needs validation data if it begins with "val_".
    patience : int, default 5
        Epochs without improvement after which training stops.
    min_delta : float, default 0
        Smallest change that counts.
    mode : {"auto", "min", "max"}
        "auto" is "max" for names with "accuracy" or "r2" in them.
    restore_best_weights : bool, default True

    Attributes
    ----------
    best_epoch : int
        Epoch with the best figure, -1 before the first.
    stopped : bool
        Whether this callback ended the fit.
    """

    adds_figures = False

    def __init__(
        self,
        monitor: str = "val_loss",
        *,
        patience: int = 5,
        min_delta: float = 0.0,
        mode: str = "auto",
        restore_best_weights: bool = True,
    ) -> None:
        self._monitor = _Monitor(monitor, min_delta, mode)
        self.monitors = monitor
        self.patience = check_int("patience", patience, 0)
        self.restore_best_weights = restore_best_weights
        self.best_epoch = -1
        self.stopped = False
        self._best_params: Any = None

    def on_train_begin(self, net: Any) -> None:
        self._monitor.reset()
        self.best_epoch, self.stopped, self._best_params = -1, False, None

    def on_epoch_end(self, net: Any, epoch: int, logs: dict[str, float]) -> bool:
        if self._monitor.improved(logs):
            self.best_epoch = epoch
            if self.restore_best_weights:
                self._best_params = net.params.copy()
            return False
        self.stopped = epoch - self.best_epoch >= max(self.patience, 1)
        return self.stopped

    def on_train_end(self, net: Any, history: History) -> None:
        if self._best_params is not None:
            net.params = self._best_params
            self._best_params = None


class ModelCheckpoint(Callback):
    """Save the net after an epoch, whole or not at all (written beside, then renamed).

    Parameters
    ----------
    path : str or path
        May hold ``{epoch}`` and names of the history: ``"net-{epoch:03d}-{val_loss:.3f}.npz"``.
    monitor : str, default "val_loss"
        The figure that decides for `save_best_only`.
    save_best_only : bool, default False
    mode : {"auto", "min", "max"}
    """

    adds_figures = False

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        monitor: str = "val_loss",
        save_best_only: bool = False,
        mode: str = "auto",
    ) -> None:
        self.path = os.fspath(path)
        self.save_best_only = save_best_only
        self._monitor = _Monitor(monitor, 0.0, mode)
        self.monitors = monitor if save_best_only else None

    def on_train_begin(self, net: Any) -> None:
        self._monitor.reset()

    def on_epoch_end(self, net: Any, epoch: int, logs: dict[str, float]) -> None:
        if not self.save_best_only or self._monitor.improved(logs):
            files.save(net, self.path.format(epoch=epoch, **logs))


class CSVLogger(Callback):
    """Write a line an epoch to a CSV file, with a header.

    Parameters
    ----------
    path : str or path
    append : bool, default False
        Add to an existing file instead of replacing it.
    """

    adds_figures = False

    def __init__(self, path: str | os.PathLike[str], *, append: bool = False) -> None:
        self.path = Path(path)
        self.append = append
        self._file: Any = None
        self._writer: Any = None

    def on_train_begin(self, net: Any) -> None:
        self._header = not (self.append and self.path.exists() and self.path.stat().st_size)
        self._file = self.path.open("a" if self.append else "w", newline="", encoding="utf-8")
        self._writer = None

    def on_epoch_end(self, net: Any, epoch: int, logs: dict[str, float]) -> None:
        if self._writer is None:
            self._writer = csv.DictWriter(self._file, ["epoch", *logs], extrasaction="ignore")
            if self._header:
                self._writer.writeheader()
        self._writer.writerow({"epoch": epoch, **logs})
        self._file.flush()

    def on_train_end(self, net: Any, history: History) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
