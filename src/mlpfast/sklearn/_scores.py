"""The scores for early stopping: scikit-learn's, without its checks of the arguments."""

from __future__ import annotations

import numpy as np

from mlpfast.backends.base import Array


def accuracy(wanted: Array, outputs: Array, weight: Array | None) -> float:
    """Return the weighted share of rows that are right, all of their outputs.

    Parameters
    ----------
    wanted : (n,) int labels, or (n, n_out) bool
    outputs : (n, n_out) probabilities
    weight : (n,) array or None
    """
    if wanted.ndim == 1:
        right = outputs.argmax(axis=1) == wanted
    else:
        right = ((outputs > 0.5) == wanted).all(axis=1)
    return float(np.average(right, weights=weight))


def r2(wanted: Array, outputs: Array, weight: Array | None) -> float:
    """Return the coefficient of determination, the mean over outputs; NaN for bad outputs.

    Where the targets are all the same it is 1 if they are met, else 0.
    """
    if not np.isfinite(outputs).all():
        return float("nan")
    w = 1.0 if weight is None else weight[:, None]
    residual = (w * (wanted - outputs) ** 2).sum(axis=0)
    mean = np.average(wanted, axis=0, weights=weight)
    total = (w * (wanted - mean) ** 2).sum(axis=0)
    scores = np.where(residual == 0, 1.0, 0.0)
    varied = (total != 0) & (residual != 0)
    scores[varied] = 1 - residual[varied] / total[varied]
    return float(scores.mean())
