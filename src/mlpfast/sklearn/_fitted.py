"""What the modules that fit and convert an estimator rely on in it."""

from __future__ import annotations

from typing import Any, Protocol

from mlpfast.backends.base import Array


class FittedMLP(Protocol):
    """An estimator with weights, as `BaseMLP` makes it ready; its parameters have been checked.

    Names with a trailing underscore, and those of the attributes that begin with one, are
    scikit-learn's.
    """

    # Parameters
    activation: Any
    solver: str
    alpha: float
    batch_size: Any
    learning_rate: Any
    learning_rate_init: float
    power_t: float
    max_iter: int
    shuffle: bool
    random_state: Any
    tol: float
    verbose: Any
    momentum: float
    nesterovs_momentum: bool
    early_stopping: bool
    validation_fraction: float
    beta_1: float
    beta_2: float
    epsilon: float
    n_iter_no_change: float
    max_fun: int
    dropout: Any
    weight_decay: float
    clip_norm: float | None
    clip_value: float | None
    callbacks: Any

    # What fitting leaves
    coefs_: list[Array]
    intercepts_: list[Array]
    n_iter_: int
    n_outputs_: int
    t_: int
    loss_: float
    loss_curve_: list[float]
    best_loss_: Any
    validation_scores_: list[float] | None
    best_validation_score_: Any
    _optimizer: Any
    _random_state: Any
    _no_improvement_count: int
    _best_coefs: list[Array]
    _best_intercepts: list[Array]

    # What classifier and regressor say of themselves
    _score_name: str

    def _engine_targets(self, y: Array) -> Array: ...

    def _loss_factor(self) -> float: ...

    def _score(self, wanted: Array, outputs: Array, weight: Array | None) -> float: ...

    def _show_arrays(self) -> None: ...


def holds_best(estimator: Any) -> bool:
    """Return whether early stopping has made its best weights the estimator's: the same arrays."""
    best, last = getattr(estimator, "_best_coefs", ()), getattr(estimator, "coefs_", ())
    return len(best) == len(last) > 0 and all(a is b for a, b in zip(best, last, strict=True))
