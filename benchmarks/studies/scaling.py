"""Job TS: jobs M and W with one thread, two, and so on to all processors of the machine."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

from benchmarks.jobs import check
from benchmarks.jobs.floors import Floor, figure
from benchmarks.jobs.worker import ContestantError, Worker
from benchmarks.jobs.workloads import WORKLOADS, Workload
from benchmarks.machine import host, probe
from benchmarks.machine.timing import interleave, repeats

NAME = "TS"
TITLE = "jobs M and W from 1 thread to all processors"
JOBS = ("M", "W")
#: What the second thread is to gain.
GAIN = 1.9


def counts(most: int) -> list[int]:
    """Return the numbers of threads: all up to 8, then in steps of about a half more."""
    found = list(range(1, min(most, 8) + 1))
    while found[-1] < most:
        found.append(min(most, found[-1] * 3 // 2))
    return found


def run(cpus: list[int], quick: bool) -> dict[str, Any]:
    """Return, by job, the least seconds of a unit for each number of threads."""
    cpus = host.usable_cpus()  # the sweep goes beyond the threads of the other jobs
    found: dict[str, Any] = {}
    for w in WORKLOADS:
        if w.name in JOBS:
            found[w.name] = {"title": w.title, "seconds": _sweep(w, cpus, quick)}
    return found


def _sweep(w: Workload, cpus: list[int], quick: bool) -> dict[str, float]:
    workers: dict[str, Worker] = {}
    turns = {}
    fresh = w.timed == "epoch"
    try:
        ref = check.reference(w)
        for n in counts(len(cpus)):
            worker = workers[str(n)] = Worker("cpp", cpus[:n])
            fault = check.fault(ref, worker.short_result(w))
            if fault:
                raise probe.ProbeError(f"{w.name} with {n} threads is wrong: {fault}")
            worker.prepare(w)
            timed = partial(worker.seconds, fresh=fresh)
            units = repeats(timed, 0.02 if quick else 0.3, w.max_units)
            turns[str(n)] = partial(_turn, worker, units, fresh)
        pause = partial(time.sleep, 0.01)
        timings = interleave(turns, 2 if quick else 7, pause=pause)
        return {n: timing.best for n, timing in timings.items()}
    except ContestantError as error:
        raise probe.ProbeError(str(error)) from None
    finally:
        for worker in workers.values():
            worker.close()


def _turn(worker: Worker, units: int, fresh: bool) -> float:
    return worker.seconds(units, fresh=fresh) / units


def lines(facts: dict[str, Any]) -> list[str]:
    """Return the table."""
    table = [f"{NAME}  {TITLE}"]
    for name, job in facts.items():
        table.append(f"  {name}: {job['title']}")
        table.append(f"    {'threads':>8}{'ms':>12}{'gain':>8}")
        for n, s in job["seconds"].items():
            gain = job["seconds"]["1"] / s
            table.append(f"    {n:>8}{figure(s * 1e3):>12}{gain:>7.2f}x")
    return table


def floors(facts: dict[str, Any]) -> list[Floor]:
    """Judge the second thread."""
    judged = []
    for name, job in facts.items():
        if "2" in job["seconds"]:
            gain = job["seconds"]["1"] / job["seconds"]["2"]
            demand = f"{name} from 1 to 2 threads (TS) gains at least {GAIN} x"
            judged.append(Floor(demand, f"{gain:.2f} x", gain >= GAIN))
    return judged
