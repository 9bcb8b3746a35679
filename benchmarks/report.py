"""The tables, the floor below which mlpfast must not fall, and the JSON file."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.contest import Result

_UNITS = {"s": 1.0, "ms": 1e-3, "us": 1e-6}
RESULTS = Path(__file__).with_name("results")


def table(result: Result) -> list[str]:
    """Return the lines of one job's table, the fastest contestant first."""
    w = result.workload
    scale = w.per / _UNITS[w.unit]
    peer = result.best_peer
    lines = [f"{w.name}  {w.title}"]
    limit = result.limit.total
    parts = {name: value for name, value in asdict(result.limit).items() if value > 0.005 * limit}
    of_what = ", ".join(f"{name} {_figure(v * scale)}" for name, v in parts.items())
    lines.append(f"  limit {_figure(limit * scale)} {w.unit} ({of_what})")
    if result.timings:
        header = f"  {'contestant':<16}{'best':>10}{'median':>10}  {'unit':<5}{'best peer':>10}"
        lines.append(f"{header}{'of limit':>10}")
    for name, t in sorted(result.timings.items(), key=lambda item: item[1].best):
        ratio = f"{peer[1] / t.best:.2f}x" if peer else "-"
        label = f"mlpfast {name}" if name in result.ours else name
        lines.append(
            f"  {label:<16}{_figure(t.best * scale):>10}{_figure(t.median * scale):>10}"
            f"  {w.unit:<5}{ratio:>10}{_percent(limit / t.best):>10}"
        )
    lines += [f"  {name:<16}{reason}" for name, reason in result.excluded.items()]
    return lines


def _figure(value: float) -> str:
    """Return a number with three significant digits, without an exponent where that is short."""
    if value >= 1000:
        return f"{value:,.0f}"
    digits = 0 if value >= 100 else 1 if value >= 10 else 2 if value >= 1 else 3
    return f"{value:.{digits}f}" if value >= 0.01 or value == 0 else f"{value:.2g}"


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.0f} %" if fraction >= 0.1 else f"{100 * fraction:.2g} %"


@dataclass(frozen=True)
class Floor:
    """One demand: what is asked, what was measured (None: not measured), whether it is met."""

    demand: str
    measured: str | None
    met: bool | None


def floors(results: dict[str, Result]) -> list[Floor]:
    """Return the demands on mlpfast's fastest backend, judged by best times."""
    return [
        _against(
            "an MNIST epoch (M) at least as fast as the best of PyTorch and JAX",
            results.get("M"),
            {"torch", "torch-compile", "jax"},
            1.0,
        ),
        _against(
            "10,000 steps of XOR (E6) at least 20 times as fast as the NumPy loop",
            results.get("E6"),
            {"numpy-loop"},
            20.0,
        ),
        _under_3_us(results.get("P1:30-100-5")),
    ]


def _against(demand: str, result: Result | None, rivals: set[str], times: float) -> Floor:
    ours = result.best_ours if result else None
    rival = result.best(rivals) if result else None
    if result is None or ours is None or rival is None:
        return Floor(demand, None, None)
    unit = result.workload.unit
    scale = result.workload.per / _UNITS[unit]
    measured = (
        f"mlpfast {ours[0]} {_figure(ours[1] * scale)} {unit}, {rival[0]} "
        f"{_figure(rival[1] * scale)} {unit}: {rival[1] / ours[1]:.2f} times as fast"
    )
    return Floor(demand, measured, rival[1] / ours[1] >= times)


def _under_3_us(result: Result | None) -> Floor:
    demand = "predict of one row of 30-100-5 (P1) under 3 us"
    ours = result.best_ours if result else None
    if ours is None:
        return Floor(demand, None, None)
    return Floor(demand, f"mlpfast {ours[0]} {_figure(ours[1] * 1e6)} us", ours[1] < 3e-6)


def floor_lines(judged: list[Floor]) -> list[str]:
    """Return the section "floor"."""
    words = {True: "yes", False: "NO", None: "not measured"}
    lines = ["floor"]
    for floor in judged:
        lines.append(f"  {words[floor.met]:<14}{floor.demand}")
        if floor.measured:
            lines.append(f"  {'':<14}{floor.measured}")
    return lines


def check_status(judged: list[Floor]) -> int:
    """Return the exit code of ``--check``: 0 if something was measured and all of it is met."""
    verdicts = [floor.met for floor in judged if floor.met is not None]
    return 0 if verdicts and all(verdicts) else 1


def write_json(name: str, facts: dict[str, Any]) -> Path:
    """Write the facts; a bare file name goes to the results folder. Return the path."""
    path = Path(name)
    if path.parent == Path():
        path = RESULTS / path
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    return path
