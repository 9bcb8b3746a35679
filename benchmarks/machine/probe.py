"""A measurement in a process of its own: threads set before its imports, its answer as JSON."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.machine import host

_ROOT = Path(__file__).resolve().parents[2]


class ProbeError(RuntimeError):
    """A measurement could not be made."""


def ask(module: str, cpus: list[int], *arguments: str) -> Any:
    """Run ``python -m benchmarks.MODULE CPU,CPU,... ARGUMENTS`` and return what it answers.

    Raises
    ------
    ProbeError
        If the process fails; the message is the last line it wrote.
    """
    command = [sys.executable, "-m", f"benchmarks.{module}", ",".join(map(str, cpus)), *arguments]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        env=host.environment(len(cpus)),
        cwd=_ROOT,
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        raise ProbeError(lines[-1] if lines else f"exit code {done.returncode}")
    return json.loads(done.stdout.splitlines()[-1])


def begin() -> tuple[int, list[str]]:
    """Return the number of processors and the arguments, in the child; pin it to the former."""
    cpus = [int(cpu) for cpu in sys.argv[1].split(",")]
    host.pin(cpus)
    return len(cpus), sys.argv[2:]
