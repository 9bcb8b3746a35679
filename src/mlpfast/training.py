"""The training loop above the backends: epochs, history, validation, callbacks, interruption."""

from __future__ import annotations

import signal
import threading
import warnings
from collections.abc import Callable, Iterable, Sequence
from types import FrameType
from typing import TYPE_CHECKING, Any

import numpy as np

from mlpfast.backends.base import Array, Data, Report, Trainer
from mlpfast.backends.numpy import l2_term
from mlpfast.callbacks import Callback, as_callback, asks_to_stop
from mlpfast.history import History, summarize
from mlpfast.progress import progress_of
from mlpfast.spec import Optimizer, check_choice, check_int, check_l2
from mlpfast.validation import not_finite

if TYPE_CHECKING:
    from mlpfast.model import MLP

# Nets up to this size may train many epochs in one call of a backend, which then keeps a copy of
# the state to fall back to. Larger ones do where no copy is needed, and the epochs are short: row
# orders of several epochs would take memory, and gain nothing.
_SMALL_NET = 16384
_ORDER_ENTRIES = 1 << 17
# Enough to forget the cost of a call, few enough that what goes in and comes out stays in the cache
# and does not ask the system for memory.
_EPOCHS_A_CALL = 1 << 11

# The functions of `signal` look enumerations up around those of the C module, which takes a good
# part of a short fit.
try:
    from _signal import getsignal as _getsignal  # type: ignore[import-not-found]
    from _signal import signal as _set_signal
except ImportError:  # another Python than CPython
    _getsignal, _set_signal = signal.getsignal, signal.signal
_SIGINT = int(signal.SIGINT)


class TrainingDiverged(ArithmeticError):
    """The loss or a weight became NaN or infinite; the net keeps its last good weights."""


class interruptible:  # noqa: N801 (a context manager, used like a function)
    """Let Ctrl-C set a flag, which backends look at between batches, instead of raising anywhere.

    Only in the main thread, and only where the handler is Python's own: a program that handles
    SIGINT itself keeps its handler. Entering gives the flag, a (1,) uint8 array.
    """

    def __enter__(self) -> Array:
        self._stop = np.zeros(1, np.uint8)
        self._ours = (
            threading.current_thread() is threading.main_thread()
            and _getsignal(_SIGINT) is signal.default_int_handler
        )
        if self._ours:
            _set_signal(_SIGINT, self._on_interrupt)
        return self._stop

    def _on_interrupt(self, _number: int, _frame: FrameType | None) -> None:
        self._stop[0] = 1

    def __exit__(self, *_error: object) -> None:
        if self._ours:
            _set_signal(_SIGINT, signal.default_int_handler)


def fit(
    net: MLP,
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
    _check_monitor(getattr(rate, "monitor", None), metrics, validation)
    for watcher in watchers:
        if watcher.adds_figures:
            break
        _check_monitor(watcher.monitors, metrics, validation)
    if hasattr(rate, "reset"):
        rate.reset()

    history = History()
    trainer = net._trainer_for(optimizer)
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
        begun: list[Callback] = []
        try:
            for watcher in watchers:
                begun.append(watcher)
                watcher.on_train_begin(net)
            while history.n_epochs < epochs and history.stop_reason == "finished" and not stop[0]:
                first = history.n_epochs
                count = min(block, epochs - first)
                orders, keys = _draw(net, count, n if shuffled else 0)
                report = trainer.run(
                    data,
                    orders,
                    _rates(optimizer, first, count, trainer, -(-n // batch_size)),
                    batch_size,
                    l2=factors,
                    want_metrics=bool(metrics),
                    stop=stop,
                    want_penalty=shown,
                    dropout_keys=keys,
                )
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


def _check_monitor(name: str | None, metrics: Sequence[str], validation: Data | None) -> None:
    """Raise if the history will have no such column."""
    if name is None:
        return
    figures = ["loss", *metrics]
    if name.startswith("val_") and validation is None:
        raise ValueError(f"monitor={name!r} needs validation_data")
    check_choice("monitor", name, [*figures, *("val_" + f for f in figures if validation)])


def _rates(optimizer: Optimizer, first: int, count: int, trainer: Trainer, steps: int) -> Array:
    """Return the learning rates of some epochs, of `steps` steps each, that a trainer has next."""
    if not callable(optimizer.learning_rate):
        rate = float(optimizer.learning_rate)
        return np.array([rate]) if count == 1 else np.full(count, rate)  # np.full takes 1 us more
    if optimizer.per_step:
        made = trainer.steps
        rates = [optimizer.learning_rate_at(made + i) for i in range(count * steps)]
        return np.array(rates).reshape(count, steps)
    return np.array([optimizer.learning_rate_at(first + i) for i in range(count)])


def _draw(net: MLP, epochs: int, n: int) -> tuple[Array | None, Array | None]:
    """Return row orders of n rows, if any, and keys for dropout, if there is any."""
    rng: Any = net._rng
    if not net.spec.dropout:
        return (_orders(rng, epochs, n) if n else None), None
    if not n:
        return None, _keys(rng, epochs)
    # In turns, so that it does not matter how many epochs are drawn at once.
    pairs = [(_orders(rng, 1, n), _keys(rng, 1)) for _ in range(epochs)]
    orders, keys = zip(*pairs, strict=True)
    return np.concatenate(orders), np.concatenate(keys)


def _keys(rng: Any, epochs: int) -> Array:
    return np.frombuffer(rng.bytes(8 * epochs), "<u8").astype(np.uint64)


def _orders(rng: Any, epochs: int, n: int) -> Array:
    if epochs == 1:
        return np.asarray(rng.permutation(n)[None], np.int64)
    return np.stack([rng.permutation(n) for _ in range(epochs)]).astype(np.int64, copy=False)


def _take_in(
    net: MLP, data: Data, history: History, report: Report, metrics: Sequence[str], on_bad: str
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
    net: MLP,
    history: History,
    validation: Data | None,
    metrics: Sequence[str],
    l2: Sequence[float],
) -> dict[str, float]:
    """Return the figures of the last epoch, those on the validation data among them."""
    if validation is not None:
        totals = net._backend.evaluate(net.spec, net.params, validation)
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
