"""What the command line shows and keeps while a net trains."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from mlpfast.backends.base import Array
from mlpfast.training.callbacks import Callback

if TYPE_CHECKING:
    from mlpfast.model import MLP
    from mlpfast.training.history import History

_LINES = 10
#: A line is also due when the last one is this long ago.
_SECONDS = 2.0


class Watch(Callback):
    """Times the training alone, evaluates on held-out rows after each epoch, and shows progress.

    Attributes
    ----------
    seconds : float
        Time spent in training, without evaluating and printing.
    held_out : dict of str to list of float
        The figures of the held-out rows after each epoch, named as in a history with "val_".
    """

    def __init__(
        self,
        epochs: int,
        held_out: tuple[Array, Array] | None,
        metrics: tuple[str, ...],
        input_scale: float,
        *,
        show: bool,
    ) -> None:
        self.epochs, self.rows, self.metrics = epochs, held_out, metrics
        self.input_scale, self.show = input_scale, show
        self.seconds = 0.0
        self.held_out: dict[str, list[float]] = {}
        self._started = self._shown = 0.0

    def on_train_begin(self, net: MLP) -> None:
        """Start the clock."""
        self._started = self._shown = time.perf_counter()

    def on_epoch_end(self, net: MLP, epoch: int, logs: dict[str, float]) -> None:
        """Stop the clock, evaluate, print, and start it again."""
        self.seconds += time.perf_counter() - self._started
        figures = dict(logs)
        if self.rows is not None:
            measured = net.evaluate(*self.rows, metrics=self.metrics, input_scale=self.input_scale)
            for name, value in measured.items():
                self.held_out.setdefault("val_" + name, []).append(value)
                figures["val_" + name] = value
        if self.show and self._due(epoch + 1):
            print(self._line(epoch + 1, figures), file=sys.stderr, flush=True)
            self._shown = time.perf_counter()
        self._started = time.perf_counter()

    def on_train_end(self, net: MLP, history: History) -> None:
        """Count the time since the last epoch, if training broke off within one."""
        if history.n_epochs == 0:
            self.seconds += time.perf_counter() - self._started

    def _due(self, epoch: int) -> bool:
        every = -(-self.epochs // _LINES)
        late = time.perf_counter() - self._shown > _SECONDS
        return epoch in (1, self.epochs) or epoch % every == 0 or late

    def _line(self, epoch: int, figures: dict[str, float]) -> str:
        width = len(str(self.epochs))
        text = f"epoch {epoch:{width}}/{self.epochs}  {self.seconds:7.2f} s"
        for name, value in figures.items():
            if name != "val_loss":
                label = "held out" if name.startswith("val_") else name
                text += f"   {label} {value:.4f}"
        return text
