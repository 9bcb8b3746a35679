"""Fitting by L-BFGS: SciPy's minimizer on the loss and gradient of all rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from mlpfast.backends.base import Array
from mlpfast.net import Net
from mlpfast.sklearn._fitted import FittedMLP
from mlpfast.sklearn._rows import Rows
from mlpfast.sklearn._warnings import check_optimize_result


def fit(estimator: FittedMLP, net: Net, rows: Rows) -> None:
    """Move the parameters of `net` to a minimum, as scikit-learn's MLP does."""
    import scipy.optimize

    params, factor, weight_sum = net.params, estimator._loss_factor(), rows.weight_sum
    if weight_sum == 0:
        raise ZeroDivisionError("Weights sum to zero, can't be normalized")
    decay = np.zeros_like(params)  # by parameter: that of the biases is 0
    for part in net.spec.layers():
        decay[part.w] = estimator.alpha / weight_sum

    gradient, shrink = rows.gradient_of(net), np.empty_like(params)
    grad: Array | None = None  # at x = params, once there has been a loss

    def loss_at(x: Array) -> float:
        nonlocal grad
        params[...] = x
        grad = np.empty_like(params)  # SciPy keeps it
        loss = gradient(grad)
        np.multiply(decay, x, out=shrink)
        np.add(grad, shrink, out=grad)
        return factor * loss + 0.5 * float(shrink @ x)

    def grad_at(x: Array) -> Array:
        # SciPy asks for it right after the loss; with ``jac=True`` it would copy and compare more.
        if grad is None or not (x == params).all():
            loss_at(x)
        assert grad is not None
        return grad

    result = scipy.optimize.minimize(
        loss_at,
        params.copy(),
        method="L-BFGS-B",
        jac=grad_at,
        options={
            "maxfun": estimator.max_fun,
            "maxiter": estimator.max_iter,
            "gtol": estimator.tol,
            **_printing(estimator.verbose),
        },
    )
    estimator.n_iter_ = check_optimize_result("lbfgs", result, estimator.max_iter)
    estimator.loss_ = np.float64(result.fun)
    params[...] = result.x


def _printing(verbose: Any) -> dict[str, int]:
    """Return the option by which an older SciPy is told whether to print."""
    from scipy import __version__

    if tuple(map(int, __version__.split(".")[:2])) >= (1, 15):
        return {}
    return {"iprint": 1 if verbose is True or verbose >= 1 else -1}
