"""The command line: ``python -m benchmarks [WORKLOAD ...]``."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import peers
from benchmarks.jobs import floors, report, workloads
from benchmarks.jobs.contest import Entrant, Result, contest
from benchmarks.jobs.worker import ContestantError, Worker
from benchmarks.machine import ceilings, host
from benchmarks.machine.probe import ProbeError
from benchmarks.studies import plot, registry


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Return the options, checked."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure mlpfast against its peers and against the limits of this machine.",
    )
    parser.add_argument("workload", nargs="*", help="jobs or groups of jobs (default: all)")
    parser.add_argument("--threads", type=int, default=2, metavar="N", help="default: 2")
    parser.add_argument("--rounds", type=int, metavar="K", help="default: 7, with --quick 2")
    parser.add_argument(
        "--peers",
        metavar="A,B",
        help="contestants, 'mlpfast' for its three backends, 'all' for every one (default)",
    )
    parser.add_argument(
        "--json",
        metavar="FILE",
        help="write all figures; a bare name goes to benchmarks/results/. The plots go beside it",
    )
    parser.add_argument("--plots", metavar="FOLDER", type=Path, help="draw the plots there")
    parser.add_argument("--quick", action="store_true", help="shorter and less accurate")
    parser.add_argument("--list", action="store_true", help="list jobs and contestants and stop")
    parser.add_argument(
        "--check", action="store_true", help="exit with 1 if a floor that was measured is not met"
    )
    options = parser.parse_args(arguments)
    try:
        options.workload, options.studies = registry.select(options.workload)
        options.peers = peers.select(options.peers)
    except ValueError as error:
        parser.error(str(error))
    for name in ("threads", "rounds"):
        value = getattr(options, name)
        if value is not None and value < 1:
            parser.error(f"--{name} must be at least 1, got {value}")
    available = len(host.usable_cpus())
    if options.threads > available:
        print(f"only {available} processors here: --threads {available}", file=sys.stderr)
        options.threads = available
    return options


def listing() -> list[str]:
    """Return the lines of ``--list``."""
    lines = ["jobs"]
    lines += [f"  {w.name:<26}{w.title}" for w in workloads.WORKLOADS]
    lines += [f"  {study.NAME:<26}{study.TITLE}" for study in registry.STUDIES]
    lines.append("contestants")
    for entry in peers.ENTRIES:
        lines.append(f"  {entry.name:<26}{entry.missing() or 'installed'}")
    return lines


def assemble(entries: list[peers.Entry], cpus: list[int]) -> tuple[list[Entrant], dict[str, str]]:
    """Start a process for every contestant; return them, and who is missing and why."""
    entrants, missing = [], {}
    for entry in entries:
        reason = entry.missing()
        if reason is None:
            try:
                entrants.append(Entrant(entry, Worker(entry.name, cpus)))
                continue
            except ContestantError as error:
                reason = str(error)
        missing[entry.name] = reason
    return entrants, missing


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmarks and return the exit code."""
    options = parse(arguments)
    if options.list:
        print("\n".join(listing()))
        return 0
    cpus = host.usable_cpus()[: options.threads]
    facts = host.describe(options.threads)
    load = f", load {facts['load_before']:.2f}" if facts["load_before"] is not None else ""
    print(f"{facts['cpu']}, {facts['cpus']} processors, {options.threads} threads used{load}")
    print(f"{facts['system']}, Python {facts['python']}")
    tops = ceilings.measure(cpus, seconds=0.005 if options.quick else 0.03)
    print("\n".join(ceilings.describe(tops)))

    results, versions, missing = race(options, cpus, tops) if options.workload else ({}, {}, {})
    found, failed = study(options, cpus)
    judged = floors.floors({r.workload.name: r for r in results.values()})
    for one in registry.STUDIES:
        if one.NAME in found:
            judged += one.floors(found[one.NAME])
    print("\n" + "\n".join(floors.floor_lines(judged)))
    everything: dict[str, Any] = {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": facts,
        "ceilings": tops.as_dict(),
        "versions": versions,
        "missing": missing,
        "workloads": [result.as_dict() for result in results.values()],
        "studies": found,
        "failed": failed,
        "floor": [asdict(floor) for floor in judged],
    }
    write(options, everything)
    return floors.check_status(judged) if options.check else 0


def race(
    options: argparse.Namespace, cpus: list[int], tops: ceilings.Ceilings
) -> tuple[dict[str, Result], dict[str, str], dict[str, str]]:
    """Let the contestants do the jobs; return the results, the versions, and who is missing."""
    entrants, missing = assemble(options.peers, cpus)
    versions: dict[str, str] = {}
    for entrant in entrants:
        versions |= entrant.worker.versions
    print("versions:", ", ".join(f"{k} {v}" for k, v in versions.items()))
    for name, reason in missing.items():
        print(f"missing: {name} ({reason})")
    results: dict[str, Result] = {}
    try:
        for workload in options.workload:
            results[workload.name] = contest(
                workload,
                entrants,
                tops,
                rounds=options.rounds or (2 if options.quick else 7),
                target=0.02 if options.quick else 0.25,
                say=progress,
            )
            progress("")
            print("\n" + "\n".join(report.table(results[workload.name])), flush=True)
    finally:
        for entrant in entrants:
            entrant.worker.close()
    return results, versions, missing


def study(options: argparse.Namespace, cpus: list[int]) -> tuple[dict[str, Any], dict[str, str]]:
    """Make the studies; return what they found, and why others could not be made."""
    found: dict[str, Any] = {}
    failed: dict[str, str] = {}
    for one in options.studies:
        progress(f"{one.NAME}: measuring")
        try:
            found[one.NAME] = one.run(cpus, options.quick)
            lines = one.lines(found[one.NAME])
        except (ProbeError, ContestantError) as error:
            failed[one.NAME] = str(error)
            lines = [f"{one.NAME}  {one.TITLE}", f"  not measured: {error}"]
        progress("")
        print("\n" + "\n".join(lines), flush=True)
    return found, failed


def write(options: argparse.Namespace, everything: dict[str, Any]) -> None:
    """Write the JSON file and the plots that are asked for."""
    folder, prefix = options.plots, ""
    if options.json:
        path = report.write_json(options.json, everything)
        print("written:", path)
        if folder is None:
            folder, prefix = path.parent, f"{path.stem}-"
    if folder is None:
        return
    try:
        for path in plot.draw_all(everything, folder, prefix):
            print("written:", path)
    except ImportError:
        print("no plots: matplotlib is not installed")


def progress(line: str) -> None:
    """Show what is going on, on a terminal only."""
    if sys.stderr.isatty():
        print(f"\r\033[K{line}", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
