"""Fitting by stochastic gradient descent: epochs, and when to stop, as scikit-learn's MLP has them.

Every epoch is one call of a backend's trainer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from numbers import Integral
from typing import Any

import numpy as np
from sklearn.base import is_classifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split

from mlpfast.backends.base import TOTALS, Array, Epochs, Report, RunOptions
from mlpfast.sklearn._fitted import FittedMLP
from mlpfast.sklearn._optimizers import AdamOptimizer, SGDOptimizer, StochasticOptimizer
from mlpfast.sklearn._rows import Problem, Rows
from mlpfast.sklearn._warnings import warn
from mlpfast.sklearn._weights import Weights
from mlpfast.training import interruptible
from mlpfast.training.callbacks import CallbackList
from mlpfast.training.epochs import DrawOrders, EpochRunner, dropout_keys, reshuffles
from mlpfast.training.history import History
from mlpfast.training.progress import progress_of

_LOSS, _PENALTY = TOTALS.index("loss"), TOTALS.index("penalty")


def fit(
    estimator: FittedMLP,
    weights: Weights,
    problem: Problem,
    held_out: Problem | None,
    incremental: bool,
) -> None:
    """Train, an epoch if `incremental`, else until there is nothing to be gained."""
    if not incremental or not hasattr(estimator, "_optimizer"):
        estimator._optimizer = make_optimizer(estimator)
    early_stopping = estimator.early_stopping
    if early_stopping and incremental:
        raise ValueError("partial_fit does not support early_stopping=True")
    if early_stopping and held_out is None:
        problem, held_out = hold_out(estimator, problem)
    with interruptible() as stop:
        fitting = _Fit(estimator, weights, problem, held_out, stop, incremental)
        try:
            fitting.callbacks.begin()
            estimator.n_iter_ = 0
            if fitting.run(estimator.max_iter):
                warn("Training interrupted by user.")
        finally:
            fitting.callbacks.end()
    if early_stopping:
        weights.take(estimator._best_coefs, estimator._best_intercepts)
        # A warm start changes the best weights as it goes, until it finds better ones: so does
        # scikit-learn.
        estimator._best_coefs, estimator._best_intercepts = estimator.coefs_, estimator.intercepts_


def make_optimizer(estimator: FittedMLP) -> StochasticOptimizer:
    """Return the optimizer that the parameters of the estimator ask for."""
    e = estimator
    clip = {"clip_norm": e.clip_norm, "clip_value": e.clip_value}
    rate, schedule = e.learning_rate_init, e.learning_rate
    if e.solver == "sgd":
        return SGDOptimizer(rate, schedule, e.momentum, e.nesterovs_momentum, e.power_t, clip)
    schedule = schedule if callable(schedule) else None
    return AdamOptimizer(rate, schedule, e.beta_1, e.beta_2, e.epsilon, e.weight_decay, clip)


def hold_out(estimator: FittedMLP, problem: Problem) -> tuple[Problem, Problem]:
    """Split rows off for validation, the same that scikit-learn would."""
    stratify = problem.y if is_classifier(estimator) and estimator.n_outputs_ == 1 else None
    given = [array for array in problem if array is not None]
    parts = iter(
        train_test_split(
            *given,
            random_state=estimator._random_state,
            test_size=estimator.validation_fraction,
            stratify=stratify,
        )
    )
    pairs: list[Any] = [
        (None, None) if array is None else (next(parts), next(parts)) for array in problem
    ]
    training, validation = (Problem(*(pair[side] for pair in pairs)) for side in (0, 1))
    if validation.x.shape[0] < 2:
        raise ValueError(
            "The validation set is too small. Increase 'validation_fraction' "
            "or the size of your dataset."
        )
    return training, validation


class _Fit(EpochRunner):
    """The epochs of a fit: their losses and scores on record, and the reasons to stop."""

    def __init__(
        self,
        estimator: FittedMLP,
        weights: Weights,
        problem: Problem,
        held_out: Problem | None,
        stop: Array,
        incremental: bool,
    ) -> None:
        spec = weights.net.spec
        self.estimator, self.weights, self.held_out = estimator, weights, held_out
        self.stop, self.incremental = stop, incremental
        y = estimator._engine_targets(problem.y)
        self.rows = Rows(spec, problem.x, y, problem.training_weight)
        self.wanted = None if held_out is None else estimator._engine_targets(held_out.y)
        batch_size = batch_size_of(estimator, self.rows.n)
        self.steps = -(-self.rows.n // batch_size)
        self.options = RunOptions(
            batch_size,
            (float(estimator.alpha),) * spec.n_layers,
            stop,
            want_penalty=True,
            l2_per_row=True,
            check_finite=False,
        )
        self.optimizer: StochasticOptimizer = estimator._optimizer
        self.trainer = self.optimizer.trainer_of(weights.net)
        self.orders = row_orders(estimator, self.rows, batch_size)
        self.keys = partial(dropout_keys, estimator._random_state) if spec.dropout else None
        self.prints = estimator.verbose and estimator.verbose != "progress"
        self.history = History()
        self.callbacks = self._callbacks()
        if estimator.early_stopping and not hasattr(estimator, "_best_coefs"):
            self._keep_best()
        if held_out is not None and estimator.validation_scores_ is None:
            # One score for each loss, also for the epochs before a warm start that had none.
            estimator.validation_scores_ = [math.nan] * len(estimator.loss_curve_)
            estimator.best_validation_score_ = -np.inf

    def _callbacks(self) -> CallbackList:
        """Return the callbacks, which see the net inside of the estimator and its figures."""
        e = self.estimator
        given = [*(e.callbacks or ())]
        if e.verbose == "progress":
            given += progress_of(1, e.max_iter)
        callbacks = CallbackList(self.weights.net, given, self.history)
        figures = ["loss"]
        if self.held_out is not None:
            figures += ["val_loss", "val_" + e._score_name]
        for name in (getattr(self.optimizer.schedule, "monitor", None), *callbacks.monitored()):
            check_monitor(name, figures)
        return callbacks

    # ------------------------------------------------------------------ an epoch

    def rates(self, first: int, count: int) -> Array:
        return self.optimizer.next_rates(self.trainer, self.steps)

    def train(self, epochs: Epochs) -> Report:
        return self.rows.train(self.trainer, epochs, self.options)

    def end(self, first: int, report: Report) -> bool:
        if report.status == "interrupted":
            return True  # which the runner sees for itself
        e = self.estimator
        self._record_loss(report.totals[0])
        self._compare()
        self.optimizer.iteration_ends(e.t_)
        ends = self._tell()
        if e._no_improvement_count > e.n_iter_no_change:
            if self.optimizer.trigger_stopping(self._reason_to_stop(), self.prints):
                return False
            e._no_improvement_count = 0
        if self.incremental or ends:
            return False
        if e.n_iter_ == e.max_iter:
            warn(
                f"Stochastic Optimizer: Maximum iterations ({e.max_iter:d}) "
                "reached and the optimization hasn't converged yet.",
                ConvergenceWarning,
            )
        return True

    def _record_loss(self, totals: Array) -> None:
        e, n = self.estimator, self.rows.n
        e.n_iter_ += 1
        e.t_ += n
        e.loss_ = np.float64(e._loss_factor() * totals[_LOSS] + totals[_PENALTY]) / n
        e.loss_curve_.append(e.loss_)
        if self.prints:
            print(f"Iteration {e.n_iter_}, loss = {e.loss_:.8f}")

    def _compare(self) -> None:
        """Count the epochs without a better loss, or a better score for early stopping."""
        e = self.estimator
        score = self._record_score()
        if score is None or not e.early_stopping:
            worse = e.loss_ > e.best_loss_ - e.tol
            e.best_loss_ = min(e.best_loss_, e.loss_)  # which leaves it alone if the loss is NaN
        else:
            worse = score < e.best_validation_score_ + e.tol
        e._no_improvement_count = e._no_improvement_count + 1 if worse else 0
        if score is not None and score > e.best_validation_score_:
            e.best_validation_score_ = score
            if e.early_stopping:
                self._keep_best()

    def _record_score(self) -> float | None:
        """Return the score on the rows held out, if any are."""
        e = self.estimator
        if self.held_out is None or self.wanted is None or e.validation_scores_ is None:
            return None
        outputs = self.weights.outputs(self.held_out.x, narrow=True)
        score = e._score(self.wanted, outputs, self.held_out.weight)
        e.validation_scores_.append(score)
        if self.prints:
            print(f"Validation score: {score:f}")
        return score

    def _keep_best(self) -> None:
        """Remember the weights as the best so far."""
        e = self.estimator
        e._best_coefs = [w.copy() for w in self.weights.coefs]
        e._best_intercepts = [b.copy() for b in self.weights.intercepts]

    def _tell(self) -> bool:
        """Give the figures of the epoch to those who want them; return whether to stop."""
        if not self.callbacks and self.optimizer.observe is None:
            return False
        e = self.estimator
        figures = {"loss": float(e.loss_)}
        if self.held_out is not None and self.wanted is not None and e.validation_scores_:
            net = self.weights.net
            rows = Rows(net.spec, self.held_out.x, self.wanted, self.held_out.weight)
            figures["val_loss"] = e._loss_factor() * rows.loss(net)
            figures["val_" + e._score_name] = e.validation_scores_[-1]
        if self.optimizer.observe is not None:
            self.optimizer.observe(figures)
        self.history.extend({name: [value] for name, value in figures.items()})
        return self.callbacks.epoch_end(self.history.n_epochs - 1, figures)

    def _reason_to_stop(self) -> str:
        """Return what is printed where training stops or its rate is lowered."""
        e = self.estimator
        figure = "Validation score" if e.early_stopping else "Training loss"
        return (
            f"{figure} did not improve more than tol={e.tol:f} for "
            f"{e.n_iter_no_change:d} consecutive epochs."
        )


def batch_size_of(estimator: FittedMLP, n: int) -> int:
    """Return the rows of a batch, n at most."""
    if estimator.batch_size == "auto":
        return min(200, n)
    if estimator.batch_size > n:
        warn("Got `batch_size` less than 1 or larger than sample size. It is going to be clipped")
    return int(np.clip(estimator.batch_size, 1, n))


def row_orders(estimator: FittedMLP, rows: Rows, batch_size: int) -> DrawOrders | None:
    """Return what draws the orders of the epochs, None for the natural one.

    The orders and the draws are scikit-learn's: each epoch shuffles the order of the last. The
    order within a batch of all rows changes but the rounding, and is not drawn where nobody could
    tell from the state of the generator.
    """
    check = weightless_batches(rows, batch_size)
    one_batch = batch_size >= rows.n
    unseen = isinstance(estimator.random_state, Integral) and not estimator.dropout
    if not estimator.shuffle or (one_batch and unseen):
        shuffled = None
    else:
        shuffled = reshuffles(estimator._random_state, rows.n)
    if check is None and (shuffled is None or not one_batch):
        return shuffled

    def orders(epochs: int) -> Array | None:
        drawn = None if shuffled is None else shuffled(epochs)
        if one_batch:
            drawn = None
        if check is not None:
            check(drawn)
        return drawn

    return orders


def weightless_batches(rows: Rows, batch_size: int) -> Callable[[Array | None], None] | None:
    """Return a function that refuses orders with a batch whose weights add up to nothing.

    None if all weights are positive.
    """
    weight = rows.weight
    if weight is None or (weight > 0).all():
        return None
    starts = np.arange(0, rows.n, batch_size)

    def check(orders: Array | None) -> None:
        for ordered in [weight] if orders is None else weight[orders]:
            if (np.add.reduceat(ordered, starts) == 0).any():
                raise ZeroDivisionError("Weights sum to zero, can't be normalized")

    return check


def check_monitor(name: str | None, figures: Sequence[str]) -> None:
    """Raise if a schedule or a callback watches a figure that there will not be."""
    if name is None or name in figures:
        return
    hint = ", which needs early_stopping or X_val" if name.startswith("val_") else ""
    raise ValueError(f"monitor must be one of {', '.join(map(repr, figures))}, got {name!r}{hint}")
