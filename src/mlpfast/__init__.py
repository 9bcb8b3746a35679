"""mlpfast: train and run multilayer perceptrons on a CPU, fast."""

from typing import TYPE_CHECKING as _TYPE_CHECKING
from typing import Any as _Any

from mlpfast import (
    _moved,
    arrays,
    backends,
    config,
    datasets,
    files,
    initializers,
    inspection,
    kernels,
    model,
    net,
    plotting,
    spec,
    training,
)
from mlpfast._public import show_public_names as _show_public_names
from mlpfast._version import __version__
from mlpfast.backends import BackendError, FallbackWarning
from mlpfast.config import get_num_threads, set_num_threads, show_config
from mlpfast.inspection.explain import explain_step
from mlpfast.inspection.gradient_check import check_gradients
from mlpfast.inspection.plan import explain_plan
from mlpfast.model import MLP
from mlpfast.spec import SGD, Adam, AdamW, Huber, NetSpec, Optimizer, Quantile, RMSprop
from mlpfast.spec import schedules as _schedules
from mlpfast.spec.schedules import (
    CosineDecay,
    ExponentialDecay,
    PerStep,
    ReduceOnPlateau,
    StepDecay,
)
from mlpfast.training import TrainingDiverged
from mlpfast.training import callbacks as _callbacks
from mlpfast.training import history as _history
from mlpfast.training.callbacks import (
    Callback,
    CSVLogger,
    EarlyStopping,
    LambdaCallback,
    ModelCheckpoint,
)
from mlpfast.training.history import History

if _TYPE_CHECKING:
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
    "explain_plan",
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

_moved.install()
_show_public_names(
    *(arrays, backends, config, datasets, files, initializers, inspection, kernels, model, net),
    *(plotting, spec, _schedules, training, _callbacks, _history),
)


def __getattr__(name: str) -> _Any:
    from importlib import import_module

    if name in _FACES or f"mlpfast.{name}" in _moved.MOVED:
        return import_module(f"mlpfast.{name}")
    if name not in _LAZY:
        raise AttributeError(f"module 'mlpfast' has no attribute {name!r}")
    value = getattr(import_module(_LAZY[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*__all__, *_LAZY, *_FACES})
