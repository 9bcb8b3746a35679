"""Threads of the Numba backend: how many a run is worth, and how they start and end."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from mlpfast.backends.base import Array
from mlpfast.backends.threads import num_threads
from mlpfast.spec import NetSpec

# A run that may take longer than this goes to a thread of its own, since Python cannot look at
# signals while compiled code holds the main thread; one that may take longer than the second
# number is worth starting threads for, if a step has that many floating-point operations.
_LONG_SECONDS = 0.05
_TEAM_SECONDS = 0.001
_TEAM_FLOPS = 1e6
_WAIT_SECONDS = 0.02


def size_team(
    spec: NetSpec, rows: int, batch_size: int, epochs: int, share: float = 1.0
) -> tuple[int, float]:
    """Return how many threads are worth starting, and how many seconds training may take.

    That is an estimate, rather too high than too low. Meeting must cost less than is won.
    Prediction has a share of the work.
    """
    row = 6 * spec.n_params / 10e9 + sum(spec.sizes) * 5e-9
    step = 1e-6 + spec.n_params * 2e-9
    seconds = share * epochs * (rows * row + -(-rows // batch_size) * step)
    worth = seconds > _TEAM_SECONDS and 6 * spec.n_params * batch_size > _TEAM_FLOPS
    return num_threads() if worth else 1, seconds


def run_team(
    function: Callable[..., Any], team: int, arguments: tuple[Any, ...], seconds: float, stop: Array
) -> Any:
    """Call ``function(tid, team, *arguments)`` in as many threads; return what number 0 does.

    If the caller is interrupted by an exception, `stop` is set to 1 and all threads waited for.
    """
    in_main = threading.current_thread() is threading.main_thread()
    beside = seconds > _LONG_SECONDS and in_main
    if team == 1 and not beside:
        return function(0, 1, *arguments)
    # The threads wait at the gate until it is known how many could be started.
    gate = threading.Event()
    done = [threading.Event() for _ in range(team)]
    size = team
    result: list[Any] = [None]
    errors: list[BaseException] = []

    def work(tid: int) -> None:
        try:
            gate.wait()
            answer = function(tid, size, *arguments)
            if tid == 0:
                result[0] = answer
        except BaseException as error:  # noqa: BLE001 - raised again by the caller
            errors.append(error)
        finally:
            done[tid].set()

    for tid in range(0 if beside else 1, team):
        try:
            threading.Thread(target=work, args=(tid,), name="mlpfast-numba", daemon=True).start()
        except RuntimeError:  # no more threads to be had
            size = tid
            break
    if size == 0:
        return function(0, 1, *arguments)
    gate.set()
    if not beside:
        work(0)
    try:
        # In short waits, so that the main thread wakes up to handle signals. Not Thread.join: in
        # Python 3.11 an exception in it marks a running thread as ended.
        for one in done[:size]:
            while not one.wait(_WAIT_SECONDS):
                pass
    except BaseException:
        # A signal handler of the caller's own raised: nothing may go on writing to the parameters.
        stop[0] = 1
        for one in done[:size]:
            one.wait()
        raise
    if errors:
        raise errors[0]
    return result[0]
