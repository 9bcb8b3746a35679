"""Fitting by stochastic gradient descent: epochs, and when to stop, as scikit-learn's MLP has them.

Every epoch is one call of a backend's trainer.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import is_classifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split

from mlpfast.backends.base import TOTALS, Array, Epochs, RunOptions
from mlpfast.sklearn._optimizers import AdamOptimizer, SGDOptimizer, StochasticOptimizer
from mlpfast.sklearn._rows import Problem, Rows
from mlpfast.sklearn._warnings import warn
from mlpfast.sklearn._watchers import Watchers
from mlpfast.training import interruptible

if TYPE_CHECKING:
    from mlpfast.sklearn._base import BaseMLP
    from mlpfast.sklearn._weights import Weights

_LOSS, _PENALTY = TOTALS.index("loss"), TOTALS.index("penalty")


def fit(
    estimator: BaseMLP,
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
        epochs = _Epochs(estimator, weights, problem, held_out, stop)
        try:
            epochs.watchers.begin()
            epochs.train(incremental)
        finally:
            epochs.watchers.end()
    if early_stopping:
        weights.take(estimator._best_coefs, estimator._best_intercepts)
        # A warm start changes the best weights as it goes, until it finds better ones: so does
        # scikit-learn.
        estimator._best_coefs, estimator._best_intercepts = estimator.coefs_, estimator.intercepts_


def make_optimizer(estimator: BaseMLP) -> StochasticOptimizer:
    """Return the optimizer that the parameters of the estimator ask for."""
    e: Any = estimator
    clip = {"clip_norm": e.clip_norm, "clip_value": e.clip_value}
    rate, schedule = e.learning_rate_init, e.learning_rate
    if e.solver == "sgd":
        return SGDOptimizer(rate, schedule, e.momentum, e.nesterovs_momentum, e.power_t, clip)
    schedule = schedule if callable(schedule) else None
    return AdamOptimizer(rate, schedule, e.beta_1, e.beta_2, e.epsilon, e.weight_decay, clip)


def hold_out(estimator: BaseMLP, problem: Problem) -> tuple[Problem, Problem]:
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


class _Epochs:
    """The loop over the epochs of a fit."""

    def __init__(
        self,
        estimator: BaseMLP,
        weights: Weights,
        problem: Problem,
        held_out: Problem | None,
        stop: Array,
    ) -> None:
        spec = weights.net.spec
        self.estimator, self.weights, self.held_out = estimator, weights, held_out
        y = estimator._engine_targets(problem.y)
        self.rows = Rows(spec, problem.x, y, problem.training_weight)
        self.wanted = None if held_out is None else estimator._engine_targets(held_out.y)
        self.batch_size = batch_size_of(estimator, self.rows.n)
        self.options = RunOptions(
            self.batch_size,
            (float(estimator.alpha),) * spec.n_layers,
            stop,
            want_penalty=True,
            l2_per_row=True,
            check_finite=False,
        )
        self.optimizer = estimator._optimizer
        self.trainer = self.optimizer.trainer_of(weights.net)
        self.next_order = row_orders(estimator, self.rows.n, self.batch_size)
        self.check_order = weightless_batches(self.rows, self.batch_size)
        self.watchers = Watchers(estimator, weights.net)
        figures = ["loss"]
        if held_out is not None:
            figures += ["val_loss", "val_" + estimator._score_name]
        self.watchers.check_monitors(self.optimizer.schedule, figures)
        self.prints = estimator.verbose and estimator.verbose != "progress"
        if estimator.early_stopping and not hasattr(estimator, "_best_coefs"):
            self.keep_best()
        if held_out is not None and estimator.validation_scores_ is None:
            # One score for each loss, also for the epochs before a warm start that had none.
            estimator.validation_scores_ = [math.nan] * len(estimator.loss_curve_)
            estimator.best_validation_score_ = -np.inf

    def train(self, incremental: bool) -> None:
        """Go through the epochs until one of the reasons to stop."""
        e: Any = self.estimator
        e.n_iter_ = 0
        for _ in range(e.max_iter):
            if not self.epoch():
                break
            self.judge()
            self.optimizer.iteration_ends(e.t_)
            ends = self.tell()
            if e._no_improvement_count > e.n_iter_no_change:
                if self.optimizer.trigger_stopping(self.reason_to_stop(), self.prints):
                    return
                e._no_improvement_count = 0
            if incremental or ends:
                return
            if e.n_iter_ == e.max_iter:
                warn(
                    f"Stochastic Optimizer: Maximum iterations ({e.max_iter:d}) "
                    "reached and the optimization hasn't converged yet.",
                    ConvergenceWarning,
                )
            if self.options.stop[0]:
                break
        if self.options.stop[0]:
            warn("Training interrupted by user.")

    def epoch(self) -> bool:
        """Run an epoch and take in its loss; return False if it was interrupted."""
        e: Any = self.estimator
        order = self.next_order()
        if self.check_order is not None:
            self.check_order(order)
        keys = None
        if self.weights.net.spec.dropout:
            keys = np.frombuffer(e._random_state.bytes(8), "<u8").astype(np.uint64)
        steps = -(-self.rows.n // self.batch_size)
        rates = self.optimizer.rates_of_epoch(self.trainer, steps)
        epochs = Epochs(rates, None if order is None else order[None], keys)
        report = self.rows.train(self.trainer, epochs, self.options)
        if report.status == "interrupted":
            return False
        totals, n = report.totals[0], self.rows.n
        e.n_iter_ += 1
        e.t_ += n
        e.loss_ = np.float64(e._loss_factor() * totals[_LOSS] + totals[_PENALTY]) / n
        e.loss_curve_.append(e.loss_)
        if self.prints:
            print(f"Iteration {e.n_iter_}, loss = {e.loss_:.8f}")
        return True

    def judge(self) -> None:
        """Count the epochs without a better loss, or a better score for early stopping."""
        e: Any = self.estimator
        score = None
        if self.held_out is not None:
            outputs = self.weights.outputs(self.held_out.x, narrow=True)
            score = e._score(self.wanted, outputs, self.held_out.weight)
            e.validation_scores_.append(score)
            if self.prints:
                print(f"Validation score: {score:f}")
        if score is None or not e.early_stopping:
            worse = e.loss_ > e.best_loss_ - e.tol
            e.best_loss_ = min(e.best_loss_, e.loss_)  # which leaves it alone if the loss is NaN
        else:
            worse = score < e.best_validation_score_ + e.tol
        e._no_improvement_count = e._no_improvement_count + 1 if worse else 0
        if score is not None and score > e.best_validation_score_:
            e.best_validation_score_ = score
            if e.early_stopping:
                self.keep_best()

    def keep_best(self) -> None:
        """Remember the weights as the best so far."""
        e: Any = self.estimator
        e._best_coefs = [w.copy() for w in self.weights.coefs]
        e._best_intercepts = [b.copy() for b in self.weights.intercepts]

    def tell(self) -> bool:
        """Give the figures of the epoch to those who want them; return whether to stop."""
        if not self.watchers and self.optimizer.observe is None:
            return False
        e: Any = self.estimator
        figures = {"loss": float(e.loss_)}
        if self.held_out is not None and self.wanted is not None:
            net = self.weights.net
            rows = Rows(net.spec, self.held_out.x, self.wanted, self.held_out.weight)
            figures["val_loss"] = e._loss_factor() * rows.loss(net)
            figures["val_" + e._score_name] = e.validation_scores_[-1]
        if self.optimizer.observe is not None:
            self.optimizer.observe(figures)
        return self.watchers.epoch_ends(figures)

    def reason_to_stop(self) -> str:
        """Return what is printed where training stops or its rate is lowered."""
        e: Any = self.estimator
        figure = "Validation score" if e.early_stopping else "Training loss"
        return (
            f"{figure} did not improve more than tol={e.tol:f} for "
            f"{e.n_iter_no_change:d} consecutive epochs."
        )


def batch_size_of(estimator: BaseMLP, n: int) -> int:
    """Return the rows of a batch, n at most."""
    if estimator.batch_size == "auto":
        return min(200, n)
    if estimator.batch_size > n:
        warn("Got `batch_size` less than 1 or larger than sample size. It is going to be clipped")
    return int(np.clip(estimator.batch_size, 1, n))


def row_orders(estimator: BaseMLP, n: int, batch_size: int) -> Callable[[], Array | None]:
    """Return a function that gives the order of the next epoch, None for the natural one.

    The orders and the draws are scikit-learn's: each epoch shuffles the order of the last. The
    order within a batch of all rows changes but the rounding, and is not drawn where nobody could
    tell from the state of the generator.
    """
    if not estimator.shuffle:
        return lambda: None
    unseen = isinstance(estimator.random_state, Integral) and not estimator.dropout
    if batch_size >= n and unseen:
        return lambda: None
    order = np.arange(n)

    def draw() -> Array | None:
        nonlocal order
        drawn = np.arange(n)
        estimator._random_state.shuffle(drawn)
        if batch_size >= n:
            return None
        order = order[drawn]
        return order

    return draw


def weightless_batches(rows: Rows, batch_size: int) -> Callable[[Array | None], None] | None:
    """Return a function that refuses an order with a batch whose weights add up to nothing.

    None if all weights are positive.
    """
    weight = rows.weight
    if weight is None or (weight > 0).all():
        return None
    starts = np.arange(0, rows.n, batch_size)

    def check(order: Array | None) -> None:
        sums = np.add.reduceat(weight if order is None else weight[order], starts)
        if (sums == 0).any():
            raise ZeroDivisionError("Weights sum to zero, can't be normalized")

    return check
