"""The plots of growth and of thread scaling."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.studies.drawing import LINES, canvas, finish, save
from benchmarks.studies.growth import BATCH, points, series

_STYLES = ("--", "-", ":")


def growth(facts: list[dict[str, Any]], path: Path) -> Path:
    """Draw the operations a second by width and by batch, training and predict."""
    found = series(points(facts))
    sweeps = list(dict.fromkeys(sweep for sweep, _ in found))
    figure = canvas(8, 2.4 * len(sweeps))
    grid = figure.subplots(len(sweeps), 2, squeeze=False, sharex="row", sharey="row")
    for row, sweep in zip(grid, sweeps, strict=True):
        for panel, kind in zip(row, ("step", "predict"), strict=True):
            line = found[sweep, kind]
            for n, style in zip(line[0].seconds, _STYLES, strict=False):
                rates = [p.flops / p.seconds[n] / 1e9 for p in line]
                label = f"{n} thread" + "s" * (n > 1)
                sizes = [p.size for p in line]
                panel.plot(
                    sizes, rates, style, color=LINES[0], marker=".", markersize=4, label=label
                )
            panel.set_xscale("log", base=2)
            title = f"{kind}, {f'square nets, {BATCH} rows' if sweep == 'width' else sweep}"
            x = "units a layer" if sweep == "width" else "rows of a batch"
            finish(panel, title, x, "GFLOP/s")
        row[0].set_ylim(bottom=0)  # shared by the row, once all of it is drawn
    grid[0][0].legend(fontsize=8, frameon=False, loc="lower right")
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
