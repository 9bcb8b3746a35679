"""The least time that a job can take on this machine: a formula over the measured ceilings.

limit = flops / peak + parameters x optimizer cycles / clock + activations x time of one
        + bytes beyond L2 / bandwidth

The terms are added, not overlapped, and each is the least that the mathematics asks for.
"""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.jobs.workloads import Workload
from benchmarks.machine.ceilings import Ceilings, Rates

#: Seconds that one core takes for one sigmoid, tanh or exp: a branch-free polynomial in vectors.
#: float64 has half the elements a vector. ReLU and identity come free with the product.
ACTIVATION_SECONDS = {"float32": 0.15e-9, "float64": 0.30e-9}
TRANSCENDENTAL = frozenset({"sigmoid", "tanh", "softmax", "softplus", "elu", "silu", "gelu", "exp"})

#: Vector instructions of one update, two of which start in a cycle. SGD is one multiply-add; Adam
#: has two moments, an approximate reciprocal root with Newton steps (two in float64), the step.
OPTIMIZER_INSTRUCTIONS = {
    ("sgd", "float32"): 1,
    ("sgd", "float64"): 1,
    ("adam", "float32"): 16,
    ("adam", "float64"): 20,
}
MOMENTS = {"sgd": 0, "adam": 2}


@dataclass(frozen=True)
class Limit:
    """Seconds of one unit, by what they are spent on."""

    arithmetic: float
    update: float
    activations: float
    memory: float

    @property
    def total(self) -> float:
        return self.arithmetic + self.update + self.activations + self.memory


def flops_a_row(workload: Workload) -> int:
    """Return the operations in the matrix products of one row.

    Forward, weight gradient, and the input gradient of every layer but the first, which nobody
    needs; two for a multiply-add.
    """
    forward = 2 * workload.n_weights
    if not workload.trains:
        return forward
    first = 2 * workload.sizes[0] * workload.sizes[1]
    return 3 * forward - first


def work(workload: Workload, l2: int, threads: int) -> tuple[float, float]:
    """Return the operations of a unit, and the bytes it must read or write beyond the caches.

    For one row the bytes are those of the weights, from whatever cache they fit into.
    """
    flops = float(workload.rows * flops_a_row(workload))
    if workload.rows == 1:
        return flops, float(workload.n_params * workload.itemsize)
    return flops, sum(beyond_caches(workload, l2, threads))


def optimizer_cycles(workload: Workload, vector_bytes: int) -> float:
    """Return the cycles that one core takes to update one parameter."""
    lanes = vector_bytes / workload.itemsize
    return OPTIMIZER_INSTRUCTIONS[workload.optimizer, workload.dtype] / 2 / lanes


def activations_a_row(workload: Workload) -> int:
    """Return how many sigmoids, tanhs or exps a row takes."""
    layers = zip(workload.sizes[1:], workload.activations, strict=True)
    return sum(units for units, name in layers if name in TRANSCENDENTAL)


def limit(workload: Workload, ceilings: Ceilings) -> Limit:
    """Return the least time of one unit of the workload with the threads of `ceilings`.

    One row is one matrix-vector product a layer: it runs on one core, and reading the weights
    from the cache they fit into hides all arithmetic, or the other way round.
    """
    w = workload
    flops = w.rows * flops_a_row(w)
    activations = w.rows * activations_a_row(w) * ACTIVATION_SECONDS[w.dtype]
    if w.rows == 1:
        weights = w.n_params * w.itemsize
        read = weights / ceilings.one.bandwidth(weights)
        return Limit(0.0, 0.0, activations, max(read, flops / ceilings.one.peak(w.dtype)))
    update = 0.0
    if w.trains:
        cycles = w.steps * w.n_params * optimizer_cycles(w, ceilings.vector_bytes)
        update = cycles / ceilings.clock / ceilings.threads
    return Limit(
        flops / ceilings.all.peak(w.dtype),
        update,
        activations / ceilings.threads,
        memory_seconds(w, ceilings.all, ceilings.l2, ceilings.threads),
    )


def beyond_caches(w: Workload, l2: int, threads: int) -> tuple[float, float]:
    """Return the bytes that must come from beyond the second-level caches: of rows, of state.

    Rows and targets are read once a unit. Of the parameters and moments, as much as the caches do
    not hold crosses over in each step: parameters are read in the forward pass, parameters and
    moments are read and written in the update. If all fits together, nothing does.
    """
    data = float(w.rows * (w.sizes[0] + w.sizes[-1]) * w.itemsize)
    state = state_bytes(w)
    cache = l2 * threads
    if data + state <= cache:
        return 0.0, 0.0
    moments = MOMENTS[w.optimizer] if w.trains else 0
    crossing = w.n_params * w.itemsize * (1 + 2 * (1 + moments) if w.trains else 1)
    # A step's own rows pass through; they do not displace the state for good.
    return (
        data if data > cache or w.steps > 1 else 0.0,
        w.steps * crossing * max(0.0, 1 - cache / state),
    )


def state_bytes(w: Workload) -> int:
    """Return the bytes of the parameters and, in training, of the optimizer's moments."""
    return w.n_params * w.itemsize * (1 + (MOMENTS[w.optimizer] if w.trains else 0))


def memory_seconds(w: Workload, rates: Rates, l2: int, threads: int) -> float:
    """Return the time of what must come from beyond the second-level caches."""
    data, state = beyond_caches(w, l2, threads)
    whole = w.rows * (w.sizes[0] + w.sizes[-1]) * w.itemsize
    seconds = data / rates.bandwidth(whole / threads)
    return seconds + state / rates.bandwidth(state_bytes(w) / threads)
