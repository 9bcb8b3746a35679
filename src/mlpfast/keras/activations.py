"""Activation functions by Keras' names, and what they are called in a `NetSpec`."""

from __future__ import annotations

from typing import Any

import numpy as np

from mlpfast.backends.base import Array
from mlpfast.backends.numpy import FORWARD
from mlpfast.keras._unsupported import refuse

#: Keras' names, old and new, and mlpfast's.
NAMES = {
    "linear": "identity",
    "sigmoid": "sigmoid",
    "tanh": "tanh",
    "relu": "relu",
    "elu": "elu",
    "softplus": "softplus",
    "silu": "silu",
    "swish": "silu",
    "gelu": "gelu",
    "exponential": "exp",
    "softmax": "softmax",
}


class Activation:
    """A function of Keras, to be given to a layer or called on an array (..., units)."""

    def __init__(self, name: str) -> None:
        self.__name__ = name
        self.__doc__ = f"{name}(x), elementwise" + (" over the last axis" * (name == "softmax"))

    def __call__(self, x: Any) -> Array:
        x = np.asarray(x, np.float32)
        rows = x.reshape(-1, x.shape[-1] if x.ndim else 1)
        return FORWARD[NAMES[self.__name__]](rows).reshape(x.shape)

    def __repr__(self) -> str:
        return f"<activation {self.__name__}>"


linear, sigmoid, tanh, relu = (Activation(name) for name in ("linear", "sigmoid", "tanh", "relu"))
elu, softplus, silu, swish = (Activation(name) for name in ("elu", "softplus", "silu", "swish"))
gelu, exponential, softmax = (Activation(name) for name in ("gelu", "exponential", "softmax"))


def get(identifier: Any) -> Activation:
    """Return the activation that a name, a function of this module or None (linear) stands for.

    Raises
    ------
    UnsupportedError
        For any other name, and for a function of one's own.
    """
    if identifier is None:
        return linear
    if isinstance(identifier, Activation):
        return identifier
    if not isinstance(identifier, str) or identifier not in NAMES:
        refuse(f"activation {identifier!r}", f"there are {', '.join(NAMES)}")
    return Activation(identifier)
