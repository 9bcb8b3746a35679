"""Training above the backends: what `MLP.fit` checks, records and reports around its epochs."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import numpy as np

from mlpfast.arrays import not_finite
from mlpfast.backends.base import Array, Data, Epochs, Report, RunOptions
from mlpfast.backends.numpy import l2_term
from mlpfast.net import Net
from mlpfast.spec import Optimizer, check_choice, check_int, check_l2
from mlpfast.training.callbacks import Callback, CallbackList
from mlpfast.training.epochs import EpochRunner, dropout_keys, permutations, scheduled_rates
from mlpfast.training.history import History, check_monitor, summarize
from mlpfast.training.interrupt import interruptible
from mlpfast.training.progress import progress_of

# Nets up to this size may train many epochs in one call of a backend, which then keeps a copy of
# the state to fall back to. Larger ones do where no copy is needed, and the epochs are short: row
# orders of several epochs would take memory, and gain nothing.
_SMALL_NET = 16384
_ORDER_ENTRIES = 1 << 17
# Enough to forget the cost of a call, few enough that what goes in and comes out stays in the cache
# and does not ask the system for memory.
_EPOCHS_A_CALL = 1 << 11


class TrainingDiverged(ArithmeticError):
    """The loss or a weight became NaN or infinite; the net keeps its last good weights."""


def fit(
    net: Net,
    data: Data,
    optimizer: Optimizer,
    *,
    epochs: int,
    batch_size: int,
    shuffle: bool,
    validation: Data | None,
    metrics: Sequence[str],
    l2: float | Sequence[float],
    l2_in_loss: bool,
    callbacks: Iterable[Callback | Callable[..., Any]],
    verbose: int,
    on_nonfinite: str,
) -> History:
    """Train `net` on checked data; see `MLP.fit`."""
    check_int("epochs", epochs, 0)
    check_int("batch_size", batch_size, 1)
    factors = check_l2(l2, net.spec.n_layers)
    if not isinstance(l2_in_loss, bool):
        raise TypeError(f"l2_in_loss must be True or False, got {l2_in_loss!r}")
    shown = l2_in_loss and any(factors)
    check_choice("on_nonfinite", on_nonfinite, ("raise", "stop"))
    if not isinstance(callbacks, Iterable):
        raise TypeError(f"callbacks must be a list, got {type(callbacks).__name__}")
    history = History()
    given = [*callbacks, *progress_of(verbose, epochs)]
    watchers = CallbackList(net, given, history) if given else None
    rate: Any = optimizer.learning_rate
    if watchers is not None:
        for name in watchers.monitored():
            check_monitor(name, metrics, validation is not None)
    if callable(rate):
        check_monitor(getattr(rate, "monitor", None), metrics, validation is not None)
        if hasattr(rate, "reset"):
            rate.reset()

    n = len(data)
    shuffled = shuffle and batch_size < n  # the order within one batch only changes the rounding
    observe = getattr(rate, "observe", None)
    one_by_one = watchers is not None or validation is not None or observe is not None
    block = 1
    if not one_by_one and net.spec.n_params <= _SMALL_NET:
        block = max(1, _ORDER_ENTRIES // n) if shuffled else _EPOCHS_A_CALL
    elif not one_by_one and net.trainer_for(optimizer).saves_each_epoch and not shuffled:
        block = _EPOCHS_A_CALL
    if optimizer.per_step:
        block = min(block, max(1, _ORDER_ENTRIES * batch_size // n))

    with interruptible() as stop:
        options = RunOptions(
            batch_size, factors, stop, want_metrics=bool(metrics), want_penalty=shown
        )
        fitting = _Fit(net, data, optimizer, options, history, metrics, on_nonfinite)
        rng: Any = net.generator
        fitting.orders = partial(permutations, rng, n) if shuffled else None
        fitting.keys = partial(dropout_keys, rng) if net.spec.dropout else None
        if one_by_one:
            fitting.one_by_one = True
            fitting.validation, fitting.callbacks = validation, watchers
            fitting.observe = observe
        try:
            if watchers is not None:
                watchers.begin()
            fitting.run(epochs, block)
            if stop[0]:
                _interrupted(history)
        finally:
            if watchers is not None:
                watchers.end()
    return history


class _Fit(EpochRunner):
    """The epochs of a call of `fit`: its history, and what has to be told after each of them."""

    #: Whether each epoch has to be looked at on its own, and what for.
    one_by_one = False
    validation: Data | None = None
    callbacks: CallbackList | None = None
    observe: Callable[[dict[str, float]], None] | None = None

    def __init__(
        self,
        net: Net,
        data: Data,
        optimizer: Optimizer,
        options: RunOptions,
        history: History,
        metrics: Sequence[str],
        on_nonfinite: str,
    ) -> None:
        self.net, self.data, self.optimizer, self.options = net, data, optimizer, options
        self.history, self.metrics, self.on_nonfinite = history, metrics, on_nonfinite
        self.trainer, self.stop = net.trainer_for(optimizer), options.stop

    def rates(self, first: int, count: int) -> Array:
        optimizer = self.optimizer
        if not callable(optimizer.learning_rate):
            rate = float(optimizer.learning_rate)
            # np.full takes 1 us more
            return np.array([rate]) if count == 1 else np.full(count, rate)
        if not optimizer.per_step:
            return scheduled_rates(optimizer.learning_rate_at, first, count)
        steps, made = -(-len(self.data) // self.options.batch_size), self.trainer.steps
        return scheduled_rates(
            optimizer.learning_rate_at, first, count, steps=steps, steps_made=made
        )

    def train(self, epochs: Epochs) -> Report:
        return self.trainer.run(self.data, epochs, self.options)

    def end(self, first: int, report: Report) -> bool:
        history, net = self.history, self.net
        if len(report.totals):
            history.extend(summarize(net.spec, report.totals, self.metrics))
        if report.status == "ok":
            if not self.one_by_one:
                return True
            logs = self._logs()
            if self.observe is not None:
                self.observe(logs)
            return self.callbacks is None or not self.callbacks.epoch_end(first, logs)
        if report.status == "interrupted":
            return True  # which the runner sees for itself
        net.reset_optimizer()  # its moments may be as bad as the rows or the loss
        if report.status == "bad_input":
            raise not_finite("X", self.data.x, report.row)
        if self.on_nonfinite == "raise":
            raise TrainingDiverged(
                f"the loss or the weights became NaN or infinite in epoch {history.n_epochs}; "
                "the net keeps its weights from before that epoch. Try a smaller learning rate "
                "or scaled inputs, or on_nonfinite='stop' to stop without an error"
            )
        history.stop_reason = "diverged"
        return False

    def _logs(self) -> dict[str, float]:
        """Return the figures of the last epoch, those on the validation data among them."""
        net, columns = self.net, self.history.history
        if self.validation is not None:
            totals = net.engine.evaluate(net.spec, net.params, self.validation)
            figures = summarize(net.spec, totals[None], self.metrics)
            if self.options.want_penalty:
                figures["loss"][0] += l2_term(net.spec, net.params, self.options.l2)
            for name, values in figures.items():
                columns.setdefault("val_" + name, []).extend(values)
        return {name: values[-1] for name, values in columns.items()}


def _interrupted(history: History) -> None:
    history.stop_reason = "interrupted"
    warnings.warn(
        f"training was interrupted in epoch {max(history.n_epochs - 1, 0)}; "
        "the net keeps the weights it had reached",
        RuntimeWarning,
        stacklevel=4,  # whoever called `MLP.fit`
    )
