"""The plots of growth and of thread scaling."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.drawing import LINES, canvas, finish, save
from benchmarks.growth import points, series

_STYLES = ("--", "-", ":")


def growth(facts: list[dict[str, Any]], path: Path) -> Path:
    """Draw the time of an operation against width and against batch, training and predict."""
    found = series(points(facts))
    sweeps = list(dict.fromkeys(sweep for sweep, _ in found))
    figure = canvas(8, 2.4 * len(sweeps))
    grid = figure.subplots(len(sweeps), 2, squeeze=False, sharex="row", sharey="row")
    for row, sweep in zip(grid, sweeps, strict=True):
        for panel, kind in zip(row, ("step", "predict"), strict=True):
            line = found[sweep, kind]
            for n, style in zip(line[0].seconds, _STYLES, strict=False):
                times = [p.seconds[n] / p.flops * 1e12 for p in line]
                label = f"{n} thread" + "s" * (n > 1)
                sizes = [p.size for p in line]
                panel.plot(
                    sizes, times, style, color=LINES[0], marker=".", markersize=4, label=label
                )
            panel.set_xscale("log", base=2)
            panel.set_yscale("log")
            title = f"{kind}, {'square nets' if sweep == 'width' else sweep}"
            x = "units a layer" if sweep == "width" else "rows of a batch"
            finish(panel, title, x, "ps an operation")
    grid[0][0].legend(fontsize=8, frameon=False)
    return save(figure, path)


def scaling(facts: dict[str, Any], path: Path) -> Path:
    """Draw the gain of more threads over one."""
    figure = canvas(5, 3.5)
    panel = figure.subplots()
    most = 1
    for (name, job), color in zip(facts.items(), LINES, strict=False):
        counts = [int(n) for n in job["seconds"]]
        gains = [job["seconds"]["1"] / s for s in job["seconds"].values()]
        most = max(most, *counts)
        panel.plot(counts, gains, marker="o", markersize=4, color=color, label=name)
    panel.plot([1, most], [1, most], ":", color="#888888", linewidth=1, label="as many")
    panel.xaxis.get_major_locator().set_params(integer=True)
    panel.legend(fontsize=8, frameon=False)
    finish(panel, "Gain over one thread", "threads", "times as fast")
    return save(figure, path)
