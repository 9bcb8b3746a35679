"""What the machine is, which of its processors are used, and how every library is held to them."""

from __future__ import annotations

import os
import platform
from pathlib import Path

_CPU = Path("/sys/devices/system/cpu")

#: Environment variables that set a library's number of threads; all are set for every contestant
#: before it imports anything. NPROC is what XLA reads.
THREAD_VARIABLES = (
    "MLPFAST_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NPROC",
)


def cpu_name() -> str:
    """Return the processor's name as the system gives it."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.lower().startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def usable_cpus() -> list[int]:
    """Return the processors this process may use, one of each core first, siblings last."""
    if not hasattr(os, "sched_getaffinity"):
        return list(range(os.cpu_count() or 1))
    cpus = sorted(os.sched_getaffinity(0))
    seen: set[str] = set()
    first: list[int] = []
    rest: list[int] = []
    for cpu in cpus:
        try:
            core = (_CPU / f"cpu{cpu}/topology/thread_siblings_list").read_text().strip()
        except OSError:
            core = str(cpu)
        (rest if core in seen else first).append(cpu)
        seen.add(core)
    return first + rest


def cache_sizes() -> dict[str, int]:
    """Return the bytes of the first processor's caches: "L1", "L2", "L3", as far as known."""
    sizes = {"L1": 32 << 10, "L2": 512 << 10}
    for index in sorted((_CPU / "cpu0/cache").glob("index*")):
        try:
            level, kind, size = (
                (index / name).read_text().strip() for name in ("level", "type", "size")
            )
        except OSError:
            continue
        if kind != "Instruction":
            scale = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}.get(size[-1], 1)
            sizes[f"L{level}"] = int(size.rstrip("KMG")) * scale
    return sizes


def environment(threads: int) -> dict[str, str]:
    """Return the environment of a process that may use `threads` threads."""
    changed = dict.fromkeys(THREAD_VARIABLES, str(threads))
    changed["CUDA_VISIBLE_DEVICES"] = ""
    changed["JAX_PLATFORMS"] = "cpu"
    path = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    changed["PYTHONPATH"] = os.pathsep.join(str(Path(part).resolve()) for part in path if part)
    # A contestant names its backend itself.
    rest = {name: value for name, value in os.environ.items() if name != "MLPFAST_BACKEND"}
    return rest | changed


def pin(cpus: list[int]) -> None:
    """Keep this process, and the threads it makes, on the given processors (Linux)."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cpus)


def describe(threads: int) -> dict[str, object]:
    """Return the facts that belong beside every figure."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return {
        "cpu": cpu_name(),
        "cpus": len(usable_cpus()),
        "threads": threads,
        "caches": cache_sizes(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "load_before": load,
    }
