"""The table of a job, and the JSON file."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.jobs.contest import Result
from benchmarks.jobs.floors import figure, scale_of

RESULTS = Path(__file__).resolve().parents[1] / "results"


def table(result: Result) -> list[str]:
    """Return the lines of one job's table, the fastest contestant first."""
    w = result.workload
    scale = 1 / scale_of(result)
    peer = result.best_peer
    lines = [f"{w.name}  {w.title}"]
    limit = result.limit.total
    parts = {name: value for name, value in asdict(result.limit).items() if value > 0.005 * limit}
    of_what = ", ".join(f"{name} {figure(v * scale)}" for name, v in parts.items())
    lines.append(f"  limit {figure(limit * scale)} {w.unit} ({of_what})")
    if result.timings:
        header = f"  {'contestant':<16}{'best':>10}{'median':>10}  {'unit':<5}{'best peer':>10}"
        lines.append(f"{header}{'of limit':>10}")
    for name, t in sorted(result.timings.items(), key=lambda item: item[1].best):
        ratio = f"{peer[1] / t.best:.2f}x" if peer else "-"
        label = f"mlpfast {name}" if name in result.ours else name
        lines.append(
            f"  {label:<16}{figure(t.best * scale):>10}{figure(t.median * scale):>10}"
            f"  {w.unit:<5}{ratio:>10}{_percent(limit / t.best):>10}"
        )
    lines += [f"  {name:<16}{reason}" for name, reason in result.excluded.items()]
    return lines


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.0f} %" if fraction >= 0.1 else f"{100 * fraction:.2g} %"


def write_json(name: str, facts: dict[str, Any]) -> Path:
    """Write the facts; a bare file name goes to the results folder. Return the path."""
    path = Path(name)
    if path.parent == Path():
        path = RESULTS / path
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    return path
