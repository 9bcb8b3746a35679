"""The plots of one or more runs: ``python -m benchmarks.plot RUN.json ... -o FILE.svg``.

Draws the bars; ``--folder FOLDER`` draws all there is: bars, roofline, growth, scaling.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from benchmarks.jobs.report import RESULTS
from benchmarks.studies import curves, roofline
from benchmarks.studies.drawing import COLORS, NAMES, OTHERS, canvas, readable, save


def bars(jobs: list[dict[str, Any]], path: Path) -> Path:
    """Draw a panel for each job: the best time of each contestant, on a linear axis from 0."""
    rows = [len(job["results"]) for job in jobs]
    figure = canvas(8, 0.26 * sum(rows) + 0.75 * len(jobs))
    panels = figure.subplots(len(jobs), 1, height_ratios=rows, squeeze=False)[:, 0]
    for panel, job in zip(panels, jobs, strict=True):
        per = job["workload"]["per"]
        best = sorted(((r["best"] * per, name) for name, r in job["results"].items()), reverse=True)
        names = [NAMES.get(name, name) for _, name in best]
        colors = [COLORS.get(name, OTHERS) for _, name in best]
        drawn = panel.barh(names, [time for time, _ in best], color=colors)
        panel.bar_label(drawn, [readable(time) for time, _ in best], padding=3, fontsize=8)
        panel.set_xlim(0, best[0][0] * 1.12)
        panel.axvline(job["limit"]["total"] * per, color="#a83c4f", linewidth=1, linestyle=":")
        panel.set_xticks([])
        panel.set_title(job["workload"]["title"], loc="left", fontsize=9)
        panel.tick_params(labelsize=8)
        panel.spines[["top", "right", "bottom"]].set_visible(False)
    title = "Best time of each: shorter is better. Dotted: what this machine allows"
    figure.suptitle(title, fontsize=9, x=0.01, ha="left")
    return save(figure, path)


def draw_all(facts: dict[str, Any], folder: Path, prefix: str = "") -> list[Path]:
    """Draw all that a run has measured; return what was written."""
    written = []
    jobs = [job for job in facts["workloads"] if job["results"]]
    studies = facts.get("studies", {})
    if jobs:
        written.append(bars(jobs, folder / f"{prefix}bars.svg"))
        written.append(roofline.draw(jobs, facts["ceilings"], folder / f"{prefix}roofline.svg"))
    if "G" in studies:
        written.append(curves.growth(studies["G"], folder / f"{prefix}growth.svg"))
    if "TS" in studies:
        written.append(curves.scaling(studies["TS"], folder / f"{prefix}scaling.svg"))
    return written


def main() -> None:
    """Read the runs that were written with --json and draw their jobs in order."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.plot", description=__doc__)
    parser.add_argument("runs", nargs="+", metavar="RUN.json", help="a path or a bare name")
    parser.add_argument("-o", "--output", type=Path, help="where the bars go")
    parser.add_argument("--folder", type=Path, help="where all plots go")
    parser.add_argument("--leave-out", nargs="*", default=[], metavar="JOB_OR_CONTESTANT")
    options = parser.parse_args()
    if options.output is None and options.folder is None:
        parser.error("--output or --folder is needed")
    everything: dict[str, Any] = {"workloads": [], "studies": {}}
    for run in options.runs:
        path = Path(run) if Path(run).exists() else RESULTS / run
        facts = json.loads(path.read_text(encoding="utf-8"))
        everything["workloads"] += facts["workloads"]
        everything["studies"] |= facts.get("studies", {})
        everything["ceilings"] = facts["ceilings"]
    jobs = everything["workloads"]
    jobs[:] = [job for job in jobs if job["workload"]["name"] not in options.leave_out]
    for name in options.leave_out:
        for job in jobs:
            job["results"].pop(name, None)
    if options.output:
        bars(jobs, options.output)
    if options.folder:
        draw_all(everything, options.folder)


if __name__ == "__main__":
    main()
