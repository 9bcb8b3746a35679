"""Sequential, and models made from files and descriptions."""

from __future__ import annotations

from typing import Any

from mlpfast.keras._sequential import Sequential
from mlpfast.keras._unsupported import lookup, placeholder
from mlpfast.keras.saving import clone_model, load_model, model_from_json, save_model

__all__ = [
    "Model",
    "Sequential",
    "clone_model",
    "load_model",
    "model_from_json",
    "save_model",
]

Model = placeholder("Model", "functional or subclassed model")


def __getattr__(name: str) -> Any:
    return lookup(__name__, name, "model")
