"""scikit-learn's MLPClassifier and MLPRegressor, trained with partial_fit."""

from __future__ import annotations

from itertools import repeat
from typing import Any

import numpy as np
import sklearn
from sklearn.neural_network import MLPClassifier, MLPRegressor

from benchmarks.jobs.data import Array, Job, flatten
from benchmarks.jobs.workloads import Workload
from benchmarks.peers.base import early_epsilon


class _RowOrders(np.random.RandomState):
    """Shuffles as the job's generator says, so that an epoch has the job's row order."""

    def __init__(self, job: Job) -> None:
        super().__init__(0)
        self._orders = job.row_orders()

    def shuffle(self, x: Any) -> None:
        x[:] = x[self._orders.permutation(len(x))]


class Sklearn:
    """One `partial_fit` is one epoch."""

    def versions(self) -> dict[str, str]:
        return {"scikit-learn": sklearn.__version__}

    def refuses(self, w: Workload) -> str | None:
        if w.loss in ("mse", "squared_error") and w.output_activation != "identity":
            return "no squared error on sigmoid outputs"
        return None

    def prepare(self, job: Job, *, own_order: bool) -> None:
        w = self.workload = job.workload
        self.job = job
        self.classifier = w.loss.endswith("crossentropy")
        rate, epsilon = w.learning_rate, early_epsilon(w)
        if w.loss == "mse":
            # Its squared error is half the sum over the outputs: n_out / 2 times as large.
            factor = w.sizes[-1] / 2
            epsilon *= factor
            if w.optimizer == "sgd":
                rate /= factor
        kind = MLPClassifier if self.classifier else MLPRegressor
        self.net: Any = kind(
            hidden_layer_sizes=w.sizes[1:-1],
            activation={"sigmoid": "logistic"}.get(w.activation, w.activation),
            solver=w.optimizer,
            alpha=0.0,
            batch_size=w.batch,
            learning_rate_init=rate,
            momentum=0.0,
            nesterovs_momentum=False,
            epsilon=epsilon,
            shuffle=job.shuffled,
            random_state=0,
        )
        self.y: Array = job.y
        if self.classifier:
            labels = job.labels if job.labels is not None else job.y[:, 0].astype(np.int64)
            self.y = labels
        # A first call on a few rows makes the arrays that `start` then fills.
        few = min(w.rows, 2)
        if self.classifier:
            classes = np.arange(max(w.sizes[-1], 2))
            self.net.set_params(batch_size=few).partial_fit(
                job.x[:few], self.y[:few], classes=classes
            )
        else:
            self.net.set_params(batch_size=few).partial_fit(job.x[:few], self.y[:few])
        self.net.set_params(batch_size=w.batch)

    def start(self) -> None:
        net = self.net
        layers = zip(net.coefs_, net.intercepts_, self.job.layers(), strict=True)
        for coefs, intercepts, (weights, biases) in layers:
            coefs[...] = weights
            intercepts[...] = biases
        vars(net).pop("_optimizer", None)  # the next partial_fit makes an empty one
        net.set_params(random_state=_RowOrders(self.job))

    def run(self, units: int) -> None:
        net, x = self.net, self.job.x
        if self.workload.trains:
            for _ in range(units):
                net.partial_fit(x, self.y)
            return
        predict = net.predict_proba if self.classifier else net.predict
        for _ in repeat(None, units):
            self.out = predict(x)

    def result(self) -> Array:
        if self.workload.trains:
            return flatten(list(zip(self.net.coefs_, self.net.intercepts_, strict=True)))
        out: Array = self.out
        return out[:, -1:] if self.workload.sizes[-1] == 1 else out


def make(_: str) -> Sklearn:
    """Return the contestant."""
    return Sklearn()
