"""Jobs F and L: what a call costs where there is next to nothing to compute."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import repeat
from typing import Any

from benchmarks.jobs.floors import Floor, figure
from benchmarks.machine import probe
from benchmarks.machine.timing import repeats, seconds

NAME = "F"
TITLE = "whole calls on small nets, history and a callback included"

FIT = "fit, one epoch of 100 rows, 4-16-3, Adam, with a callback"
PLAIN = "the same without a callback"
GRAD = "loss_and_grad of one row, 3-2-1 tanh"
#: Seconds that a call may take.
AIMS = {FIT: 30e-6, GRAD: 1.5e-6}


def calls(dtype: str) -> dict[str, Callable[[], object]]:
    """Return the calls by name."""
    import numpy as np

    import mlpfast

    rng = np.random.default_rng(1)
    x = rng.standard_normal((100, 4)).astype(dtype)
    labels = rng.integers(0, 3, 100)
    net = mlpfast.MLP(
        [4, 16, 3], "relu", "softmax", "categorical_crossentropy", dtype=dtype, random_state=1
    )
    rule = mlpfast.Adam(1e-4)
    seen: list[float] = []

    def watch(_net: Any, _epoch: int, logs: dict[str, float]) -> None:
        seen[:] = [logs["loss"]]

    tiny = mlpfast.MLP([3, 2, 1], "tanh", "tanh", dtype=dtype, random_state=1)
    row, target = np.ones((1, 3), dtype), np.ones((1, 1), dtype)
    return {
        FIT: lambda: net.fit(x, labels, epochs=1, optimizer=rule, callbacks=[watch]),
        PLAIN: lambda: net.fit(x, labels, epochs=1, optimizer=rule),
        GRAD: lambda: tiny.loss_and_grad(row, target),
    }


def measure(quick: bool) -> dict[str, float]:
    """Return the least seconds of each call, in this process."""
    found = {}
    for dtype in ("float32", "float64"):
        for name, call in calls(dtype).items():

            def run(k: int, call: Callable[[], object] = call) -> float:
                def again() -> None:
                    for _ in repeat(None, k):
                        call()

                return seconds(again)

            k = repeats(run, 0.001 if quick else 0.01, 100_000)
            found[f"{name}, {dtype}"] = min(run(k) for _ in range(2 if quick else 15)) / k
    return found


def run(cpus: list[int], quick: bool) -> dict[str, float]:
    """Measure in a process of its own."""
    answer: dict[str, float] = probe.ask("studies.calls", cpus, *["quick"] * quick)
    return answer


def lines(facts: dict[str, float]) -> list[str]:
    """Return the table."""
    table = [f"{NAME}  {TITLE}"]
    return table + [f"  {name:<68}{figure(s * 1e6):>8} us" for name, s in facts.items()]


def floors(facts: dict[str, float]) -> list[Floor]:
    """Judge every call that has an aim."""
    return [
        Floor(f"{name} within {figure(aim * 1e6)} us", f"{figure(s * 1e6)} us", s <= aim)
        for call, aim in AIMS.items()
        for name, s in facts.items()
        if name.startswith(call)
    ]


if __name__ == "__main__":
    _, arguments = probe.begin()
    print(json.dumps(measure("quick" in arguments)))
