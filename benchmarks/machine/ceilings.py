"""The ceilings of this machine, measured in the same run: arithmetic, reads from memory, clock.

A small C++ program is compiled with the system's compiler; without one NumPy gives rougher
figures, and the report says so. Also runs on its own: ``python -m benchmarks.ceilings``.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from bisect import bisect_right
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.machine import host

_SOURCE = Path(__file__).with_name("ceilings.cpp")
_FLAGS = ("-O3", "-std=c++17", "-pthread")
# GCC and Clang spell the processor differently from architecture to architecture.
_NATIVE = (("-march=native", "-mprefer-vector-width=512"), ("-march=native",), ("-mcpu=native",))
# Below this share of the sum of its cores the machine is taken to be busy with something else.
_QUIET = 0.9


@dataclass(frozen=True)
class Rates:
    """What a number of threads reach together.

    Attributes
    ----------
    float32, float64 : float
        Floating-point operations a second; a fused multiply-add counts as two.
    read : tuple of (int, float)
        Bytes each thread reads again and again, and the bytes a second of all threads.
    """

    float32: float
    float64: float
    read: tuple[tuple[int, float], ...]

    def peak(self, dtype: str) -> float:
        return {"float32": self.float32, "float64": self.float64}[dtype]

    def bandwidth(self, bytes_a_thread: float) -> float:
        """Return the rate for a working set: that of the next smaller one measured.

        Smaller, because a limit must not be beaten: close to the size of a cache the rate falls
        steeply, and a careful program can stay above it.
        """
        index = bisect_right([size for size, _ in self.read], bytes_a_thread) - 1
        return self.read[max(index, 0)][1]

    def scaled(self, factor: float) -> Rates:
        """Return every rate times `factor`."""
        reads = tuple((size, rate * factor) for size, rate in self.read)
        return Rates(self.float32 * factor, self.float64 * factor, reads)

    def best_of(self, other: Rates) -> Rates:
        """Return the higher of each figure of two measurements."""
        reads = zip(self.read, other.read, strict=True)
        return Rates(
            max(self.float32, other.float32),
            max(self.float64, other.float64),
            tuple((size, max(a, b)) for (size, a), (_, b) in reads),
        )


@dataclass(frozen=True)
class Ceilings:
    """The ceilings of one core and of all threads of this run.

    Attributes
    ----------
    one, all : Rates
    threads : int
    clock : float
        Cycles a second.
    vector_bytes : int
        Bytes of the widest vector.
    l1, l2 : int
        Bytes of a core's caches.
    method : str
        How they were measured.
    """

    one: Rates
    all: Rates
    threads: int
    clock: float
    vector_bytes: int
    l1: int
    l2: int
    method: str

    def levels(self, threads: int = 1) -> dict[str, float]:
        """Return the read bandwidths by name, each at a size well inside the level."""
        rates = self.one if threads == 1 else self.all
        return {
            "L1": rates.bandwidth(self.l1 / 2),
            "L2": rates.bandwidth(self.l2 / 2),
            "L3": rates.bandwidth(4 * self.l2),
            "DRAM": rates.bandwidth(float("inf")),
        }

    @property
    def share(self) -> float:
        """What all threads reach of one core's float32 peak times their number; about 1."""
        return self.all.float32 / (self.threads * self.one.float32)

    def best_of(self, other: Ceilings) -> Ceilings:
        """Return the higher of each figure of two measurements of one machine."""
        return replace(
            self,
            one=self.one.best_of(other.one),
            all=self.all.best_of(other.all),
            clock=max(self.clock, other.clock),
        )

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {"levels_one": self.levels(), "levels_all": self.levels(2)}


def measure(cpus: list[int], *, seconds: float = 0.03, tries: int = 3) -> Ceilings:
    """Measure for one of `cpus` and for all of them, `seconds` a figure.

    Where the threads disturb each other or are disturbed, it is tried again and the best counts:
    a ceiling measured too low flatters everybody.
    """
    with tempfile.TemporaryDirectory(prefix="mlpfast-ceilings-") as folder:
        program, why = _compiled(Path(folder))
        if program:
            command = [program, str(seconds), str(len(cpus)), ",".join(map(str, cpus))]
            found: Ceilings | None = None
            for _ in range(tries):
                output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
                new = _from_json(json.loads(output), len(cpus), f"C++, {why}")
                found = new if found is None else found.best_of(new)
                if found.share >= _QUIET:
                    break
            assert found is not None
            return found
    figures: dict[str, Any] = {"clock": _nominal_clock(), "vector_bytes": 32}
    for name, threads in (("one", 1), ("all", len(cpus))):
        command = [sys.executable, "-m", __spec__.name, "--numpy", str(threads), str(seconds)]
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=True,
            env=host.environment(threads),
            cwd=_SOURCE.parents[2],
        )
        figures[name] = json.loads(done.stdout)
    return _from_json(figures, len(cpus), f"NumPy, only roughly: {why}")


