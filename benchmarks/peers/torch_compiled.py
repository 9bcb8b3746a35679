"""PyTorch with the net and its loss through torch.compile; it compiles for half a minute a job."""

# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

from itertools import repeat

import torch

from benchmarks.jobs.data import Job
from benchmarks.peers.torch_eager import Torch


class TorchCompiled(Torch):
    """As the eager contestant, with forward, loss and backward compiled by Inductor."""

    def prepare(self, job: Job, *, own_order: bool) -> None:
        super().prepare(job, own_order=own_order)
        torch._dynamo.reset()
        net, loss = self.net, self.loss
        if job.workload.trains:
            self.compiled_loss = torch.compile(lambda x, y: loss(net(x), y), dynamic=False)
        else:
            self.compiled_net = torch.compile(net, dynamic=False)

    def step(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.compiled_loss(x, y)
        loss.backward()
        self.optimizer.step()
        return loss.detach()

    def predict(self, units: int) -> None:
        net, x = self.compiled_net, self.job.x
        with torch.inference_mode():
            for _ in repeat(None, units):
                self.out = net(torch.from_numpy(x)).numpy()


def make(_: str) -> TorchCompiled:
    """Return the contestant."""
    return TorchCompiled()
