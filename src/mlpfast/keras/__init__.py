"""Keras' Sequential models of Dense layers, on mlpfast: the same code with its import changed.

``import mlpfast.keras as keras`` in place of ``import keras`` or ``from tensorflow import keras``.
What is not Dense-only raises an error that names it. A model is translated to a `NetSpec` and
trained as an `MLP`; there is no arithmetic of its own here.
"""

from mlpfast.keras import (
    activations,
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
from mlpfast.keras._unsupported import UnsupportedError
from mlpfast.keras.layers import Input
from mlpfast.keras.models import Model, Sequential

__all__ = [
    "Input",
    "Model",
    "Sequential",
    "UnsupportedError",
    "activations",
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
