"""The data sets of Keras' lessons that are for dense nets."""

from __future__ import annotations

from mlpfast.keras.datasets import fashion_mnist, mnist

__all__ = ["fashion_mnist", "mnist"]
