"""Keras' Sequential models of Dense layers, on mlpfast: the same code with its import changed.

``import mlpfast.keras as keras`` in place of ``import keras`` or ``from tensorflow import keras``.
What is not Dense-only raises an error that names it. A model is translated to a `NetSpec` and
trained as an `MLP`; there is no arithmetic of its own here.
"""

import sys as _sys
from typing import Any as _Any

from mlpfast._public import show_public_names as _show_public_names
from mlpfast._version import __version__
from mlpfast.keras import (
    activations,
    backend,
    callbacks,
    datasets,
    initializers,
    layers,
    losses,
    metrics,
    models,
    optimizers,
    regularizers,
    saving,
    utils,
)
from mlpfast.keras._unsupported import UnsupportedError, lookup
from mlpfast.keras.layers import Input
from mlpfast.keras.models import Model, Sequential

__all__ = [
    "Input",
    "Model",
    "Sequential",
    "UnsupportedError",
    "__version__",
    "activations",
    "backend",
    "callbacks",
    "datasets",
    "initializers",
    "layers",
    "losses",
    "metrics",
    "models",
    "optimizers",
    "regularizers",
    "saving",
    "utils",
]

_show_public_names(
    *(_sys.modules[__name__], activations, backend, callbacks, datasets, datasets.mnist),
    *(datasets.fashion_mnist, initializers, layers, losses, metrics, models, optimizers),
    *(optimizers.schedules, regularizers, saving, utils),
)


def __getattr__(name: str) -> _Any:
    return lookup(__name__, name, "class")
