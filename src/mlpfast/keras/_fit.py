"""Between `MLP.fit` and Keras' callbacks: the names of the figures, the progress, the end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mlpfast.keras._callback import Callback, Trainee
from mlpfast.keras._progress import EpochLines
from mlpfast.keras.callbacks import History, TerminateOnNaN
from mlpfast.keras.metrics import Metric
from mlpfast.spec import check_choice
from mlpfast.training import TrainingDiverged
from mlpfast.training import callbacks as engine_callbacks
from mlpfast.training.progress import ProgressBar, progress_of

if TYPE_CHECKING:
    from mlpfast.model import MLP
    from mlpfast.training import history as engine_history


class Bridge(engine_callbacks.Callback):
    """Runs Keras' callbacks, and shows progress, in the place of one of mlpfast's.

    Parameters
    ----------
    model : Trainee
    watchers : list of Callback
    metrics : list of Metric
    verbose : {"auto", 0, 1, 2}
    params : dict
        For `Callback.set_params`, "verbose" missing.
    first : int
        Number of the first epoch.
    """

    def __init__(
        self,
        model: Trainee,
        watchers: Sequence[Callback],
        metrics: Sequence[Metric],
        verbose: Any,
        params: dict[str, Any],
        first: int,
    ) -> None:
        if isinstance(verbose, str):
            check_choice("verbose", verbose, ("auto",))
            verbose = 1
        self._model, self._watchers, self._metrics = model, list(watchers), metrics
        self._epochs, self._first = params["epochs"], first
        shown = progress_of(verbose, params["epochs"])
        self._bar = next((bar for bar in shown if isinstance(bar, ProgressBar)), None)
        self._lines = None
        if shown and self._bar is None:
            self._lines = EpochLines(params["epochs"], params["steps"])
        self._last: dict[str, Any] = {}
        self.history = History()
        for watcher in (*self._watchers, self.history):
            watcher.set_model(model)
            watcher.set_params({"verbose": verbose, **params})

    @property
    def needed(self) -> bool:
        """Whether there is anything to do within the fit.

        Without it, many epochs of a small net are one call into compiled code.
        """
        return bool(self._watchers or self._bar or self._lines)

    @property
    def on_nonfinite(self) -> str:
        """What `MLP.fit` is to do about a loss that is not finite."""
        ends = any(isinstance(watcher, TerminateOnNaN) for watcher in self._watchers)
        return "stop" if ends else "raise"

    def on_train_begin(self, net: MLP) -> None:
        if self._bar is not None:
            self._bar.on_train_begin(net)
        for watcher in self._watchers:
            watcher.on_train_begin({})
        self._begin_epoch(self._first)

    def _begin_epoch(self, epoch: int) -> None:
        if epoch < self._epochs:
            if self._lines is not None:
                self._lines.begin(epoch)
            for watcher in self._watchers:
                watcher.on_epoch_begin(epoch, {})

    def on_epoch_end(self, net: MLP, epoch: int, logs: dict[str, float]) -> bool:
        epoch += self._first
        figures: dict[str, Any] = self._named(logs)
        if self._bar is not None:
            self._bar.on_epoch_end(net, epoch, figures)
        if self._lines is not None:
            self._lines.end(figures)
        measured = {k.removeprefix("val_"): v for k, v in figures.items() if k.startswith("val_")}
        for watcher in self._watchers:
            if measured:
                watcher.on_test_begin({})
                watcher.on_test_end(measured)
        for watcher in self._watchers:
            watcher.on_epoch_end(epoch, figures)
        self.history.on_epoch_end(epoch, figures)
        self._last = figures
        if not self._model.stop_training:
            self._begin_epoch(epoch + 1)
        return self._model.stop_training

    def on_train_end(self, net: MLP, history: engine_history.History) -> None:
        for watcher in self._watchers:
            watcher.on_train_end(self._last)
        if self._bar is not None:
            self._bar.on_train_end(net, history)
        if history.stop_reason == "diverged" and self.on_nonfinite == "stop":
            print("Invalid loss, terminating training")

    def result(self, history: engine_history.History) -> History:
        """Return Keras' history of a fit that has ended."""
        if not self.needed:
            self.history.history = self._named(history.history)
            self.history.epoch = [self._first + epoch for epoch in history.epoch]
        return self.history

    def _named(self, columns: dict[str, Any]) -> dict[str, Any]:
        """Return the figures in Keras' order and under the names that `compile` was given."""
        names = {"loss": "loss", **{metric.name: metric.engine_name for metric in self._metrics}}
        found = {name: columns[ours] for name, ours in sorted(names.items()) if ours in columns}
        for name, ours in sorted(names.items()):
            if "val_" + ours in columns:
                found["val_" + name] = columns["val_" + ours]
        return found


def diverged(error: TrainingDiverged) -> TrainingDiverged:
    """Return the error of a fit in the terms of this face."""
    what = str(error).partition(". Try")[0]
    return TrainingDiverged(
        f"{what}. Try a smaller learning rate or scaled inputs; with callbacks.TerminateOnNaN() a "
        "fit ends so without an error"
    )
