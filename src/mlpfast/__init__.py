"""mlpfast: train and run multilayer perceptrons on a CPU, fast."""

from importlib import import_module as _import_module
from typing import Any as _Any

from mlpfast import datasets, kernels, plotting
from mlpfast._version import __version__
from mlpfast.backends import BackendError, FallbackWarning
from mlpfast.callbacks import (
    Callback,
    CSVLogger,
    EarlyStopping,
    LambdaCallback,
    ModelCheckpoint,
)
from mlpfast.config import get_num_threads, set_num_threads, show_config
from mlpfast.explain import explain_step
from mlpfast.gradient_check import check_gradients
from mlpfast.history import History
from mlpfast.model import MLP
from mlpfast.schedules import CosineDecay, ExponentialDecay, PerStep, ReduceOnPlateau, StepDecay
from mlpfast.spec import SGD, Adam, AdamW, Huber, NetSpec, Optimizer, Quantile, RMSprop
from mlpfast.training import TrainingDiverged

__all__ = [
    "MLP",
    "SGD",
    "Adam",
    "AdamW",
    "BackendError",
    "CSVLogger",
    "Callback",
    "CosineDecay",
    "EarlyStopping",
    "ExponentialDecay",
    "FallbackWarning",
    "History",
    "Huber",
    "LambdaCallback",
    "ModelCheckpoint",
    "NetSpec",
    "Optimizer",
    "PerStep",
    "Quantile",
    "RMSprop",
    "ReduceOnPlateau",
    "StepDecay",
    "TrainingDiverged",
    "__version__",
    "check_gradients",
    "datasets",
    "explain_step",
    "get_num_threads",
    "kernels",
    "plotting",
    "set_num_threads",
    "show_config",
]

_FACES = ("keras",)


def __getattr__(name: str) -> _Any:
    """Import a face when it is first asked for: ``mlpfast.keras``."""
    if name in _FACES:
        return _import_module(f"mlpfast.{name}")
    raise AttributeError(f"module 'mlpfast' has no attribute {name!r}")
