"""The weights of an estimator: a net, of whose buffer `coefs_` and `intercepts_` are views."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from operator import is_
from typing import Any

import numpy as np

from mlpfast.arrays import check_x
from mlpfast.backends.base import Array
from mlpfast.model import MLP
from mlpfast.sklearn._rows import check_range, dense_pieces, is_sparse
from mlpfast.spec import NetSpec

# Numbers that are converted for a quick answer.
_FEW = 4096


class Weights:
    """A net, and the arrays that show its parameters in scikit-learn's order.

    Attributes
    ----------
    net : MLP
    coefs, intercepts : tuple of arrays
        Views of shapes (n_in, n_out) and (n_out,), one a layer.
    names : tuple
        scikit-learn's of the activations, the hidden ones as they are given, and the output's.
    """

    names: tuple[Any, str]

    def __init__(self, net: MLP) -> None:
        self.net = net
        self.coefs, self.intercepts = tuple(net.weights), tuple(net.biases)
        self._fast_predict = net.fast_predict

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
        # Asked in every prediction: without a loop in Python.
        return (
            len(coefs) == len(intercepts) == len(self.coefs)
            and all(map(is_, coefs, self.coefs))
            and all(map(is_, intercepts, self.intercepts))
        )

    def quick_outputs(self, x: Any, *, narrow: bool) -> Array | None:
        """Return the outputs for a few good rows, None for all that needs a closer look.

        Good is a finite, contiguous (n, n_in) array of the net's dtype; see also `outputs`.
        """
        if type(x) is not np.ndarray or x.ndim != 2:
            return None
        if narrow and x.size <= _FEW and x.dtype.char == "d":
            with np.errstate(over="ignore"):
                x = x.astype(self.net.params.dtype)
        outputs = self._fast_predict(x, None)
        # Of the ways to look for NaN and the infinities in a short array this one costs least.
        if outputs is NotImplemented or np.count_nonzero(np.isfinite(x)) != x.size:
            return None
        return outputs

    def outputs(self, x: Any, *, narrow: bool) -> Array:
        """Return the outputs (n, n_out) for finite rows, dense or sparse.

        They are of the net's dtype if `narrow`, else of the wider of the two dtypes, in which they
        are then computed, as NumPy would.
        """
        net = self.net
        if not narrow and np.result_type(x.dtype, net.params.dtype) != net.params.dtype:
            spec = replace(net.spec, dtype="float64")
            net = MLP.from_spec(spec, np.zeros(spec.n_params), backend=net.requested_backend)
            net.params[...] = self.net.params
        check_range(x, net.spec.dtype)
        if is_sparse(x):
            return np.concatenate([_outputs(net, part) for _, part in dense_pieces(x)])
        return _outputs(net, x)


def _outputs(net: MLP, x: Array) -> Array:
    x = check_x(net.spec, x)
    out = np.empty((x.shape[0], net.spec.n_out), net.params.dtype)
    if len(out):
        net.engine.forward(net.spec, net.params, x, 1.0, out)
    return out
