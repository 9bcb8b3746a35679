"""What a contestant does: take a job, start from its weights, and repeat units of it."""

from __future__ import annotations

import math
from typing import Protocol

from benchmarks.jobs.data import Array, Job
from benchmarks.jobs.workloads import Workload


class Contestant(Protocol):
    """One library on one job at a time, in a process of its own.

    The order of calls is `refuses`, `prepare`, `start`, then `run` any number of times, each
    timed from outside, with `start` before it where an epoch is timed. NumPy arrays go in and,
    for predictions, come out.
    """

    def versions(self) -> dict[str, str]:
        """Return the versions of the libraries at work."""

    def refuses(self, workload: Workload) -> str | None:
        """Return why this library cannot do the job as defined, None if it can."""

    def prepare(self, job: Job, *, own_order: bool) -> None:
        """Build the net for a job.

        A library that only shuffles in its own way may do so if `own_order` is set; otherwise the
        rows are taken in the job's order, at whatever cost.
        """

    def start(self) -> None:
        """Go back to the job's first weights, an empty optimizer and the first row order."""

    def run(self, units: int) -> None:
        """Do `units` epochs, steps or predictions; everything is done on return."""

    def result(self) -> Array:
        """Return the flat parameters, or for predict the outputs (rows, n_out)."""


EPSILON = 1e-8


def early_epsilon(workload: Workload) -> float:
    """Return Adam's epsilon for a library that adds it before the bias of v is corrected.

    The textbook adds it to sqrt(v / (1 - beta_2^t)), Keras and scikit-learn to sqrt(v), where in
    the first steps it weighs some thirty times as much: more than many a gradient. This value
    makes the two forms equal in the middle of the shortened job; the work is the same.
    """
    short = workload.shortened()
    middle = (short.steps * short.check_units + 1) / 2
    return EPSILON * math.sqrt(1 - 0.999**middle)
