"""Interleaved rounds, how often to repeat, and what to keep: the best and the median."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Timing:
    """Seconds a unit took, one sample a round."""

    samples: tuple[float, ...]

    @property
    def best(self) -> float:
        return min(self.samples)

    @property
    def median(self) -> float:
        return statistics.median(self.samples)


def seconds(work: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    """Return how long `work` takes, with the garbage collector out of the way."""
    was_enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        begin = clock()
        work()
        return clock() - begin
    finally:
        if was_enabled:
            gc.enable()


def repeats(run: Callable[[int], float], target: float, most: int) -> int:
    """Return how many units make a run of about `target` seconds, 1 to `most`.

    `run(k)` does k units and returns the seconds they took. The first run only warms up: it may
    compile. Then k grows, tenfold at most, until the time is worth relying on; a run's fixed cost
    no longer counts by then.
    """
    run(1)
    k = 1
    while k < most:
        taken = run(k)
        wanted = max(1, min(most, round(k * target / max(taken, 1e-9))))
        if taken >= target / 4:
            return wanted
        k = min(wanted, 10 * k) if wanted > k else k + 1
    return most


def interleave(
    turns: Mapping[str, Callable[[], float]],
    rounds: int,
    *,
    patience: float = 20.0,
    pause: Callable[[], object] = lambda: None,
    dropped: Callable[[str, Exception], object] | None = None,
) -> dict[str, Timing]:
    """Return the timings of A B C A B C ...: what disturbs the machine disturbs all alike.

    A turn returns the seconds of one unit. One whose turns have lasted longer than `patience`
    seconds in all sits out after its second round. `pause` comes before each turn, so that idling
    threads of the contestant before have gone to sleep. A turn that raises goes to `dropped`, and
    neither it nor its earlier samples count; without `dropped` the error is raised.
    """
    samples: dict[str, list[float]] = {name: [] for name in turns}
    spent = dict.fromkeys(turns, 0.0)
    for _ in range(rounds):
        for name, turn in turns.items():
            if name not in samples or (len(samples[name]) >= 2 and spent[name] > patience):
                continue
            pause()
            begin = time.perf_counter()
            try:
                samples[name].append(turn())
            except Exception as error:
                if dropped is None:
                    raise
                dropped(name, error)
                del samples[name]
                continue
            spent[name] += time.perf_counter() - begin
    return {name: Timing(tuple(values)) for name, values in samples.items()}
