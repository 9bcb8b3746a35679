"""Training a net as a job says, and the NumPy reference on the same job."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from mlpfast.backends.base import Array
from mlpfast.cli.source import Model
from mlpfast.cli.watch import Watch
from mlpfast.model import MLP
from mlpfast.spec import Optimizer
from mlpfast.training import TrainingDiverged
from mlpfast.training.history import History

#: The reference trains in full if that takes no longer than this, else about this long.
_REFERENCE_SECONDS = 3.0
_TIMED_BATCHES = 8


@dataclass(frozen=True)
class Job:
    """Rows as the net takes them, and how it is to be trained."""

    X: Array
    y: Array
    held_out: tuple[Array, Array] | None
    model: Model
    optimizer: Optimizer
    batch_size: int
    epochs: int
    metrics: tuple[str, ...]


def train(net: MLP, job: Job, *, show: bool) -> tuple[History, float]:
    """Train a net; return what happened, held-out figures included, and the seconds it took."""
    _warm_up(net, job)
    watch = Watch(job.epochs, job.held_out, job.metrics, job.model.input_scale, show=show)
    try:
        history = net.fit(
            job.X,
            job.y,
            epochs=job.epochs,
            batch_size=job.batch_size,
            optimizer=job.optimizer,
            metrics=job.metrics,
            callbacks=[watch],
            input_scale=job.model.input_scale,
        )
    except TrainingDiverged:
        raise _diverged() from None
    history.history.update(watch.held_out)
    return history, watch.seconds


def _warm_up(net: MLP, job: Job) -> None:
    """Let compilers and threads start on a copy, so that the clock shows the work alone."""
    rows = slice(0, 2 * job.batch_size)
    history = net.copy().fit(
        job.X[rows],
        job.y[rows],
        batch_size=job.batch_size,
        optimizer=job.optimizer,
        metrics=job.metrics,
        input_scale=job.model.input_scale,
        on_nonfinite="stop",
    )
    _not_interrupted(history)


def compare(
    twin: MLP, rng: np.random.Generator, job: Job, seconds: float, *, in_full: bool
) -> dict[str, Any]:
    """Train the NumPy twin on the same rows in the same order, or on a part of an epoch.

    Returns
    -------
    dict
        seconds (of the full run, extrapolated if `extrapolated`), trained_rows, speedup, and after
        a full run the figures of the rows held out, or of the training rows.
    """
    n = len(job.X)
    part = min(n, _TIMED_BATCHES * job.batch_size)
    estimate = _reference_seconds(twin.copy(), job, np.arange(part)) * n / part * job.epochs
    if in_full or estimate <= _REFERENCE_SECONDS:
        history, taken = train(twin, job, show=False)
        _not_interrupted(history)
        figures = twin.evaluate(
            *(job.held_out or (job.X, job.y)),
            metrics=job.metrics,
            input_scale=job.model.input_scale,
        )
        return {
            "seconds": taken,
            "trained_rows": n * job.epochs,
            "extrapolated": False,
            "speedup": taken / seconds,
            **({"held_out": figures} if job.held_out else {"train": figures}),
        }
    epochs = _REFERENCE_SECONDS / (estimate / job.epochs)
    batches = max(_TIMED_BATCHES, round(epochs * n / job.batch_size))
    order = rng.permutation(n)[: batches * job.batch_size]
    taken = _reference_seconds(twin, job, order) * n / len(order) * job.epochs
    return {
        "seconds": taken,
        "trained_rows": len(order),
        "extrapolated": True,
        "speedup": taken / seconds,
    }


def _reference_seconds(twin: MLP, job: Job, rows: Array) -> float:
    """Train one epoch on the given rows, in their order, and return the time it took."""
    X, y = job.X[rows], job.y[rows]
    began = time.perf_counter()
    history = twin.fit(
        X,
        y,
        batch_size=job.batch_size,
        optimizer=job.optimizer,
        shuffle=False,
        metrics=job.metrics,
        input_scale=job.model.input_scale,
    )
    _not_interrupted(history)
    return time.perf_counter() - began


def _diverged() -> TrainingDiverged:
    return TrainingDiverged(
        "training diverged: the loss or the weights became NaN or infinite; try a smaller --lr"
    )


def _not_interrupted(history: History) -> None:
    """Raise what `fit` swallowed, where a half-done fit is of no use."""
    if history.stop_reason == "interrupted":
        raise KeyboardInterrupt
