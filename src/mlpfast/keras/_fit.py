"""Between `MLP.fit` and Keras' callbacks: the names of the figures, the progress, the end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mlpfast import callbacks as engine_callbacks
from mlpfast.keras.callbacks import Callback, History
from mlpfast.keras.metrics import Metric
from mlpfast.progress import progress_of
from mlpfast.spec import check_choice

if TYPE_CHECKING:
    from mlpfast import history as engine_history
    from mlpfast.keras.models import Sequential
    from mlpfast.model import MLP


class Bridge(engine_callbacks.Callback):
    """Runs Keras' callbacks, and shows progress, in the place of one of mlpfast's.

    Parameters
    ----------
    model : Sequential
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
        model: Sequential,
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
        self._progress = progress_of(verbose, params["epochs"])
        self._history = History()
        for watcher in (*self._watchers, self._history):
            watcher.set_model(model)
            watcher.set_params({"verbose": verbose, **params})

    @property
    def needed(self) -> bool:
        """Whether there is anything to do within the fit.

        Without it, many epochs of a small net are one call into compiled code.
        """
        return bool(self._watchers or self._progress)

    def on_train_begin(self, net: MLP) -> None:
        for progress in self._progress:
            progress.on_train_begin(net)
        for watcher in self._watchers:
            watcher.on_train_begin({})
        self._begin_epoch(self._first)

    def _begin_epoch(self, epoch: int) -> None:
        if epoch < self._epochs:
            for watcher in self._watchers:
                watcher.on_epoch_begin(epoch, {})

    def on_epoch_end(self, net: MLP, epoch: int, logs: dict[str, float]) -> bool:
        epoch += self._first
        figures: dict[str, Any] = self._named(logs)
        for progress in self._progress:
            progress.on_epoch_end(net, epoch, figures)
        for watcher in self._watchers:
            watcher.on_epoch_end(epoch, figures)
        self._history.on_epoch_end(epoch, figures)
        if not self._model.stop_training:
            self._begin_epoch(epoch + 1)
        return self._model.stop_training

    def on_train_end(self, net: MLP, history: engine_history.History) -> None:
        for watcher in self._watchers:
            watcher.on_train_end({})
        for progress in self._progress:
            progress.on_train_end(net, history)

    def result(self, history: engine_history.History) -> History:
        """Return Keras' history of a fit that has ended."""
        if not self.needed:
            self._history.history = self._named(history.history)
            self._history.epoch = [self._first + epoch for epoch in history.epoch]
        return self._history

    def _named(self, columns: dict[str, Any]) -> dict[str, Any]:
        """Return the figures in Keras' order and under the names that `compile` was given."""
        names = {"loss": "loss", **{metric.name: metric.engine_name for metric in self._metrics}}
        found = {name: columns[ours] for name, ours in sorted(names.items()) if ours in columns}
        for name, ours in sorted(names.items()):
            if "val_" + ours in columns:
                found["val_" + name] = columns["val_" + ours]
        return found
