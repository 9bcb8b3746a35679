"""Callbacks of a fit: mlpfast's own, on the net inside an estimator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mlpfast.model import MLP
from mlpfast.training.callbacks import Callback, as_callback, asks_to_stop
from mlpfast.training.history import History
from mlpfast.training.progress import progress_of

if TYPE_CHECKING:
    from mlpfast.sklearn._base import BaseMLP


class Watchers:
    """The callbacks of an estimator during one fit.

    They see a net whose parameters are the estimator's, and the figures "loss" and, with rows held
    out, "val_loss" and "val_accuracy" or "val_r2".
    """

    def __init__(self, estimator: BaseMLP, net: MLP) -> None:
        self._callbacks: list[Callback] = [as_callback(c) for c in estimator.callbacks or ()]
        if estimator.verbose == "progress":
            self._callbacks += progress_of(1, estimator.max_iter)
        self._net = net
        self._begun: list[Callback] = []
        self.history = History()

    def __bool__(self) -> bool:
        return bool(self._callbacks)

    def check_monitors(self, schedule: Any, figures: Sequence[str]) -> None:
        """Raise if the schedule or a callback goes by a figure that there will not be."""
        _check_monitor(getattr(schedule, "monitor", None), figures)
        for callback in self._callbacks:
            if callback.adds_figures:
                break
            _check_monitor(callback.monitors, figures)

    def begin(self) -> None:
        """Say that training begins."""
        for callback in self._callbacks:
            self._begun.append(callback)
            callback.on_train_begin(self._net)

    def epoch_ends(self, figures: dict[str, float]) -> bool:
        """Pass the figures of an epoch on; return whether a callback ends the fit."""
        self.history.extend({name: [value] for name, value in figures.items()})
        logs: dict[str, Any] = dict(figures)
        answers = [
            callback.on_epoch_end(self._net, self.history.n_epochs - 1, logs)
            for callback in self._callbacks
        ]
        if any(map(asks_to_stop, answers)):
            self.history.stop_reason = "callback"
            return True
        return False

    def end(self) -> None:
        """Say that training has ended, for whatever reason."""
        for callback in reversed(self._begun):
            callback.on_train_end(self._net, self.history)


def _check_monitor(name: str | None, figures: Sequence[str]) -> None:
    if name is None or name in figures:
        return
    hint = ", which needs early_stopping or X_val" if name.startswith("val_") else ""
    raise ValueError(f"monitor must be one of {', '.join(map(repr, figures))}, got {name!r}{hint}")
