"""The few functions of Keras' backend that a program for Sequential models may call."""

from __future__ import annotations

from mlpfast.keras._names import clear_names as clear_session

__all__ = ["clear_session", "epsilon", "floatx"]


def floatx() -> str:
    """Return the dtype of the models."""
    return "float32"


def epsilon() -> float:
    """Return the small number that stands in Keras' formulas."""
    return 1e-7
