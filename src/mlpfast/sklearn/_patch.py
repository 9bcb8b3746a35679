"""Unmodified programs on mlpfast: its estimators in the place of scikit-learn's."""

from __future__ import annotations

from mlpfast.sklearn import _upstream
from mlpfast.sklearn._classifier import MLPClassifier
from mlpfast.sklearn._regressor import MLPRegressor


def patch_sklearn() -> None:
    """Put mlpfast's estimators in the place of those in ``sklearn.neural_network``.

    What is imported from there afterwards is mlpfast's; a program calls this first, or is run by
    ``python -m mlpfast.accel program.py``. Names that have been imported before stay what they are.
    Calling it again changes nothing.

    See Also
    --------
    unpatch_sklearn : Undo it.

    Examples
    --------
    >>> import mlpfast
    >>> mlpfast.patch_sklearn()
    >>> from sklearn.neural_network import MLPClassifier
    >>> MLPClassifier is mlpfast.MLPClassifier
    True
    >>> mlpfast.unpatch_sklearn()
    """
    _upstream.replace_with({"MLPClassifier": MLPClassifier, "MLPRegressor": MLPRegressor})


def unpatch_sklearn() -> None:
    """Undo `patch_sklearn`: ``sklearn.neural_network`` has its own estimators again.

    What has been imported in between stays mlpfast's. Without `patch_sklearn` it changes nothing.

    See Also
    --------
    patch_sklearn : What it undoes.
    """
    _upstream.restore()
