"""The parameters of the estimators: what they may be, and what of them is mlpfast's own."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.utils._param_validation import Interval, Options, StrOptions

from mlpfast.backends.threads import MAX_THREADS
from mlpfast.spec import ACTIVATION_RECORDS, ACTIVATIONS, FORWARD_ONLY, LOSS_RECORDS, check_choice

#: scikit-learn's names of activations, and of the losses of a regression, with the engine's.
ENGINE_NAMES = {record.sklearn: record.name for record in ACTIVATION_RECORDS.values()}
LOSSES = {record.sklearn: record.name for record in LOSS_RECORDS.values() if record.sklearn}

_NAMES = {*ENGINE_NAMES, *ACTIVATIONS} - FORWARD_ONLY

#: scikit-learn's parameters, with its constraints but for values that mean more here.
COMMON: dict[str, list[Any]] = {
    "hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left")],
    "activation": [StrOptions(_NAMES), list, tuple],
    "solver": [StrOptions({"lbfgs", "sgd", "adam"})],
    "alpha": [Interval(Real, 0, None, closed="left")],
    "batch_size": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
    "learning_rate": [StrOptions({"constant", "invscaling", "adaptive"}), callable],
    "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
    "power_t": [Interval(Real, 0, None, closed="left")],
    "max_iter": [Interval(Integral, 1, None, closed="left")],
    "shuffle": ["boolean"],
    "random_state": ["random_state"],
    "tol": [Interval(Real, 0, None, closed="left")],
    "verbose": ["verbose", StrOptions({"progress"})],
    "warm_start": ["boolean"],
    "momentum": [Interval(Real, 0, 1, closed="both")],
    "nesterovs_momentum": ["boolean"],
    "early_stopping": ["boolean"],
    "validation_fraction": [Interval(Real, 0, 1, closed="left")],
    "beta_1": [Interval(Real, 0, 1, closed="left")],
    "beta_2": [Interval(Real, 0, 1, closed="left")],
    "epsilon": [Interval(Real, 0, None, closed="neither")],
    "n_iter_no_change": [Interval(Integral, 1, None, closed="left"), Options(Real, {np.inf})],
    "max_fun": [Interval(Integral, 1, None, closed="left")],
}

#: mlpfast's own.
OWN: dict[str, list[Any]] = {
    "dropout": [Interval(Real, 0, 1, closed="left"), "array-like"],
    "weight_decay": [Interval(Real, 0, None, closed="left")],
    "clip_norm": [Interval(Real, 0, None, closed="neither"), None],
    "clip_value": [Interval(Real, 0, None, closed="neither"), None],
    "dtype": [
        StrOptions({"float32", "float64"}),
        Options(type, {np.float32, np.float64}),
        Options(np.dtype, {np.dtype(np.float32), np.dtype(np.float64)}),
        None,
    ],
    "callbacks": [list, tuple, None],
    "n_threads": [Interval(Integral, 1, MAX_THREADS, closed="both"), None],
    "backend": [str, None],
}


def engine_name(activation: str) -> str:
    """Return the name that a backend knows an activation by."""
    return ENGINE_NAMES.get(activation, activation)


def sklearn_name(activation: str) -> str:
    """Return scikit-learn's name of one of the engine's activations."""
    return ACTIVATION_RECORDS[activation].sklearn


def engine_names(activation: Any) -> str | list[str]:
    """Return the same for the activation of all hidden layers or a list with one each."""
    if isinstance(activation, str):
        return engine_name(activation)
    for layer, name in enumerate(activation):
        check_choice(f"activation[{layer}]", name, tuple(sorted(_NAMES)))
    return [engine_name(name) for name in activation]


def bound_factors(activation: Any, n_layers: int) -> list[float]:
    """Return the factor in Glorot and Bengio's bound on the initial weights of each layer.

    As in scikit-learn it is 2 for the logistic activation, else 6; an output layer goes by the last
    hidden layer.
    """
    names = [activation] * n_layers if isinstance(activation, str) else [*activation]
    names += names[-1:] or ["identity"]
    return [2.0 if engine_name(name) == "sigmoid" else 6.0 for name in names][:n_layers]
