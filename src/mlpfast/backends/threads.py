"""How many threads to use: asked for, or what the process may really have."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mlpfast.spec import check_int

#: No machine has more; a larger number is a mistake.
MAX_THREADS = 4096

_chosen: int | None = None


class _Limit(threading.local):
    """What `limited_to` says, for the calling thread alone."""

    threads: int | None = None


_here = _Limit()


def num_threads() -> int:
    """Return the number of threads in force."""
    global _chosen
    limit = _here.threads
    if limit is not None:
        return limit
    if _chosen is None:
        _chosen = _from_environment()
    return _chosen


def set_num_threads(n: int) -> int:
    """Set the number of threads and return it."""
    global _chosen
    if check_int("n", n, 1) > MAX_THREADS:
        raise ValueError(f"n must be at most {MAX_THREADS}, got {n}")
    _chosen = int(n)
    return _chosen


@contextmanager
def limited_to(n: int | None) -> Iterator[None]:
    """Use n threads for what this thread does inside; None changes nothing."""
    before = _here.threads
    _here.threads = before if n is None else n
    try:
        yield
    finally:
        _here.threads = before


def _from_environment() -> int:
    """MLPFAST_NUM_THREADS (must be a number), else the least of all limits on this process."""
    forced = os.environ.get("MLPFAST_NUM_THREADS")
    if forced is not None:
        valid = forced.isascii() and forced.isdigit() and 1 <= int(forced) <= MAX_THREADS
        if not valid:
            raise ValueError(
                f"MLPFAST_NUM_THREADS must be an integer from 1 to {MAX_THREADS}, got {forced!r}"
            )
        return int(forced)
    limits = [_affinity(), _cgroup_limit()]
    omp = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    if omp.isascii() and omp.isdigit() and int(omp) >= 1:
        limits.append(int(omp))
    return min(limit for limit in limits if limit is not None)


def _affinity() -> int:
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return os.cpu_count() or 1


def _cgroup_limit(root: str = "/sys/fs/cgroup", self_file: str = "/proc/self/cgroup") -> int | None:
    """CPU quota of the process's cgroup or of one above it (version 2, else 1), rounded up."""
    quotas: list[float] = []
    try:
        entries = [line.split(":", 2) for line in Path(self_file).read_text().splitlines()]
    except OSError:
        return None
    for _, controllers, path in (e for e in entries if len(e) == 3):
        if controllers == "":
            bases = [Path(root)]
        elif "cpu" in controllers.split(","):
            bases = [Path(root) / "cpu", Path(root) / controllers]
        else:
            continue
        for base in bases:
            folder = base / path.lstrip("/")
            while folder == base or base in folder.parents:
                quota = _quota(folder)
                if quota is not None:
                    quotas.append(quota)
                folder = folder.parent
    return max(1, int(-(-min(quotas) // 1))) if quotas else None


def _quota(folder: Path) -> float | None:
    """CPUs a cgroup folder grants, None for no limit."""
    try:
        quota, period = (folder / "cpu.max").read_text().split()[:2]
    except (OSError, ValueError):
        try:
            quota = (folder / "cpu.cfs_quota_us").read_text().strip()
            period = (folder / "cpu.cfs_period_us").read_text().strip()
        except OSError:
            return None
    if quota in ("max", "-1"):
        return None
    try:
        return int(quota) / int(period)
    except (ValueError, ZeroDivisionError):
        return None
