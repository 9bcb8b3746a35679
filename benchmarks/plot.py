"""Bars of one or more runs: ``python -m benchmarks.plot RUN.json ... -o FILE.svg``."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from benchmarks.report import RESULTS

COLORS = {"cpp": "#1b6ca8", "numba": "#5fa3d3", "numpy": "#a9cbe6"}
OTHERS = "#b8b8b8"
NAMES = {
    "cpp": "mlpfast C++",
    "numba": "mlpfast Numba",
    "numpy": "mlpfast NumPy",
    "jax": "JAX",
    "keras-jax": "Keras on JAX",
    "keras-torch": "Keras on PyTorch",
    "numpy-loop": "NumPy by hand",
    "onnxruntime": "ONNX Runtime",
    "sklearn": "scikit-learn",
    "torch": "PyTorch",
}
UNITS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "us"), (1e-9, "ns"))


def readable(seconds: float) -> str:
    """Return a time with its unit, to three digits."""
    factor, unit = next((u for u in UNITS if seconds >= u[0]), UNITS[-1])
    return f"{seconds / factor:.3g} {unit}"


def draw(jobs: list[dict[str, Any]], path: Path) -> None:
    """Draw a panel for each job: the best time of each contestant, on a linear axis from 0."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = [len(job["results"]) for job in jobs]
    figure = Figure(figsize=(8, 0.26 * sum(rows) + 0.75 * len(jobs)), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(len(jobs), 1, height_ratios=rows, squeeze=False)[:, 0]
    for panel, job in zip(panels, jobs, strict=True):
        per = job["workload"]["per"]
        best = sorted(((r["best"] * per, name) for name, r in job["results"].items()), reverse=True)
        names = [NAMES.get(name, name) for _, name in best]
        colors = [COLORS.get(name, OTHERS) for _, name in best]
        bars = panel.barh(names, [time for time, _ in best], color=colors)
        panel.bar_label(bars, [readable(time) for time, _ in best], padding=3, fontsize=8)
        panel.set_xlim(0, best[0][0] * 1.12)
        panel.set_xticks([])
        panel.set_title(job["workload"]["title"], loc="left", fontsize=9)
        panel.tick_params(labelsize=8)
        panel.spines[["top", "right", "bottom"]].set_visible(False)
    figure.suptitle("Best time of each: shorter is better", fontsize=9, x=0.01, ha="left")
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "mlpfast"}):
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


def main() -> None:
    """Read the runs that were written with --json and draw their jobs in order."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.plot", description=__doc__)
    parser.add_argument("runs", nargs="+", metavar="RUN.json", help="a path or a bare name")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--leave-out", nargs="*", default=[], metavar="JOB_OR_CONTESTANT")
    options = parser.parse_args()
    jobs: list[dict[str, Any]] = []
    for run in options.runs:
        path = Path(run) if Path(run).exists() else RESULTS / run
        jobs += json.loads(path.read_text(encoding="utf-8"))["workloads"]
    jobs = [job for job in jobs if job["workload"]["name"] not in options.leave_out]
    for name in options.leave_out:
        for job in jobs:
            job["results"].pop(name, None)
    draw(jobs, options.output)


if __name__ == "__main__":
    main()
