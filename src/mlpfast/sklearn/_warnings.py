"""Warnings as scikit-learn gives them: the same words, and from the same package."""

from __future__ import annotations

import sys
import types
import warnings
from typing import Any

from sklearn.exceptions import DataConversionWarning
from sklearn.utils import column_or_1d
from sklearn.utils import optimize as _optimize

from mlpfast.backends.base import Array


def warn(message: str, category: type[Warning] = UserWarning, **_: Any) -> None:
    """Warn on behalf of the nearest function of scikit-learn that is running.

    So ``filterwarnings("ignore", module="sklearn")`` is true of our warnings as well.
    """
    level, frame = 1, sys._getframe()
    while frame.f_back is not None:
        level, frame = level + 1, frame.f_back
        if frame.f_globals.get("__name__", "").startswith("sklearn."):
            break
    else:
        level = 2
    warnings.warn(message, category, stacklevel=level)


#: What says that L-BFGS has not converged, in the words of the scikit-learn that is installed.
check_optimize_result = types.FunctionType(
    _optimize._check_optimize_result.__code__,
    {**vars(_optimize), "warnings": types.SimpleNamespace(warn=warn)},
    argdefs=_optimize._check_optimize_result.__defaults__,
)


def flat_column(y: Array) -> Array:
    """Return y (n, 1) as (n,) with a warning, and any other as it is."""
    if y.ndim != 2 or y.shape[1] != 1:
        return y
    warn(
        "A column-vector y was passed when a 1d array was expected. Please change the shape of y "
        "to (n_samples, ), for example using ravel().",
        DataConversionWarning,
    )
    flat: Array = column_or_1d(y)
    return flat
