"""A net of PyTorch with the parameters of one of ours, for tests that train both side by side."""

import numpy as np
import pytest


class TorchPeer:
    """The net in double precision; `module` is the PyTorch module, `linears` its dense layers."""

    def __init__(self, net, *activations):
        """Copy the net; `activations` are names in torch.nn, one after each layer or but the last.

        The test is skipped where PyTorch is not installed.
        """
        self.torch = torch = pytest.importorskip("torch")
        self.linears = []
        for w, b in zip(net.weights, net.biases, strict=True):
            linear = torch.nn.Linear(*w.shape, dtype=torch.float64)
            with torch.no_grad():
                linear.weight.copy_(torch.tensor(w.T.copy()))  # (n_out, n_in) there
                linear.bias.copy_(torch.tensor(b.copy()))
            self.linears.append(linear)
        layers = []
        for i, linear in enumerate(self.linears):
            layers.append(linear)
            layers += [getattr(torch.nn, name)() for name in activations[i : i + 1]]
        self.module = torch.nn.Sequential(*layers)

    def squared_error(self, x, y):
        """Return half the squared error of a row, a mean over the rows."""
        x, y = self.torch.tensor(x), self.torch.tensor(y)
        return 0.5 * ((self.module(x) - y) ** 2).sum(dim=1).mean()

    @property
    def params(self):
        """Return the parameters in the order of `MLP.params`."""
        parts = [p for linear in self.linears for p in (linear.weight.T, linear.bias)]
        return np.concatenate([p.detach().numpy().ravel() for p in parts])
