"""JAX on the CPU: a whole epoch, or a whole run of steps, compiled into one call."""

# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from itertools import repeat
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from benchmarks.jobs.data import Array, Job, flatten
from benchmarks.jobs.workloads import Workload

_ACTIVATIONS: dict[str, Callable[..., Any]] = {
    "relu": jax.nn.relu,
    "tanh": jnp.tanh,
    "sigmoid": jax.nn.sigmoid,
    "softmax": partial(jax.nn.softmax, axis=1),
    "identity": lambda z: z,
}


def _logits(params: Any, x: Any, names: tuple[str, ...]) -> Any:
    """Return the last layer's values before its activation."""
    for i, (weights, biases) in enumerate(params):
        x = x @ weights + biases
        if i < len(params) - 1:
            x = _ACTIVATIONS[names[i]](x)
    return x


def _loss(w: Workload, params: Any, x: Any, y: Any) -> Any:
    z = _logits(params, x, w.activations)
    if w.loss == "categorical_crossentropy":
        picked = jnp.take_along_axis(jax.nn.log_softmax(z, axis=1), y[:, None], axis=1)
        return -picked.mean()
    if w.loss == "binary_crossentropy":
        return (jnp.maximum(z, 0) - z * y + jnp.log1p(jnp.exp(-jnp.abs(z)))).mean()
    error = _ACTIVATIONS[w.output_activation](z) - y
    return (error * error).mean() if w.loss == "mse" else 0.5 * (error * error).sum()


def _update(w: Workload, state: Any, grads: Any) -> Any:
    params, m, v, t = state
    rate = w.learning_rate
    if w.optimizer == "sgd":
        return jax.tree.map(lambda p, g: p - rate * g, params, grads), m, v, t
    t = t + 1
    m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, grads)
    v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * (g * g), v, grads)
    steps = t.astype(w.dtype)
    root = jnp.sqrt(1 - 0.999**steps)
    scale = rate * root / (1 - 0.9**steps)
    params = jax.tree.map(lambda p, m, v: p - scale * m / (jnp.sqrt(v) + 1e-8 * root), params, m, v)
    return params, m, v, t


class Jax:
    """`lax.scan` over the batches of an epoch, `lax.fori_loop` over full-batch steps."""

    def versions(self) -> dict[str, str]:
        return {"jax": jax.__version__, "jaxlib": version("jaxlib")}

    def refuses(self, workload: Workload) -> str | None:
        return None

    def prepare(self, job: Job, *, own_order: bool) -> None:
        w = self.workload = job.workload
        self.job = job
        jax.config.update("jax_enable_x64", w.dtype == "float64")
        names, batch = w.activations, w.batch
        if not w.trains:
            last = _ACTIVATIONS[w.output_activation]
            self.call = jax.jit(lambda params, x: last(_logits(params, x, names)))
            return
        grad = jax.value_and_grad(partial(_loss, w))

        def step(state: Any, x: Any, y: Any) -> Any:
            loss, grads = grad(state[0], x, y)
            return _update(w, state, grads), loss

        def epoch(state: Any, x: Any, y: Any, order: Any) -> Any:
            whole = len(order) // batch * batch

            def body(state: Any, rows: Any) -> Any:
                return step(state, x[rows], y[rows])

            state, losses = lax.scan(body, state, order[:whole].reshape(-1, batch))
            total = losses.sum() * batch
            if whole < len(order):  # the last, smaller batch
                rows = order[whole:]
                state, loss = step(state, x[rows], y[rows])
                total += loss * len(rows)
            return state, total

        def steps(state: Any, x: Any, y: Any, count: Any) -> Any:
            return lax.fori_loop(0, count, lambda _, state: step(state, x, y)[0], state)

        self.epoch = jax.jit(epoch, donate_argnums=0)
        self.steps = jax.jit(steps, donate_argnums=0)
        by_label = w.loss == "categorical_crossentropy"
        self.x = jnp.asarray(job.x)
        self.y = jnp.asarray(job.labels.astype(np.int32) if by_label else job.y)  # type: ignore[union-attr]

    def start(self) -> None:
        def copy() -> Any:
            return [(jnp.array(a), jnp.array(b)) for a, b in self.job.layers()]

        if not self.workload.trains:
            self.params = copy()
            return
        zeros = [jax.tree.map(jnp.zeros_like, copy()) for _ in range(2)]
        self.state = jax.block_until_ready((copy(), *zeros, jnp.zeros((), jnp.int32)))
        self.orders = self.job.row_orders()

    def run(self, units: int) -> None:
        if not self.workload.trains:
            call, params, x = self.call, self.params, self.job.x
            for _ in repeat(None, units):
                self.out = np.asarray(call(params, x))
        elif self.job.shuffled:
            for _ in range(units):
                order = self.orders.permutation(len(self.x)).astype(np.int32)
                self.state, total = self.epoch(self.state, self.x, self.y, order)
            jax.block_until_ready((self.state, total))
        else:
            self.state = self.steps(self.state, self.x, self.y, units)
            jax.block_until_ready(self.state)

    def result(self) -> Array:
        if not self.workload.trains:
            return self.out
        return flatten([(np.asarray(a), np.asarray(b)) for a, b in self.state[0]])


def make(_: str) -> Jax:
    """Return the contestant."""
    return Jax()