def _from_json(figures: dict[str, Any], threads: int, method: str) -> Ceilings:
    one, together = (
        Rates(f["float32"], f["float64"], tuple((int(n), float(r)) for n, r in f["read"]))
        for f in (figures["one"], figures["all"])
    )
    caches = host.cache_sizes()
    return Ceilings(
        # What each of several reaches beside the others, one reaches alone.
        one.best_of(together.scaled(1 / threads)),
        together,
        threads,
        figures["clock"],
        figures["vector_bytes"],
        caches["L1"],
        caches["L2"],
        method,
    )


def _compiled(folder: Path) -> tuple[str | None, str]:
    """Return the compiled program and by what, or None and why not."""
    names = (os.environ.get("CXX", ""), "c++", "g++", "clang++")
    compiler = next((found for name in names if name and (found := shutil.which(name))), None)
    if compiler is None:
        return None, "no C++ compiler found"
    program = folder / ("ceilings.exe" if os.name == "nt" else "ceilings")
    error = ""
    for native in (*_NATIVE, ()):
        command = [compiler, *_FLAGS, *native, str(_SOURCE), "-o", str(program)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return str(program), " ".join([Path(compiler).name, *_FLAGS, *native])
        error = done.stderr.strip().splitlines()[-1] if done.stderr.strip() else "no message"
    return None, f"{Path(compiler).name} failed ({error})"


def _nominal_clock() -> float:
    """Return the clock that the system reports, 3 GHz where it reports none."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.lower().startswith("cpu mhz"):
                return float(line.split(":", 1)[1]) * 1e6
    except (OSError, ValueError):
        pass
    return 3e9


def numpy_rates(threads: int, seconds: float) -> dict[str, Any]:
    """Measure with NumPy: matrix products for the arithmetic, sums for the reads."""
    import numpy as np

    def best_rate(work: Any, amount: float) -> float:
        work()
        best, end = 0.0, time.perf_counter() + 3 * seconds
        while time.perf_counter() < end or best == 0.0:
            begin = time.perf_counter()
            work()
            best = max(best, amount / (time.perf_counter() - begin))
        return best

    figures: dict[str, Any] = {}
    n = 1024
    for dtype in ("float32", "float64"):
        a = np.full((n, n), 0.5, dtype)
        out = np.empty_like(a)
        figures[dtype] = best_rate(lambda a=a, out=out: np.matmul(a, a, out=out), 2.0 * n**3)
    largest = 256 << 20
    memory = [np.zeros(largest // 8) for _ in range(threads)]
    with ThreadPoolExecutor(threads) as pool:
        read = []
        for power in range(14, 29):
            count = (1 << power) // 8
            sweeps = max(1, (1 << 22) >> power)

            def sweep(part: Any, count: int = count, sweeps: int = sweeps) -> None:
                for _ in range(sweeps):
                    part[:count].sum()

            amount = float(sweeps * threads * (1 << power))
            rate = best_rate(lambda sweep=sweep: list(pool.map(sweep, memory)), amount)
            read.append((1 << power, rate))
    figures["read"] = read
    return figures


def describe(ceilings: Ceilings) -> list[str]:
    """Return the lines that a report prints."""
    lines = [f"ceilings ({ceilings.method}); clock {ceilings.clock / 1e9:.2f} GHz"]
    for label, threads, rates in (
        ("one core", 1, ceilings.one),
        (f"{ceilings.threads} threads", 2, ceilings.all),
    ):
        reads = ", ".join(f"{k} {v / 1e9:.0f}" for k, v in ceilings.levels(threads).items())
        lines.append(
            f"  {label:<10} FMA {rates.float32 / 1e9:.0f} GFLOP/s float32, "
            f"{rates.float64 / 1e9:.0f} float64; read GB/s {reads}"
        )
    if ceilings.share < _QUIET:
        lines.append(
            f"  all threads reach {100 * ceilings.share:.0f} % of one core's peak times their "
            "number: something else is running, or cores share their units or their power"
        )
    return lines


def main() -> None:
    """Measure with all processors and print the lines of the report."""
    print("\n".join(describe(measure(host.usable_cpus()))))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--numpy"]:
        print(json.dumps(numpy_rates(int(sys.argv[2]), float(sys.argv[3]))))
    else:
        main()
