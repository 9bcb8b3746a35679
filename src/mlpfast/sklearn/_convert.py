"""The way to scikit-learn's own estimators and back: the same parameters, weights and records."""

from __future__ import annotations

import copy
from typing import Any, TypeVar

import numpy as np

from mlpfast.sklearn import _upstream
from mlpfast.sklearn._fitted import FittedMLP, holds_best
from mlpfast.sklearn._parameters import engine_name, sklearn_name

_Estimator = TypeVar("_Estimator", bound=FittedMLP)

#: The activations and losses that scikit-learn's estimators have.
_ACTIVATIONS = ("identity", "logistic", "tanh", "relu")
_LOSSES = ("squared_error", "poisson")

#: What fitting leaves, but for the optimizer with its moments and the random state.
_FITTED = (
    *("n_iter_", "t_", "n_layers_", "n_outputs_", "out_activation_", "loss_", "best_loss_"),
    *("loss_curve_", "validation_scores_", "best_validation_score_", "n_features_in_"),
    *("feature_names_in_", "classes_", "_label_binarizer", "_no_improvement_count"),
)


def to_sklearn(estimator: FittedMLP) -> Any:
    """Return scikit-learn's estimator with the parameters and weights of one of mlpfast's."""
    wanted = _theirs(type(estimator))
    parameters = _parameters_of(estimator, wanted)
    parameters["activation"] = _activation(estimator.activation)
    if parameters.get("loss", "squared_error") not in _LOSSES:
        parameters["loss"] = "squared_error"  # another loss would be fitted, but none is run
    if callable(parameters["learning_rate"]):
        parameters["learning_rate"] = "constant"
    if parameters["verbose"] == "progress":
        parameters["verbose"] = False
    theirs = wanted(**parameters)
    _copy_fitted(estimator, theirs)
    if holds_best(estimator):
        theirs._best_coefs, theirs._best_intercepts = theirs.coefs_, theirs.intercepts_
    elif hasattr(theirs, "coefs_"):
        theirs._best_coefs = [c.copy() for c in theirs.coefs_]
        theirs._best_intercepts = [b.copy() for b in theirs.intercepts_]
    return theirs


def from_sklearn(cls: type[_Estimator], theirs: Any) -> _Estimator:
    """Return an estimator of mlpfast with the parameters and weights of scikit-learn's."""
    wanted = _theirs(cls)
    if not isinstance(theirs, wanted):
        raise TypeError(
            f"estimator must be scikit-learn's {wanted.__name__}, got "
            f"{type(theirs).__module__}.{type(theirs).__name__}"
        )
    ours = cls(**_parameters_of(theirs, wanted))
    _copy_fitted(theirs, ours)
    if hasattr(ours, "coefs_"):
        ours._show_arrays()
        if holds_best(theirs):
            ours._best_coefs, ours._best_intercepts = ours.coefs_, ours.intercepts_
    return ours


def _parameters_of(estimator: Any, theirs: type) -> dict[str, Any]:
    """Return copies of the parameters that scikit-learn's class has, of a subclass as well."""
    names = theirs._get_param_names()  # type: ignore[attr-defined]
    return {name: copy.deepcopy(getattr(estimator, name)) for name in names}


def _activation(ours: Any) -> str:
    """Return scikit-learn's name of an activation, or of that of all layers."""
    names = {ours} if isinstance(ours, str) else {*ours} or {"identity"}
    theirs = {sklearn_name(engine_name(name)) for name in names}
    if len(theirs) > 1 or not theirs.issubset(_ACTIVATIONS):
        raise ValueError(
            f"activation={ours!r} is not among those that scikit-learn's estimator has, the same "
            f"for all layers: {', '.join(_ACTIVATIONS)}"
        )
    return theirs.pop()


def _theirs(cls: type) -> Any:
    """Return the class of scikit-learn that one of ours stands for."""
    return next(
        _upstream.original(c.__name__) for c in cls.__mro__ if c.__module__.startswith("mlpfast.")
    )


def _copy_fitted(source: Any, target: Any) -> None:
    for name in _FITTED:
        if hasattr(source, name):
            setattr(target, name, copy.deepcopy(getattr(source, name)))
    if hasattr(source, "coefs_"):
        target.coefs_ = [np.array(c) for c in source.coefs_]
        target.intercepts_ = [np.array(b) for b in source.intercepts_]
