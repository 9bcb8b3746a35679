"""The roofline: what each job reaches, by its operations for each byte from beyond the caches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.studies.drawing import COLORS, LINES, OTHERS, canvas, finish, save

_OURS = "cpp"


def points(jobs: list[dict[str, Any]], name: str) -> list[tuple[str, float | None, float, int]]:
    """Return (job, operations a byte, operations a second, rows) of those that `name` has done.

    Operations a byte are None where nothing has to come from beyond the caches.
    """
    found = []
    for job in jobs:
        if name in job["results"]:
            flops, moved = job["flops"], job["bytes"]
            rate = flops / job["results"][name]["best"]
            label, rows = job["workload"]["name"], job["workload"]["rows"]
            found.append((label, flops / moved if moved else None, rate, rows))
    return found


def labels(named: list[tuple[str, float, float]]) -> list[tuple[str, tuple[float, float]]]:
    """Return a label and its place for every point; neighbours, at most a quarter apart, share."""
    found: list[tuple[list[str], tuple[float, float]]] = []
    for name, x, y in sorted(named, key=lambda point: point[1:], reverse=True):
        for names, (other_x, other_y) in found:
            if 0.8 < x / other_x < 1.25 and 0.8 < y / other_y < 1.25:
                names.append(name)
                break
        else:
            found.append(([name], (x, y)))
    return [(", ".join(names), at) for names, at in found]


def draw(jobs: list[dict[str, Any]], ceilings: dict[str, Any], path: Path) -> Path:
    """Draw mlpfast and the best peer of each job under the measured ceilings of all threads."""
    figure = canvas(8, 5)
    panel = figure.subplots()
    together = ceilings["all"]
    ours = points(jobs, _OURS)
    peers = [
        point
        for job in jobs
        if job["best_peer"] is not None
        for point in points([job], job["best_peer"])
    ]
    known = [x for _, x, _, _ in ours + peers if x is not None]
    low = min([0.25, *known]) / 2
    # All jobs that stay within the caches stand at the right edge.
    edge = 4 * max([100.0, *known])
    for (level, rate), color in zip(ceilings["levels_all"].items(), LINES[1:], strict=False):
        if level == "L1":
            continue
        knee = min(together["float32"] / rate, edge)
        panel.plot([low, knee], [low * rate, knee * rate], color=color, linewidth=1)
        panel.annotate(
            f"{level} {rate / 1e9:.0f} GB/s",
            (low, low * rate),
            color=color,
            fontsize=7,
            rotation=30,
            rotation_mode="anchor",
            va="bottom",
        )
    for dtype, style in (("float32", "-"), ("float64", "--")):
        peak = together[dtype]
        panel.plot([low, 8 * edge], [peak, peak], color="#444444", linewidth=1, linestyle=style)
        label = f"FMA {dtype} {peak / 1e9:.0f} GFLOP/s"
        panel.annotate(label, (low, peak), fontsize=7, va="bottom")
    for which, color, label in (
        (peers, OTHERS, "best peer"),
        (ours, COLORS[_OURS], "mlpfast C++"),
    ):
        panel.scatter(
            [edge if x is None else x for _, x, _, _ in which],
            [rate for _, _, rate, _ in which],
            s=22,
            color=color,
            label=label,
            zorder=3,
        )
    for name, at in labels([(name, edge if x is None else x, rate) for name, x, rate, _ in ours]):
        panel.annotate(name, at, xytext=(5, 2), textcoords="offset points", fontsize=7)
    panel.set_xscale("log")
    panel.set_yscale("log")
    panel.legend(fontsize=8, loc="lower center", frameon=False)
    finish(
        panel,
        f"Roofline, {ceilings['threads']} threads; at the right edge what stays within the caches",
        "operations a byte from beyond the second-level caches (one row: of its weights)",
        "operations a second",
    )
    return save(figure, path)
