"""The demands on mlpfast's speed, each judged by the best times of one run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.jobs.contest import Result

UNITS = {"s": 1.0, "ms": 1e-3, "us": 1e-6}


@dataclass(frozen=True)
class Floor:
    """One demand: what is asked, what was measured (None: not measured), whether it is met."""

    demand: str
    measured: str | None
    met: bool | None


def figure(value: float) -> str:
    """Return a number with three significant digits, without an exponent where that is short."""
    if value >= 1000:
        return f"{value:,.0f}"
    digits = 0 if value >= 100 else 1 if value >= 10 else 2 if value >= 1 else 3
    return f"{value:.{digits}f}" if value >= 0.01 or value == 0 else f"{value:.2g}"


def scale_of(result: Result) -> float:
    """Return what the seconds of a unit are divided by, to give the job's printed figure."""
    return UNITS[result.workload.unit] / result.workload.per


Judge = Callable[[Result], tuple[str, bool] | None]


def within_limit(times: float) -> Judge:
    """Return a judge: mlpfast takes at most `times` the limit."""

    def judge(result: Result) -> tuple[str, bool] | None:
        ours, limit = result.best_ours, result.limit.total
        if ours is None:
            return None
        figures = f"{_time(result, ours)}, limit {figure(limit / scale_of(result))}"
        return f"{figures}: {ours[1] / limit:.2f} x", ours[1] <= times * limit

    return judge


def near_bandwidth(times: float, call: float) -> Judge:
    """Return a judge: at most `times` the limit of one row and the cost of a call in seconds."""

    def judge(result: Result) -> tuple[str, bool] | None:
        ours, most = result.best_ours, times * result.limit.total + call
        if ours is None:
            return None
        figures = f"{_time(result, ours)}, allowed {figure(most / scale_of(result))}"
        return figures, ours[1] <= most

    return judge


def within(seconds: float) -> Judge:
    """Return a judge: mlpfast takes at most so many seconds a unit."""

    def judge(result: Result) -> tuple[str, bool] | None:
        ours = result.best_ours
        return None if ours is None else (_time(result, ours), ours[1] <= seconds)

    return judge


#: Who is meant by a peer in Python: not the program written by hand, which is no library.
PYTHON_PEERS = frozenset(
    {"torch", "torch-compile", "jax", "keras-jax", "keras-torch", "sklearn", "onnxruntime"}
)
PYTORCH = frozenset({"torch", "torch-compile"})
JAX = frozenset({"jax"})


def as_fast(
    times: float, rivals: frozenset[str] = PYTHON_PEERS, ours: frozenset[str] | None = None
) -> Judge:
    """Return a judge: `times` as fast as the best rival; `ours` narrows who counts as mlpfast."""

    def judge(result: Result) -> tuple[str, bool] | None:
        best = result.best(set(ours)) if ours else result.best_ours
        rival = result.best(set(rivals))
        if best is None or rival is None:
            return None
        ratio = rival[1] / best[1]
        other = f"{rival[0]} {figure(rival[1] / scale_of(result))}"
        figures = f"{_time(result, best)}, {other}: {ratio:.2f} x as fast"
        most = rival[1] / result.limit.total
        if most < times:  # a rival so near to the machine's limit leaves no room for the demand
            figures += f" ({most:.2f} x at the limit)"
        return figures, ratio >= times

    return judge


def _time(result: Result, entry: tuple[str, float]) -> str:
    return f"mlpfast {entry[0]} {figure(entry[1] / scale_of(result))} {result.workload.unit}"


NUMBA = frozenset({"numba"})
P1_SECONDS, P2_CALL = 0.6e-6, 0.3e-6
#: Job, what is asked of it, and the judge.
DEMANDS: tuple[tuple[str, str, Judge], ...] = (
    ("M", "within 1.20 x the limit", within_limit(1.20)),
    ("M", "2.0 x as fast as the best Python peer", as_fast(2.0)),
    ("M", "Numba no slower than JAX", as_fast(1.0, JAX, NUMBA)),
    ("M-Adam", "within 1.25 x the limit", within_limit(1.25)),
    ("M64", "within 1.25 x the limit", within_limit(1.25)),
    ("W", "within 1.15 x the limit", within_limit(1.15)),
    ("T", "within 1.4 x the limit", within_limit(1.4)),
    ("T", "15 x as fast as PyTorch", as_fast(15.0, PYTORCH)),
    ("S", "within 1.4 x the limit", within_limit(1.4)),
    ("S", "8 x as fast as the best Python peer", as_fast(8.0)),
    ("S", "Numba 2 x as fast as JAX", as_fast(2.0, JAX, NUMBA)),
    ("X:float32", "a step within 0.15 us", within(0.15e-6)),
    ("X:float64", "a step within 0.15 us", within(0.15e-6)),
    ("E6", "20 x as fast as the NumPy loop", as_fast(20.0, frozenset({"numpy-loop"}))),
    ("P1:4-16-3", "within 0.6 us", within(P1_SECONDS)),
    ("P1:30-100-5", "within 0.6 us", within(P1_SECONDS)),
    ("P2:784-512-10", "1.3 x the bandwidth limit + 0.3 us", near_bandwidth(1.3, P2_CALL)),
    ("P2:64-256-256-256-10", "1.3 x the bandwidth limit + 0.3 us", near_bandwidth(1.3, P2_CALL)),
    ("PB:784-512-10", "within 1.2 x the limit", within_limit(1.2)),
    ("PB:30-128-64-1", "within 1.2 x the limit", within_limit(1.2)),
)


def floors(results: dict[str, Result]) -> list[Floor]:
    """Return the demands on the jobs; those of the studies come from themselves."""
    judged = []
    for job, demand, judge in DEMANDS:
        verdict = judge(results[job]) if job in results else None
        measured, met = verdict or (None, None)
        judged.append(Floor(f"{job}: {demand}", measured, met))
    return judged


def floor_lines(judged: list[Floor]) -> list[str]:
    """Return the section "floors"; what was not measured is only counted."""
    lines = ["floors"]
    for floor in judged:
        if floor.met is not None:
            lines.append(f"  {'yes' if floor.met else 'NO':<5}{floor.demand}")
            lines.append(f"  {'':<5}  {floor.measured}")
    missing = sum(floor.met is None for floor in judged)
    if missing:
        lines.append(f"  {missing} not measured in this run")
    return lines


def check_status(judged: list[Floor]) -> int:
    """Return the exit code of ``--check``: 0 if something was measured and all of it is met."""
    verdicts = [floor.met for floor in judged if floor.met is not None]
    return 0 if verdicts and all(verdicts) else 1
