"""What epochs are made of: row orders, dropout keys and learning rates."""

from __future__ import annotations

from typing import Any

import numpy as np

from mlpfast.backends.base import Array, Trainer
from mlpfast.net import Net
from mlpfast.spec import Optimizer


def learning_rates(
    optimizer: Optimizer, first: int, count: int, trainer: Trainer, steps: int
) -> Array:
    """Return the learning rates of some epochs, of `steps` steps each, that a trainer has next."""
    if not callable(optimizer.learning_rate):
        rate = float(optimizer.learning_rate)
        return np.array([rate]) if count == 1 else np.full(count, rate)  # np.full takes 1 us more
    if optimizer.per_step:
        made = trainer.steps
        rates = [optimizer.learning_rate_at(made + i) for i in range(count * steps)]
        return np.array(rates).reshape(count, steps)
    return np.array([optimizer.learning_rate_at(first + i) for i in range(count)])


def draw(net: Net, epochs: int, n: int) -> tuple[Array | None, Array | None]:
    """Return row orders of n rows, if any, and keys for dropout, if there is any."""
    rng: Any = net.generator
    if not net.spec.dropout:
        return (_row_orders(rng, epochs, n) if n else None), None
    if not n:
        return None, dropout_keys(rng, epochs)
    # In turns, so that it does not matter how many epochs are drawn at once.
    pairs = [(_row_orders(rng, 1, n), dropout_keys(rng, 1)) for _ in range(epochs)]
    orders, keys = zip(*pairs, strict=True)
    return np.concatenate(orders), np.concatenate(keys)


def dropout_keys(rng: Any, epochs: int) -> Array:
    """Return a key for each epoch: what is dropped follows from it."""
    return np.frombuffer(rng.bytes(8 * epochs), "<u8").astype(np.uint64)


def _row_orders(rng: Any, epochs: int, n: int) -> Array:
    if epochs == 1:
        return np.asarray(rng.permutation(n)[None], np.int64)
    return np.stack([rng.permutation(n) for _ in range(epochs)]).astype(np.int64, copy=False)
