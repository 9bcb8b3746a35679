"""Ctrl-C as a flag that backends look at between batches."""

from __future__ import annotations

import signal
import threading
from types import FrameType

import numpy as np

from mlpfast.backends.base import Array

# The functions of `signal` look enumerations up around those of the C module, which takes a good
# part of a short fit.
try:
    from _signal import getsignal as _getsignal  # type: ignore[import-not-found]
    from _signal import signal as _set_signal
except ImportError:  # another Python than CPython
    _getsignal, _set_signal = signal.getsignal, signal.signal
_SIGINT = int(signal.SIGINT)


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
