"""Activation functions by Keras' names, and what they are called in a `NetSpec`."""

from __future__ import annotations

from typing import Any

import numpy as np

from mlpfast.backends.base import Array
from mlpfast.backends.numpy import FORWARD
from mlpfast.keras._unsupported import refuse
from mlpfast.spec import ACTIVATION_RECORDS

__all__ = ["Activation", "get"]

#: Keras' names, old and new, and mlpfast's.
NAMES = {theirs: record.name for record in ACTIVATION_RECORDS.values() for theirs in record.keras}


class Activation:
    """A function of Keras, to be given to a layer or called on an array (..., units)."""

    def __init__(self, name: str) -> None:
        self.__name__ = name
        whole_rows = ACTIVATION_RECORDS[NAMES[name]].whole_rows
        self.__doc__ = f"{name}(x), {'over the last axis' if whole_rows else 'elementwise'}"

    def __call__(self, x: Any) -> Array:
        x = np.asarray(x, np.float32)
        rows = x.reshape(-1, x.shape[-1] if x.ndim else 1)
        return FORWARD[NAMES[self.__name__]](rows).reshape(x.shape)

    def __repr__(self) -> str:
        return f"<activation {self.__name__}>"


# Each is a function of the module: `relu` and so on.
_FUNCTIONS = {name: Activation(name) for name in NAMES}
globals().update(_FUNCTIONS)
__all__ += list(_FUNCTIONS)


def get(identifier: Any) -> Activation:
    """Return the activation that a name, a function of this module or None (linear) stands for.

    Raises
    ------
    UnsupportedError
        For any other name, and for a function of one's own.
    """
    if identifier is None:
        return _FUNCTIONS["linear"]
    if isinstance(identifier, Activation):
        return identifier
    if not isinstance(identifier, str) or identifier not in NAMES:
        refuse(f"activation {identifier!r}", f"there are {', '.join(NAMES)}")
    return Activation(identifier)
