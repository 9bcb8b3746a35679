"""One job for all contestants: who takes part, whose answer is right, and who is how fast."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

from benchmarks.jobs import check, limit
from benchmarks.jobs.worker import ContestantError, Worker
from benchmarks.jobs.workloads import Workload
from benchmarks.machine.ceilings import Ceilings
from benchmarks.machine.timing import Timing, interleave, repeats
from benchmarks.peers import Entry

# Long enough for the threads of the contestant before to stop spinning.
_PAUSE = 0.01


@dataclass(frozen=True)
class Entrant:
    """A contestant that is there."""

    entry: Entry
    worker: Worker


@dataclass
class Result:
    """What came of a job.

    Attributes
    ----------
    workload : Workload
    timings : dict of str to Timing
        Seconds of one unit, by contestant.
    units : dict of str to int
        Units in a timed run.
    ours : set of str
        Names that are mlpfast's own.
    excluded : dict of str to str
        Who was not timed, and why: the job is beyond it, its answer is wrong, or it failed.
    limit : Limit
        Of one unit.
    work : (float, float)
        Operations of one unit, and bytes that come from beyond the caches.
    """

    workload: Workload
    limit: limit.Limit
    work: tuple[float, float] = (0.0, 0.0)
    timings: dict[str, Timing] = field(default_factory=dict)
    units: dict[str, int] = field(default_factory=dict)
    ours: set[str] = field(default_factory=set)
    excluded: dict[str, str] = field(default_factory=dict)

    def best(self, names: set[str]) -> tuple[str, float] | None:
        """Return the fastest of some contestants and its best time, None if none was timed."""
        times = [(t.best, name) for name, t in self.timings.items() if name in names]
        return min(times)[::-1] if times else None

    @property
    def best_peer(self) -> tuple[str, float] | None:
        return self.best(self.timings.keys() - self.ours)

    @property
    def best_ours(self) -> tuple[str, float] | None:
        return self.best(self.ours)

    def as_dict(self) -> dict[str, Any]:
        peer = self.best_peer
        return {
            "workload": asdict(self.workload),
            "limit": asdict(self.limit) | {"total": self.limit.total},
            "flops": self.work[0],
            "bytes": self.work[1],
            "best_peer": peer[0] if peer else None,
            "excluded": self.excluded,
            "results": {
                name: {
                    "best": t.best,
                    "median": t.median,
                    "samples": t.samples,
                    "units": self.units[name],
                    "times_best_peer": peer[1] / t.best if peer else None,
                    "fraction_of_limit": self.limit.total / t.best,
                }
                for name, t in self.timings.items()
            },
        }


def contest(
    workload: Workload,
    entrants: list[Entrant],
    ceilings: Ceilings,
    *,
    rounds: int,
    target: float,
    say: Callable[[str], object] = lambda _: None,
) -> Result:
    """Check and time every entrant on one job.

    Parameters
    ----------
    rounds : int
        Interleaved rounds, A B C A B C ...
    target : float
        Seconds that a timed run should last, as far as the job's `max_units` allows.
    say : callable
        Told what is going on.
    """
    result = Result(
        workload,
        limit.limit(workload, ceilings),
        limit.work(workload, ceilings.l2, ceilings.threads),
    )
    ref = check.reference(workload)
    turns: dict[str, Callable[[], float]] = {}
    for entrant in entrants:
        name, worker = entrant.entry.name, entrant.worker
        try:
            say(f"{workload.name}: checking {name}")
            reason = worker.refuses(workload)
            if reason is None:
                fault = check.fault(ref, worker.short_result(workload))
                reason = fault and f"WRONG, not timed: {fault}"
            if reason is None:
                say(f"{workload.name}: preparing {name}")
                worker.prepare(workload)
                fresh = workload.timed == "epoch"
                units = repeats(partial(worker.seconds, fresh=fresh), target, workload.max_units)
        except ContestantError as error:
            reason = f"failed: {error}"
        if reason is not None:
            result.excluded[name] = reason
            continue
        result.units[name] = units
        if entrant.entry.ours:
            result.ours.add(name)
        turns[name] = partial(_turn, worker, units, fresh)
    say(f"{workload.name}: timing")

    def dropped(name: str, error: Exception) -> None:
        result.excluded[name] = f"failed: {error}"

    result.timings = interleave(turns, rounds, pause=partial(time.sleep, _PAUSE), dropped=dropped)
    for entrant in entrants:
        if entrant.entry.name in result.timings:
            # What fails to let go here shows itself in the next job.
            with contextlib.suppress(ContestantError):
                entrant.worker.release()
    return result


def _turn(worker: Worker, units: int, fresh: bool) -> float:
    """Return the seconds of one unit. An epoch begins afresh; steps and predictions go on."""
    warm = 0 if fresh else units // 10
    return worker.seconds(units, fresh=fresh, warm=warm) / units
