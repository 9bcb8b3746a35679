"""Job A: the activation kernels alone, in time an element on one core, beside what is aimed at.

The kernel file of the instruction set in force is compiled with the flags of CMakeLists.txt into a
small program, `activations.cpp`, that calls them through their table as the package does.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.jobs.floors import Floor
from benchmarks.jobs.limit import ACTIVATION_SECONDS
from benchmarks.machine import probe

NAME = "A"
TITLE = "exp, sigmoid, tanh and the like, time an element and core"

_ROOT = Path(__file__).resolve().parents[2]
#: As in CMakeLists.txt; a test compares them.
FLAGS = ("-O3", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math")
ISA_FLAGS = {
    "scalar": (),
    "avx2": ("-mavx2", "-mfma"),
    "avx512": (
        *("-mavx512f", "-mavx512dq", "-mavx512bw", "-mavx512vl", "-mfma"),
        "-mprefer-vector-width=512",
    ),
    "neon": (),
}
#: Those that the aim is meant for; the others are made of two of them or more.
JUDGED = ("exp", "sigmoid", "tanh")


def run(cpus: list[int], quick: bool) -> dict[str, Any]:
    """Compile and run; return the instruction set and the seconds of an element by name."""
    from mlpfast.backends import load

    isa = load("cpp").describe()["isa"]
    names = (os.environ.get("CXX", ""), "c++", "g++", "clang++")
    compiler = next((found for name in names if name and (found := shutil.which(name))), None)
    if compiler is None:
        raise probe.ProbeError("no C++ compiler found")
    with tempfile.TemporaryDirectory(prefix="mlpfast-activations-") as folder:
        program = str(Path(folder, "activations"))
        kernels = Path(folder, "kernels.o")
        source = _ROOT / "src/cpp/isa" / f"kernels_{isa}.cpp"
        _do([compiler, "-std=c++17", *FLAGS, *ISA_FLAGS[isa], "-c", str(source), "-o", kernels])
        main = Path(__file__).with_suffix(".cpp")
        table = f"-DMLPFAST_KERNELS=kernels_{isa}"
        _do([compiler, "-std=c++17", "-O2", table, str(main), str(kernels), "-o", program])
        done = _do([program, "0.002" if quick else "0.03", str(cpus[0])])
    return {"isa": isa, "seconds": json.loads(done)}


def _do(command: list[Any]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if "error" in line]
        last = (errors or done.stderr.strip().splitlines() or ["no message"])[0]
        raise probe.ProbeError(f"{Path(command[0]).name} failed ({last})")
    return done.stdout


def lines(facts: dict[str, Any]) -> list[str]:
    """Return the table."""
    table = [f"{NAME}  {TITLE}, {facts['isa']}"]
    table.append(f"  {'ns':<24}{'float32':>10}{'float64':>10}")
    names = dict.fromkeys(key.rsplit(" ", 1)[0] for key in facts["seconds"])
    for name in names:
        figures = (facts["seconds"][f"{name} {dtype}"] * 1e9 for dtype in ACTIVATION_SECONDS)
        table.append(f"  {name:<24}" + "".join(f"{figure:>10.3f}" for figure in figures))
    aims = (f"{aim * 1e9:>10.3f}" for aim in ACTIVATION_SECONDS.values())
    table.append(f"  {'aimed at':<24}" + "".join(aims))
    return table


def floors(facts: dict[str, Any]) -> list[Floor]:
    """Judge each dtype by its slowest activation."""
    judged = []
    for dtype, aim in ACTIVATION_SECONDS.items():
        slowest = max(JUDGED, key=lambda name: facts["seconds"][f"{name} {dtype}"])
        seconds = facts["seconds"][f"{slowest} {dtype}"]
        judged.append(
            Floor(
                f"{', '.join(JUDGED)} (A) within {aim * 1e9:.2f} ns an element, {dtype}",
                f"{slowest} {seconds * 1e9:.3f} ns",
                seconds <= aim,
            )
        )
    return judged
