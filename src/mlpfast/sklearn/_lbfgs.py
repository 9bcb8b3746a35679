"""Fitting by L-BFGS: SciPy's minimizer on the loss and gradient of all rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mlpfast.backends.base import Array
from mlpfast.model import MLP

if TYPE_CHECKING:
    from mlpfast.sklearn._base import BaseMLP
    from mlpfast.sklearn._rows import Rows


def fit(estimator: BaseMLP, net: MLP, rows: Rows) -> None:
    """Move the parameters of `net` to a minimum, as scikit-learn's MLP does."""
    import scipy.optimize

    from mlpfast.sklearn._warnings import check_optimize_result

    params, factor, weight_sum = net.params, estimator._loss_factor(), rows.weight_sum
    if weight_sum == 0:
        raise ZeroDivisionError("Weights sum to zero, can't be normalized")
    decay = np.zeros_like(params)  # by parameter: that of the biases is 0
    for part in net.spec.layers():
        decay[part.w] = estimator.alpha / weight_sum

    def loss_and_grad(x: Array) -> tuple[float, Array]:
        params[...] = x
        grad = np.empty_like(params)
        loss = rows.loss_and_grad(net, grad)
        shrink = decay * x
        grad += shrink
        return factor * loss + 0.5 * float(shrink @ x), grad

    result = scipy.optimize.minimize(
        loss_and_grad,
        params.copy(),
        method="L-BFGS-B",
        jac=True,
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
