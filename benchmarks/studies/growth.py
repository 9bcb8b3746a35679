"""Job G: how the time of a row and operation changes with the width of a net and with the batch.

Two sweeps, each once with one thread and once with all: square nets of growing width at one batch,
and growing batches through fixed nets. A size that costs much more for each operation than its
smaller neighbour is a cliff: something stopped fitting, or another way through the code began.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

from benchmarks.jobs.floors import Floor, figure
from benchmarks.machine import probe

NAME = "G"
TITLE = "growth: time of a row by width and by batch, SGD, relu, float32"

WIDTHS = (16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1000, 1024, 1040, 1536, 2048,
          3072, 4096)  # fmt: skip
QUICK_WIDTHS = (16, 32, 64)
BATCHES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1000, 1024,
           1040, 1536, 2048, 3072, 4096)  # fmt: skip
QUICK_BATCHES = (1, 4, 16)
#: Rows of a batch while the width grows, and the nets through which the batch grows.
BATCH = 256
NETS = ((64, 128, 10), (256, 256, 10))
#: How much more an operation may cost than at the smaller neighbour.
CLIFF = 1.5
#: How much longer than one thread all may take: what two equal measurements differ by.
NOISE = 1.1
# Data of about this size stays in the second-level cache, so that growth is that of the net.
_DATA_BYTES = 512 << 10


@dataclass(frozen=True)
class Point:
    """One size: seconds of a row, by number of threads.

    Attributes
    ----------
    kind : str
        "step" of training or "predict".
    sweep : str
        "width", or the sizes of the net whose batch grows, such as "64-128-10".
    size : int
        Width or batch.
    flops : float
        Operations of a row in the matrix products.
    seconds : dict of int to float
        Of a row, by threads.
    """

    kind: str
    sweep: str
    size: int
    flops: float
    seconds: dict[int, float]


def cases(quick: bool = False) -> Iterator[tuple[str, int, tuple[int, ...], int]]:
    """Yield (sweep, size, layer sizes, batch) of every point."""
    for width in QUICK_WIDTHS if quick else WIDTHS:
        yield "width", width, (width,) * 3, 32 if quick else BATCH
    for net in NETS:
        for batch in QUICK_BATCHES if quick else BATCHES:
            yield "-".join(map(str, net)), batch, net, batch


def flops_a_row(sizes: tuple[int, ...], kind: str) -> float:
    """Return the operations of a row; training leaves out the first input gradient."""
    forward = 2.0 * sum(i * o for i, o in pairwise(sizes))
    return forward if kind == "predict" else 3 * forward - 2.0 * sizes[0] * sizes[1]


def measure(threads: list[int], quick: bool) -> list[Point]:
    """Measure every point in this process."""
    found: list[Point] = []
    for sweep, size, sizes, batch in cases(quick):
        for kind, calls in _calls(sizes, batch).items():
            seconds = _best(calls, threads, quick)
            flops = flops_a_row(sizes, kind)
            found.append(Point(kind, sweep, size, flops, seconds))
    return found


def _calls(sizes: tuple[int, ...], batch: int) -> dict[str, Callable[[int], int]]:
    """Return, by kind, a function that does about so many operations and returns the rows."""
    import numpy as np

    import mlpfast

    rng = np.random.default_rng(1)
    batches = max(1, _DATA_BYTES // (4 * (sizes[0] + sizes[-1]) * batch))
    rows = batches * batch
    x = rng.standard_normal((rows, sizes[0]), np.float32)
    y = rng.standard_normal((rows, sizes[-1]), np.float32)
    one = np.ascontiguousarray(x[:batch])
    out = np.empty((batch, sizes[-1]), np.float32)
    net = mlpfast.MLP(sizes, "relu", random_state=1, backend="cpp")
    rule = mlpfast.SGD(1e-4)

    def train(flops: int) -> int:
        epochs = max(1, round(flops / (rows * flops_a_row(sizes, "step"))))
        net.fit(x, y, epochs=epochs, batch_size=batch, shuffle=False, optimizer=rule, metrics=())
        return epochs * rows

    def predict(flops: int) -> int:
        times = max(1, round(flops / (batch * flops_a_row(sizes, "predict"))))
        for _ in range(times):
            net.predict(one, out=out)
        return times * batch

    return {"step": train, "predict": predict}


def _best(call: Callable[[int], int], threads: list[int], quick: bool) -> dict[int, float]:
    """Return the least seconds of a row for each number of threads, measured in turns."""
    import mlpfast

    target, rounds = (0.001, 2) if quick else (0.008, 7)
    flops = 1000
    taken, rows = _timed(call, flops)  # makes the trainer and the threads
    taken, rows = _timed(call, flops)
    while taken < target / 2:
        flops = max(2 * flops, min(100 * flops, int(flops * target / max(taken, 1e-9))))
        taken, rows = _timed(call, flops)
    best = dict.fromkeys(threads, float("inf"))
    spent = 0.0
    for round_number in range(rounds):
        for n in threads:
            mlpfast.set_num_threads(n)
            if round_number == 0:
                call(1)  # a trainer for this number of threads
            taken, rows = _timed(call, flops)
            spent += taken
            best[n] = min(best[n], taken / rows)
        if spent > 0.6 and round_number >= 1:
            break
    return best


def _timed(call: Callable[[int], int], flops: int) -> tuple[float, int]:
    begin = time.perf_counter()
    rows = call(flops)
    return time.perf_counter() - begin, rows


def series(found: list[Point]) -> dict[tuple[str, str], list[Point]]:
    """Return the points of every sweep and kind, by size."""
    grouped: dict[tuple[str, str], list[Point]] = {}
    for point in found:
        grouped.setdefault((point.sweep, point.kind), []).append(point)
    return {key: sorted(value, key=lambda p: p.size) for key, value in grouped.items()}


def cliffs(found: list[Point]) -> list[str]:
    """Return every size that costs more than `CLIFF` times its smaller neighbour, an operation."""
    worse = []
    for (sweep, kind), line in series(found).items():
        for small, large in pairwise(line):
            for n in small.seconds:
                times = large.seconds[n] / large.flops / (small.seconds[n] / small.flops)
                if times > CLIFF:
                    worse.append(
                        f"{kind}, {_subject(sweep)} {small.size} to {large.size}, "
                        f"{_threads(n)}: {times:.2f} x worse an operation"
                    )
    return worse


def slower_than_one(found: list[Point]) -> list[str]:
    """Return every size at which more threads take longer than one."""
    slower = []
    for p in found:
        for n, seconds in p.seconds.items():
            if seconds > NOISE * p.seconds[1]:
                slower.append(
                    f"{p.kind}, {_subject(p.sweep)} {p.size}: {_threads(n)} take "
                    f"{seconds / p.seconds[1]:.2f} x as long as one"
                )
    return slower


def _subject(sweep: str) -> str:
    return sweep if sweep == "width" else f"{sweep} batch"


def _threads(n: int) -> str:
    return f"{n} thread" + "s" * (n > 1)


def run(cpus: list[int], quick: bool) -> list[dict[str, Any]]:
    """Measure in a process of its own, with one thread and with all of `cpus`."""
    answer: list[dict[str, Any]] = probe.ask("studies.growth", cpus, *["quick"] * quick)
    return answer


def points(facts: list[dict[str, Any]]) -> list[Point]:
    """Return the points as they were before `dataclasses.asdict` and JSON."""
    return [
        Point(**entry | {"seconds": {int(n): float(s) for n, s in entry["seconds"].items()}})
        for entry in facts
    ]


def lines(facts: list[dict[str, Any]]) -> list[str]:
    """Return the table."""
    table = [f"{NAME}  {TITLE}"]
    for (sweep, kind), line in series(points(facts)).items():
        table.append(f"  {kind}, {_subject(sweep)}")
        counts = list(line[0].seconds)
        heads = "".join(f"{f'{n} thread' + 's' * (n > 1):>22}" for n in counts)
        table.append(f"  {'':>8}{heads}")
        table.append(f"  {'':>8}" + f"{'us a row':>12}{'GFLOP/s':>10}" * len(counts))
        for p in line:
            cells = "".join(
                f"{figure(s * 1e6):>12}{p.flops / s / 1e9:>10.1f}" for s in p.seconds.values()
            )
            table.append(f"  {p.size:>8}{cells}")
    return table


def floors(facts: list[dict[str, Any]]) -> list[Floor]:
    """Judge: no cliff, and never slower than one thread."""
    found = points(facts)
    return [
        _none_of(f"no size (G) more than {CLIFF} x worse than the smaller one", cliffs(found)),
        _none_of("never slower than one thread (G)", slower_than_one(found)),
    ]


def _none_of(demand: str, exceptions: list[str]) -> Floor:
    return Floor(demand, "; ".join(exceptions) or "none", not exceptions)


if __name__ == "__main__":
    count, arguments = probe.begin()
    measured = measure(sorted({1, count}), "quick" in arguments)
    print(json.dumps([asdict(point) for point in measured]))
