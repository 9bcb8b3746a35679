"""mlpfast itself, one of its backends, through the public API."""

from __future__ import annotations

from itertools import repeat

import numpy as np

import mlpfast
from benchmarks.jobs.data import SEED, Array, Job
from benchmarks.jobs.workloads import Workload
from mlpfast.backends import load


class Mlpfast:
    """`MLP.fit` and `MLP.predict`."""

    def __init__(self, backend: str) -> None:
        self.backend = backend
        self.facts = load(backend).describe()

    def versions(self) -> dict[str, str]:
        facts = {"isa": self.facts["isa"]} if self.backend.startswith("cpp") else {}
        return {"mlpfast": mlpfast.__version__, "numpy": np.__version__, **facts}

    def refuses(self, workload: Workload) -> str | None:
        return None

    def prepare(self, job: Job, *, own_order: bool) -> None:
        w = self.workload = job.workload
        self.job = job
        self.spec = mlpfast.NetSpec(w.sizes, w.activations, w.loss, w.reduction, w.dtype)
        rule = {"sgd": mlpfast.SGD, "adam": mlpfast.Adam}[w.optimizer]
        self.optimizer = rule(w.learning_rate)
        by_label = w.loss == "categorical_crossentropy" and job.labels is not None
        self.targets = job.labels if by_label else job.y
        self.x = job.x[0] if w.rows == 1 else job.x
        self.out = np.empty((w.rows, w.sizes[-1]), w.dtype)
        self.target = self.out[0] if w.rows == 1 else self.out

    def start(self) -> None:
        # fit draws an epoch's order with permutation(n) from the net's generator.
        self.net = mlpfast.MLP.from_spec(
            self.spec, self.job.params, random_state=SEED, backend=self.backend
        )

    def run(self, units: int) -> None:
        if not self.workload.trains:
            predict, x, out = self.net.predict, self.x, self.target
            for _ in repeat(None, units):
                predict(x, out=out)
            return
        self.net.fit(
            self.x,
            self.targets,
            epochs=units,
            batch_size=self.workload.batch,
            optimizer=self.optimizer,
            metrics=(),
        )

    def result(self) -> Array:
        return self.net.params.copy() if self.workload.trains else self.out


def make(backend: str) -> Mlpfast:
    """Return the contestant; raise BackendError if the backend is not there."""
    return Mlpfast(backend)
