"""Whether a contestant computes the right thing: its result beside that of the NumPy backend."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from benchmarks.jobs.data import Array, Job, make_job
from benchmarks.jobs.workloads import Workload

#: Largest distance of the trained parameters from the reference, as a share of the way that
#: training moved them. Adam divides by the gradient's size, so it blows rounding up.
MOVED_TOLERANCE = {
    ("sgd", "float32"): 1e-3,
    ("adam", "float32"): 2e-2,
    ("sgd", "float64"): 1e-6,
    ("adam", "float64"): 1e-5,
}
#: Relative distance of the loss after training, and of every predicted output.
LOSS_TOLERANCE = {"float32": 1e-3, "float64": 1e-7}
OUTPUT_TOLERANCE = {"float32": 1e-4, "float64": 1e-10}


@dataclass(frozen=True)
class Reference:
    """The shortened job and its right result: flat parameters, or outputs of predict."""

    job: Job
    result: Array


def reference(workload: Workload) -> Reference:
    """Do the shortened job with mlpfast's NumPy backend, which is the specification."""
    from benchmarks.peers.ours import Mlpfast

    job = make_job(workload.shortened())
    numpy = Mlpfast("numpy")
    numpy.prepare(job, own_order=False)
    numpy.start()
    numpy.run(workload.check_units)
    return Reference(job, numpy.result())


def fault(ref: Reference, got: Array) -> str | None:
    """Return what is wrong with a contestant's result, None if it is right."""
    w, want = ref.job.workload, ref.result
    if got.shape != want.shape:
        return f"result has shape {got.shape}, expected {want.shape}"
    if got.dtype != want.dtype:
        return f"result has dtype {got.dtype}, expected {want.dtype}"
    if not np.isfinite(got).all():
        return "result is not finite"
    if not w.trains:
        tolerance = OUTPUT_TOLERANCE[w.dtype]
        if np.allclose(got, want, rtol=tolerance, atol=tolerance / 10):
            return None
        return f"outputs differ by up to {np.abs(got - want).max():.2g}"
    moved = np.linalg.norm(want - ref.job.params)
    distance = np.linalg.norm(got - want) / moved
    if not distance <= MOVED_TOLERANCE[w.optimizer, w.dtype]:
        return f"parameters are off by {distance:.2g} of the way that training moved them"
    right, loss = (_loss(ref.job, params) for params in (want, got))
    if not abs(loss - right) <= LOSS_TOLERANCE[w.dtype] * abs(right):
        return f"loss after training is {loss:.6g}, expected {right:.6g}"
    return None


def _loss(job: Job, params: Array) -> float:
    import mlpfast

    w = job.workload
    spec = mlpfast.NetSpec(w.sizes, w.activations, w.loss, w.reduction, w.dtype)
    net = mlpfast.MLP.from_spec(spec, params, backend="numpy")
    return net.evaluate(job.x, job.y)["loss"]
