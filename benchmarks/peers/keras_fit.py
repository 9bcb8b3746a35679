"""Keras 3 with `fit` and `predict`, on the backend named."""

# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

import os
from itertools import repeat
from typing import Any

import numpy as np

from benchmarks.jobs.data import Array, Job, flatten
from benchmarks.jobs.workloads import Workload
from benchmarks.peers.base import early_epsilon


class Keras:
    """A `Sequential` of `Dense` layers.

    Keras draws its own row orders: on the shortened job it gets the rows in the job's order and
    may not shuffle, in the timed one it shuffles itself.
    """

    def __init__(self, backend: str) -> None:
        os.environ["KERAS_BACKEND"] = backend
        if backend == "torch":
            import torch

            torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
            torch.set_num_interop_threads(1)
        import keras

        self.keras: Any = keras
        self.backend = backend

    def versions(self) -> dict[str, str]:
        engine = __import__(self.backend)
        return {"keras": self.keras.__version__, self.backend: engine.__version__}

    def refuses(self, w: Workload) -> str | None:
        if w.dtype == "float64" and self.backend == "jax":
            import jax

            jax.config.update("jax_enable_x64", True)
        return None

    def prepare(self, job: Job, *, own_order: bool) -> None:
        w = self.workload = job.workload
        self.job, self.own_order = job, own_order
        keras = self.keras
        if self.backend == "jax":
            import jax

            jax.config.update("jax_enable_x64", w.dtype == "float64")
        keras.backend.clear_session()
        keras.backend.set_floatx(w.dtype)
        self.net = keras.Sequential([keras.Input((w.sizes[0],), dtype=w.dtype)])
        for units, name in zip(w.sizes[1:], w.activations, strict=True):
            activation = "linear" if name == "identity" else name
            self.net.add(keras.layers.Dense(units, activation=activation, dtype=w.dtype))
        self.x, self.y = job.x, job.y
        if job.shuffled and not own_order and w.trains:
            order = job.row_orders().permutation(w.rows)
            self.x, self.y = job.x[order], job.y[order]
        self._compile()

    def _compile(self) -> None:
        keras, w = self.keras, self.workload
        if w.optimizer == "sgd":
            optimizer = keras.optimizers.SGD(w.learning_rate)
        else:
            optimizer = keras.optimizers.Adam(w.learning_rate, epsilon=early_epsilon(w))
        loss: Any = {
            "mse": "mean_squared_error",
            "categorical_crossentropy": "categorical_crossentropy",
            "binary_crossentropy": "binary_crossentropy",
        }.get(w.loss)
        if loss is None:
            ops = keras.ops

            def loss(t: Any, o: Any) -> Any:
                return 0.5 * ops.sum(ops.square(o - t))

        self.net.compile(loss=loss, optimizer=optimizer)

    def start(self) -> None:
        self.net.set_weights([part for pair in self.job.layers() for part in pair])
        if not self.workload.trains:
            return
        # Its rate is a variable as well, and stays.
        optimizer = self.net.optimizer
        if not optimizer.built:
            optimizer.build(self.net.trainable_variables)
        for variable in optimizer.variables:
            if variable is not optimizer._learning_rate:
                variable.assign(np.zeros(variable.shape, str(variable.dtype)))

    def run(self, units: int) -> None:
        w, net = self.workload, self.net
        if w.trains:
            shuffle = self.own_order and self.job.shuffled
            options = {"batch_size": w.batch, "shuffle": shuffle, "verbose": 0}
            net.fit(self.x, self.y, epochs=units, **options)
        elif w.rows == 1:
            for _ in repeat(None, units):
                self.out = net.predict_on_batch(self.x)
        else:
            for _ in repeat(None, units):
                self.out = net.predict(self.x, batch_size=1024, verbose=0)

    def result(self) -> Array:
        if not self.workload.trains:
            return np.asarray(self.out)
        parts = self.net.get_weights()
        return flatten(list(zip(parts[::2], parts[1::2], strict=True)))


def make(backend: str) -> Keras:
    """Return the contestant on one of Keras' backends."""
    return Keras(backend)
