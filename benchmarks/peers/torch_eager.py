"""PyTorch, a manual training loop in eager mode with its fused optimizers."""

# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

import os
from collections.abc import Callable
from itertools import repeat
from typing import Any

import numpy as np
import torch

from benchmarks.jobs.data import Array, Job, flatten
from benchmarks.jobs.workloads import Workload

_MODULES = {
    "relu": torch.nn.ReLU,
    "tanh": torch.nn.Tanh,
    "sigmoid": torch.nn.Sigmoid,
    "identity": torch.nn.Identity,
}


def _loss(workload: Workload) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    """Return the loss as a function of the net's outputs, logits for the cross-entropies."""
    if workload.loss == "squared_error":
        half_sum = torch.nn.MSELoss(reduction="sum")
        return lambda o, t: 0.5 * half_sum(o, t)
    return {
        "mse": torch.nn.MSELoss(),
        "categorical_crossentropy": torch.nn.CrossEntropyLoss(),
        "binary_crossentropy": torch.nn.BCEWithLogitsLoss(),
    }[workload.loss]


class Torch:
    """`torch.nn.Sequential`, whose weights are the transposed ones of a job."""

    def __init__(self) -> None:
        torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
        torch.set_num_interop_threads(1)

    def versions(self) -> dict[str, str]:
        return {"torch": torch.__version__}

    def refuses(self, workload: Workload) -> str | None:
        return None

    def prepare(self, job: Job, *, own_order: bool) -> None:
        w = self.workload = job.workload
        self.job = job
        dtype = getattr(torch, w.dtype)
        from_logits = w.trains and w.loss.endswith("crossentropy")
        parts: list[torch.nn.Module] = []
        for i, (name, n_in) in enumerate(zip(w.activations, w.sizes, strict=False)):
            parts.append(torch.nn.Linear(n_in, w.sizes[i + 1], dtype=dtype))
            if from_logits and i == len(w.activations) - 1:
                continue
            softmax = name == "softmax"
            parts.append(torch.nn.Softmax(dim=1) if softmax else _MODULES[name]())
        self.net = torch.nn.Sequential(*parts)
        self.linear = [m for m in self.net if isinstance(m, torch.nn.Linear)]
        self.loss = _loss(w)
        self.x = torch.from_numpy(job.x)
        by_label = w.loss == "categorical_crossentropy" and job.labels is not None
        self.y = torch.from_numpy(job.labels if by_label else job.y)

    def start(self) -> None:
        with torch.no_grad():
            for module, (weights, biases) in zip(self.linear, self.job.layers(), strict=True):
                module.weight.copy_(torch.from_numpy(weights.T.copy()))
                module.bias.copy_(torch.from_numpy(biases))
        if not self.workload.trains:
            self.net.eval()
            return
        rule = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}[self.workload.optimizer]
        rate = self.workload.learning_rate
        self.optimizer: Any = rule(self.net.parameters(), lr=rate, fused=True)
        self.orders = self.job.row_orders()

    def step(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Make one update and return the loss before it."""
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.loss(self.net(x), y)
        loss.backward()
        self.optimizer.step()
        return loss.detach()

    def run(self, units: int) -> None:
        if not self.workload.trains:
            self.predict(units)
            return
        step, x, y, batch = self.step, self.x, self.y, self.workload.batch
        for _ in range(units):
            if not self.job.shuffled:
                step(x, y)
                continue
            order = torch.from_numpy(self.orders.permutation(len(x)))
            total = torch.zeros((), dtype=x.dtype)
            for rows in order.split(batch):
                total += step(x.index_select(0, rows), y.index_select(0, rows))

    def predict(self, units: int) -> None:
        net, x = self.net, self.job.x
        with torch.inference_mode():
            for _ in repeat(None, units):
                self.out = net(torch.from_numpy(x)).numpy()

    def result(self) -> Array:
        if not self.workload.trains:
            return self.out  # type: ignore[no-any-return]
        pairs = [(m.weight.detach().numpy().T, m.bias.detach().numpy()) for m in self.linear]
        return np.array(flatten(pairs))


def make(_: str) -> Torch:
    """Return the contestant."""
    return Torch()
