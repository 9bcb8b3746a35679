"""mlpfast: train and run multilayer perceptrons on a CPU, fast."""

from typing import TYPE_CHECKING, Any

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

if TYPE_CHECKING:
    from mlpfast.sklearn import MLPClassifier as MLPClassifier
    from mlpfast.sklearn import MLPRegressor as MLPRegressor
    from mlpfast.sklearn import patch_sklearn as patch_sklearn
    from mlpfast.sklearn import unpatch_sklearn as unpatch_sklearn

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

#: What is imported when it is first asked for: what needs an optional package, and the faces. Names
#: and their modules.
_LAZY = {
    "MLPClassifier": "mlpfast.sklearn",
    "MLPRegressor": "mlpfast.sklearn",
    "patch_sklearn": "mlpfast.sklearn",
    "unpatch_sklearn": "mlpfast.sklearn",
}
_FACES = ("keras", "sklearn")


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name in _FACES:
        return import_module(f"mlpfast.{name}")
    if name not in _LAZY:
        raise AttributeError(f"module 'mlpfast' has no attribute {name!r}")
    value = getattr(import_module(_LAZY[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY, *_FACES})
