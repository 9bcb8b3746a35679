"""The training loop above the backends: epochs, history, validation, callbacks, interruption."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from mlpfast.arrays import not_finite
from mlpfast.backends.base import Data, Epochs, Report, RunOptions
from mlpfast.backends.numpy import l2_term
from mlpfast.net import Net
from mlpfast.spec import Optimizer, check_choice, check_int, check_l2
from mlpfast.training.callbacks import Callback, as_callback, asks_to_stop
from mlpfast.training.epochs import draw, learning_rates
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
    watchers = [as_callback(c) for c in callbacks]
    watchers += progress_of(verbose, epochs)
    rate = optimizer.learning_rate
    observe = getattr(rate, "observe", None)
    check_monitor(getattr(rate, "monitor", None), metrics, validation is not None)
    for watcher in watchers:
        if watcher.adds_figures:
            break
        check_monitor(watcher.monitors, metrics, validation is not None)
    if hasattr(rate, "reset"):
        rate.reset()

    history = History()
    trainer = net.trainer_for(optimizer)
    n = len(data)
    shuffled = shuffle and batch_size < n  # the order within one batch only changes the rounding
    one_by_one = bool(watchers or validation is not None or observe)
    block = 1
    if not one_by_one and net.spec.n_params <= _SMALL_NET:
        block = max(1, _ORDER_ENTRIES // n) if shuffled else _EPOCHS_A_CALL
    elif not one_by_one and trainer.saves_each_epoch and not shuffled:
        block = _EPOCHS_A_CALL
    if optimizer.per_step:
        block = min(block, max(1, _ORDER_ENTRIES * batch_size // n))

    with interruptible() as stop:
        options = RunOptions(
            batch_size, factors, stop, want_metrics=bool(metrics), want_penalty=shown
        )
        begun: list[Callback] = []
        try:
            for watcher in watchers:
                begun.append(watcher)
                watcher.on_train_begin(net)
            while history.n_epochs < epochs and history.stop_reason == "finished" and not stop[0]:
                first = history.n_epochs
                count = min(block, epochs - first)
                orders, keys = draw(net, count, n if shuffled else 0)
                rates = learning_rates(optimizer, first, count, trainer, -(-n // batch_size))
                report = trainer.run(data, Epochs(rates, orders, keys), options)
                _take_in(net, data, history, report, metrics, on_nonfinite)
                if not one_by_one or report.status != "ok":
                    continue
                logs = _logs(net, history, validation, metrics, factors if shown else ())
                if observe:
                    observe(logs)
                for watcher in watchers:
                    if asks_to_stop(watcher.on_epoch_end(net, first, logs)):
                        history.stop_reason = "callback"
            if stop[0] and history.stop_reason != "interrupted":
                _interrupted(history)
        finally:
            for watcher in reversed(begun):
                watcher.on_train_end(net, history)
    return history


def _take_in(
    net: Net, data: Data, history: History, report: Report, metrics: Sequence[str], on_bad: str
) -> None:
    """Enter a backend's report into the history, or raise what it calls for."""
    if len(report.totals):
        history.extend(summarize(net.spec, report.totals, metrics))
    if report.status == "interrupted":
        _interrupted(history)
    elif report.status == "bad_input":
        net.reset_optimizer()
        raise not_finite("X", data.x, report.row)
    elif report.status == "diverged":
        net.reset_optimizer()  # its moments may hold the same infinities
        if on_bad == "raise":
            raise TrainingDiverged(
                f"the loss or the weights became NaN or infinite in epoch {history.n_epochs}; "
                "the net keeps its weights from before that epoch. Try a smaller learning rate "
                "or scaled inputs, or on_nonfinite='stop' to stop without an error"
            )
        history.stop_reason = "diverged"


def _logs(
    net: Net,
    history: History,
    validation: Data | None,
    metrics: Sequence[str],
    l2: Sequence[float],
) -> dict[str, float]:
    """Return the figures of the last epoch, those on the validation data among them."""
    if validation is not None:
        totals = net.engine.evaluate(net.spec, net.params, validation)
        columns = summarize(net.spec, totals[None], metrics)
        if l2:
            columns["loss"][0] += l2_term(net.spec, net.params, l2)
        for name, values in columns.items():
            history.history.setdefault("val_" + name, []).extend(values)
    return {name: values[-1] for name, values in history.history.items()}


def _interrupted(history: History) -> None:
    history.stop_reason = "interrupted"
    warnings.warn(
        f"training was interrupted in epoch {max(history.n_epochs - 1, 0)}; "
        "the net keeps the weights it had reached",
        RuntimeWarning,
        stacklevel=4,
    )
