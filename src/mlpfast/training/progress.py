"""Progress on long work: a tqdm bar where tqdm is installed and verbose=1, else plain lines."""

from __future__ import annotations

import sys
import time
from typing import Any

from mlpfast.spec import check_int
from mlpfast.training.callbacks import Callback
from mlpfast.training.history import History


class ProgressLines(Callback):
    """A line an epoch on standard output."""

    adds_figures = False

    def __init__(self, epochs: int) -> None:
        self.epochs = epochs

    def on_train_begin(self, net: Any) -> None:
        self._start = time.perf_counter()

    def on_epoch_end(self, net: Any, epoch: int, logs: dict[str, float]) -> None:
        now = time.perf_counter()
        figures = "  ".join(f"{name} {value:.4f}" for name, value in logs.items())
        width = len(str(self.epochs))
        print(f"epoch {epoch + 1:{width}}/{self.epochs}  {now - self._start:6.2f} s  {figures}")
        self._start = now
        sys.stdout.flush()


class ProgressBar(Callback):
    """A tqdm bar over the epochs, on standard error."""

    adds_figures = False

    def __init__(self, tqdm: Any, epochs: int) -> None:
        self._tqdm, self.epochs = tqdm, epochs

    def on_train_begin(self, net: Any) -> None:
        self._bar = self._tqdm(total=self.epochs, unit="epoch")

    def on_epoch_end(self, net: Any, epoch: int, logs: dict[str, float]) -> None:
        self._bar.set_postfix({name: f"{value:.4f}" for name, value in logs.items()}, refresh=False)
        self._bar.update()

    def on_train_end(self, net: Any, history: History) -> None:
        self._bar.close()


def progress_of(verbose: int | bool, epochs: int) -> list[Callback]:
    """Return the callback that shows progress: none for 0, a bar for 1, lines for 2."""
    level = int(verbose) if isinstance(verbose, bool) else check_int("verbose", verbose, 0)
    if level > 2:
        raise ValueError(f"verbose must be 0, 1 or 2, got {verbose}")
    if level == 1:
        try:
            from tqdm.auto import tqdm
        except ImportError:
            return [ProgressLines(epochs)]
        return [ProgressBar(tqdm, epochs)]
    return [ProgressLines(epochs)] if level else []
