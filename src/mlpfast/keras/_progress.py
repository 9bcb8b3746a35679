"""The lines that Keras prints about an epoch and about an evaluation."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import Any


class EpochLines:
    """Two lines an epoch, its number before and its figures after it, on standard output.

    Parameters
    ----------
    epochs : int
        Number of the last epoch, counted from 1.
    steps : int
        Batches in an epoch.
    """

    def __init__(self, epochs: int, steps: int) -> None:
        self._epochs, self._steps = epochs, steps

    def begin(self, epoch: int) -> None:
        """Say which epoch begins, counted from 0."""
        print(f"Epoch {epoch + 1}/{self._epochs}", flush=True)
        self._start = time.perf_counter()

    def end(self, figures: Mapping[str, Any]) -> None:
        """Say what came of it."""
        print_line(self._steps, time.perf_counter() - self._start, figures)


def print_line(steps: int, seconds: float, figures: Mapping[str, Any]) -> None:
    """Print how many batches there were, how long they took, and the figures."""
    parts = [f"{steps}/{steps}", f"{seconds:.0f}s", f"{_short(seconds / steps)}/step"]
    print(" - ".join([*parts, *(f"{name}: {_figure(x)}" for name, x in figures.items())]))
    sys.stdout.flush()


def _short(seconds: float) -> str:
    for unit, scale in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= scale:
            return f"{seconds / scale:.0f}{unit}"
    return f"{seconds * 1e6:.0f}us"


def _figure(value: float) -> str:
    return f"{value:.4f}" if abs(value) > 1e-3 else f"{value:.4e}"
