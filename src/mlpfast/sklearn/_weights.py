"""The weights of an estimator: a net, of whose buffer `coefs_` and `intercepts_` are views."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from mlpfast.backends.base import Array
from mlpfast.model import MLP
from mlpfast.spec import NetSpec
from mlpfast.validation import check_x

#: scikit-learn's names of activations that have another name here.
ENGINE_NAMES = {"logistic": "sigmoid"}


def engine_name(activation: str) -> str:
    """Return the name that a backend knows an activation by."""
    return ENGINE_NAMES.get(activation, activation)


class Weights:
    """A net, and the arrays that show its parameters in scikit-learn's order.

    Attributes
    ----------
    net : MLP
    coefs, intercepts : list of arrays
        Views of shapes (n_in, n_out) and (n_out,), one a layer.
    """

    def __init__(self, net: MLP) -> None:
        self.net = net
        self.coefs, self.intercepts = net.weights, net.biases
        self._fast_predict = net._fast_predict

    @classmethod
    def from_arrays(
        cls, spec: NetSpec, coefs: Sequence[Any], intercepts: Sequence[Any], backend: str | None
    ) -> Weights:
        """Make a net with these weights (copied); shapes must be those of the spec."""
        weights = cls(MLP.from_spec(spec, np.zeros(spec.n_params), backend=backend))
        weights.take(coefs, intercepts)
        return weights

    def take(self, coefs: Sequence[Any], intercepts: Sequence[Any]) -> None:
        """Copy values into the net, where they are not there already."""
        for views, given in ((self.coefs, coefs), (self.intercepts, intercepts)):
            for view, value in zip(views, given, strict=True):
                if value is not view:
                    view[...] = value

    def shown_by(self, coefs: Any, intercepts: Any) -> bool:
        """Whether these lists still hold the net's own views."""
        for views, given in ((self.coefs, coefs), (self.intercepts, intercepts)):
            if given is not views:
                if len(given) != len(views):
                    return False
                for view, value in zip(views, given, strict=True):
                    if value is not view:
                        return False
        return True

    def quick_outputs(self, x: Any) -> Array | None:
        """Return the outputs for a few good rows, None for all that needs a closer look.

        Good is a finite, contiguous (n, n_in) array of the net's dtype.
        """
        if type(x) is not np.ndarray or x.ndim != 2:
            return None
        outputs = self._fast_predict(x, None)
        # Of the ways to look for NaN and the infinities in a short array this one costs least.
        if outputs is NotImplemented or np.count_nonzero(np.isfinite(x)) != x.size:
            return None
        return outputs

    def outputs(self, x: Array) -> Array:
        """Return the outputs (n, n_out) for finite rows, in the wider of the two dtypes."""
        net = self.net
        if np.result_type(x.dtype, net.params.dtype) != net.params.dtype:
            spec = replace(net.spec, dtype="float64")
            net = MLP.from_spec(spec, np.zeros(spec.n_params), backend=net._backend_name)
            net.params[...] = self.net.params
        x = check_x(net.spec, x)
        out = np.empty((x.shape[0], net.spec.n_out), net.params.dtype)
        if len(out):
            net._backend.forward(net.spec, net.params, x, 1.0, out)
        return out
