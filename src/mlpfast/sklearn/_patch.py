"""Unmodified programs on mlpfast: its estimators in the place of scikit-learn's."""

from __future__ import annotations

from typing import Any

_NAMES = ("MLPClassifier", "MLPRegressor")

#: scikit-learn's own, while ours are in their place.
_originals: dict[str, Any] = {}


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
    from sklearn import neural_network

    from mlpfast.sklearn import MLPClassifier, MLPRegressor

    if _originals:
        return
    for name, ours in zip(_NAMES, (MLPClassifier, MLPRegressor), strict=True):
        _originals[name] = getattr(neural_network, name)
        setattr(neural_network, name, ours)


def unpatch_sklearn() -> None:
    """Undo `patch_sklearn`: ``sklearn.neural_network`` has its own estimators again.

    What has been imported in between stays mlpfast's. Without `patch_sklearn` it changes nothing.

    See Also
    --------
    patch_sklearn : What it undoes.
    """
    from sklearn import neural_network

    for name, theirs in _originals.items():
        setattr(neural_network, name, theirs)
    _originals.clear()


def original(name: str) -> Any:
    """Return scikit-learn's own estimator of that name."""
    from sklearn import neural_network

    return _originals.get(name) or getattr(neural_network, name)
