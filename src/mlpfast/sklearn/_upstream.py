"""scikit-learn's own estimators, also while mlpfast's are in their place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: scikit-learn's own, by name, while others are in their place.
_originals: dict[str, Any] = {}


def replace_with(ours: Mapping[str, Any]) -> None:
    """Put classes in the place of those in ``sklearn.neural_network``, unless that is done."""
    from sklearn import neural_network

    if _originals:
        return
    for name, cls in ours.items():
        _originals[name] = getattr(neural_network, name)
        setattr(neural_network, name, cls)


def restore() -> None:
    """Put scikit-learn's own back."""
    from sklearn import neural_network

    for name, theirs in _originals.items():
        setattr(neural_network, name, theirs)
    _originals.clear()


def original(name: str) -> Any:
    """Return scikit-learn's own estimator of that name."""
    from sklearn import neural_network

    return _originals.get(name) or getattr(neural_network, name)
