"""Job MEM: how much more than the caller's arrays `fit` takes at its peak, beside what it may take.

Each case runs in a process of its own: the net and the data are made, a small fit wakes the
threads, the kernel's record of the peak is reset, and then comes the fit that is measured. Linux
only: the record is VmHWM in /proc/self/status, and a 5 in /proc/self/clear_refs resets it.
"""

from __future__ import annotations

import ctypes
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.jobs.floors import Floor
from benchmarks.jobs.workloads import WORKLOADS, Workload
from benchmarks.machine import probe

NAME = "MEM"
TITLE = "memory of fit at its peak, beyond the net and the data"

_STATUS = Path("/proc/self/status")
_RESET = Path("/proc/self/clear_refs")
_MIB = 1 << 20
#: Copies of the parameters that training may hold beside the net's own: the one it works on, and
#: the optimizer's moments. There is none for the gradient.
COPIES = {"sgd": 1, "adam": 3}
SLACK = 2 * _MIB

_BY_NAME = {w.name: w for w in WORKLOADS}
CASES: tuple[Workload, ...] = (
    *(_BY_NAME[name] for name in ("M", "M-Adam", "M64", "W", "T", "S", "X:float32")),
    replace(
        _BY_NAME["W"],
        name="wide",
        title="2048-2048-2048-10 relu, Adam, batch 64, float32",
        sizes=(2048, 2048, 2048, 10),
        rows=256,
        batch=64,
        timed="epoch",
    ),
    replace(
        _BY_NAME["M"],
        name="large batch",
        title="784-512-10 sigmoid, SGD, one batch of 10,000 rows, float32",
        rows=10_000,
        batch=10_000,
    ),
)


@dataclass(frozen=True)
class Use:
    """Bytes of a case.

    Attributes
    ----------
    name, title : str
    taken : int
        Peak of the fit beyond what was there before it: the net with its parameters and the data.
    state : int
        The copies of the parameters that may be held.
    rows : int
        Two batches of inputs and targets.
    passes : int
        Two batches of the units of every layer, inputs among them: what a training pass works on,
        outputs and their gradients.
    """

    name: str
    title: str
    taken: int
    state: int
    rows: int
    passes: int

    @property
    def strict(self) -> int:
        """What may be taken if the two batches are those of the data."""
        return self.state + self.rows + SLACK

    @property
    def allowed(self) -> int:
        """What may be taken if the two batches are those of all layers."""
        return self.state + self.passes + SLACK


def possible() -> str | None:
    """Return why the peak cannot be measured here, None if it can."""
    try:
        if _read("VmHWM") is None:
            return f"{_STATUS} has no VmHWM"
        _RESET.write_text("5")
    except OSError as error:
        return f"the peak of a process cannot be read here ({error})"
    return None


def _read(name: str) -> int | None:
    """Return a figure of /proc/self/status in bytes."""
    for line in _STATUS.read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1]) << 10
    return None


def budget(w: Workload) -> dict[str, int]:
    """Return the bytes of the parts that a fit may take, by their names in `Use`."""
    return {
        "state": COPIES[w.optimizer] * w.n_params * w.itemsize,
        "rows": 2 * w.batch * (w.sizes[0] + w.sizes[-1]) * w.itemsize,
        "passes": 2 * w.batch * sum(w.sizes) * w.itemsize,
    }


def peak_of_fit(w: Workload) -> int:
    """Return the bytes that a fit of two epochs takes at its peak, in this process."""
    from benchmarks.jobs.data import make_job
    from benchmarks.peers.ours import Mlpfast

    runner = Mlpfast("cpp")
    # As many operations a step as make all threads start, in a net that leaves nothing behind.
    small = replace(_BY_NAME["S"], optimizer=w.optimizer, dtype=w.dtype)
    runner.prepare(make_job(small), own_order=True)
    runner.start()
    runner.run(3)
    runner.prepare(make_job(w), own_order=True)
    runner.start()
    _ = runner.net.params.sum()
    _give_back()
    _RESET.write_text("5")
    before = _read("VmRSS")
    runner.run(2)
    peak = _read("VmHWM")
    assert before is not None
    assert peak is not None
    return peak - before


def _give_back() -> None:
    """Return freed memory to the system, so that the fit cannot use it unseen (glibc)."""
    import gc

    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def measure(cpus: list[int], w: Workload, *, rows: int) -> Use:
    """Measure a case in a process of its own, on at most so many rows."""
    short = replace(w, rows=max(min(w.rows, rows), w.batch))
    taken = probe.ask("studies.memory", cpus, json.dumps(asdict(short)))
    return Use(w.name, w.title, taken, **budget(w))


def run(cpus: list[int], quick: bool) -> list[dict[str, Any]]:
    """Return the uses of all cases."""
    reason = possible()
    if reason is not None:
        raise probe.ProbeError(reason)
    return [asdict(measure(cpus, w, rows=1024 if quick else w.rows)) for w in CASES]


def lines(facts: list[dict[str, Any]]) -> list[str]:
    """Return the table, in MiB."""
    table = [f"{NAME}  {TITLE}"]
    heads = ("taken", "state", "2 batches", "+ 2 MiB", "of all layers", "+ 2 MiB")
    table.append(f"  {'MiB':<12}" + "".join(f"{head:>14}" for head in heads))
    for use in (Use(**entry) for entry in facts):
        row = (use.taken, use.state, use.rows, use.strict, use.passes, use.allowed)
        table.append(f"  {use.name:<12}" + "".join(f"{b / _MIB:>14.2f}" for b in row))
    return table


def floors(facts: list[dict[str, Any]]) -> list[Floor]:
    """Judge every case."""
    judged = []
    for use in (Use(**entry) for entry in facts):
        demand = f"fit of {use.name} (MEM) within its state, two batches of all layers and 2 MiB"
        figures = f"{use.taken / _MIB:.2f} of {use.allowed / _MIB:.2f} MiB"
        strict = "within" if use.taken <= use.strict else "beyond"
        figures += f"; {strict} {use.strict / _MIB:.2f} with two batches of the data alone"
        judged.append(Floor(demand, figures, use.taken <= use.allowed))
    return judged


if __name__ == "__main__":
    _, (case,) = probe.begin()
    fields = json.loads(case)
    print(peak_of_fit(Workload(**fields | {"sizes": tuple(fields["sizes"])})))
