"""scikit-learn's multilayer perceptrons, trained and run by mlpfast: change the import, no more."""

import sys as _sys

try:
    from sklearn.utils.validation import validate_data as _wanted  # noqa: F401 - since 1.6
except ImportError as error:
    raise ImportError(
        'mlpfast.sklearn needs scikit-learn 1.6 or later: pip install "mlpfast[sklearn]"'
    ) from error

from mlpfast._public import show_public_names as _show_public_names
from mlpfast.sklearn._classifier import MLPClassifier
from mlpfast.sklearn._display import LossCurveDisplay
from mlpfast.sklearn._patch import patch_sklearn, unpatch_sklearn
from mlpfast.sklearn._regressor import MLPRegressor

__all__ = [
    "LossCurveDisplay",
    "MLPClassifier",
    "MLPRegressor",
    "patch_sklearn",
    "unpatch_sklearn",
]

_show_public_names(_sys.modules[__name__])
