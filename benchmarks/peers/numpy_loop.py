"""The plain NumPy program that a student writes: two weight matrices, the bias a column of ones."""

from __future__ import annotations

import numpy as np

from benchmarks.jobs.data import Array, Job, flatten
from benchmarks.jobs.workloads import Workload


class NumpyLoop:
    """Full-batch gradient descent on one hidden layer of sigmoids, summed squared error."""

    def versions(self) -> dict[str, str]:
        return {"numpy": np.__version__}

    def refuses(self, w: Workload) -> str | None:
        fits = w.data == "xor" and w.loss == "squared_error" and w.optimizer == "sgd"
        return None if fits else "only the XOR loop"

    def prepare(self, job: Job, *, own_order: bool) -> None:
        self.job = job
        ones = np.ones((len(job.x), 1), job.x.dtype)
        self.x, self.y = np.hstack([job.x, ones]), job.y

    def start(self) -> None:
        (w0, b0), (w1, b1) = self.job.layers()
        # The last hidden unit is the bias of the next layer: its output is set to 1, its
        # incoming weights never matter.
        inner = np.vstack([w0, b0])
        self.inner = np.hstack([inner, np.zeros((len(inner), 1), inner.dtype)])
        self.outer = np.vstack([w1, b1[None]])

    def run(self, units: int) -> None:
        x, y, inner, outer = self.x, self.y, self.inner, self.outer
        rate = x.dtype.type(self.job.workload.learning_rate)
        for _ in range(units):
            hidden = 1 / (1 + np.exp(-(x @ inner)))
            hidden[:, -1] = 1
            out = 1 / (1 + np.exp(-(hidden @ outer)))
            delta_out = (out - y) * out * (1 - out)
            delta_hidden = (delta_out @ outer.T) * hidden * (1 - hidden)
            outer -= rate * (hidden.T @ delta_out)
            inner -= rate * (x.T @ delta_hidden)

    def result(self) -> Array:
        inner, outer = self.inner[:, :-1], self.outer
        return flatten([(inner[:-1], inner[-1]), (outer[:-1], outer[-1])])


def make(_: str) -> NumpyLoop:
    """Return the contestant."""
    return NumpyLoop()
