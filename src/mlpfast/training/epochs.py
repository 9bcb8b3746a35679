"""The one loop over epochs, and what an epoch needs: a row order, a dropout key, learning rates.

`MLP.fit` and the scikit-learn face run their epochs here. Each says where its orders, keys and
rates come from, who trains on them, and when to stop.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from mlpfast.backends.base import Array, Epochs, Report

#: ``orders(epochs)`` draws the row orders (epochs, n) int64 of the next epochs, None for the
#: natural one; ``keys(epochs)`` draws their dropout keys (epochs,) uint64.
DrawOrders: TypeAlias = Callable[[int], Array | None]
DrawKeys: TypeAlias = Callable[[int], Array]


class EpochRunner:
    """Runs the epochs of a fit; a subclass says what differs from one face to another.

    Attributes
    ----------
    orders : DrawOrders or None
        None if every epoch takes the rows in their natural order.
    keys : DrawKeys or None
        None if nothing is dropped.
    stop : (1,) uint8 array
        Set to 1 by whoever wants training to end at the next batch.
    """

    orders: DrawOrders | None
    keys: DrawKeys | None
    stop: Array

    def rates(self, first: int, count: int) -> Array:
        """Return the learning rates of `count` epochs from `first` on; see `Epochs`."""
        raise NotImplementedError

    def train(self, epochs: Epochs) -> Report:
        """Run some epochs."""
        raise NotImplementedError

    def end(self, first: int, report: Report) -> bool:
        """Take in what came of the epochs from `first` on; return whether to go on."""
        raise NotImplementedError

    def run(self, epochs: int, block: int = 1) -> bool:
        """Run that many epochs, `block` at a time; return whether `stop` ended it."""
        first, stop = 0, self.stop
        while first < epochs and not stop[0]:
            count = min(block, epochs - first)
            orders, keys = draw(self.orders, self.keys, count)
            report = self.train(Epochs(self.rates(first, count), orders, keys))
            if not self.end(first, report):
                return False
            first += count
        return bool(stop[0])


def draw(
    orders: DrawOrders | None, keys: DrawKeys | None, count: int
) -> tuple[Array | None, Array | None]:
    """Return the row orders of `count` epochs, if any, and their dropout keys, if any."""
    if keys is None:
        return (None if orders is None else orders(count)), None
    if orders is None:
        return None, keys(count)
    if count == 1:
        return orders(1), keys(1)
    # Alternately, so that it does not matter how many epochs are drawn at once.
    pairs = [(orders(1), keys(1)) for _ in range(count)]
    drawn: list[Any] = [order for order, _ in pairs]
    return np.concatenate(drawn), np.concatenate([key for _, key in pairs])


def permutations(rng: Any, n: int, epochs: int) -> Array:
    """Return a new order of n rows for each epoch, (epochs, n)."""
    if epochs == 1:
        return np.asarray(rng.permutation(n)[None], np.int64)
    return np.stack([rng.permutation(n) for _ in range(epochs)]).astype(np.int64, copy=False)


def reshuffles(rng: Any, n: int) -> DrawOrders:
    """Return what draws row orders of n rows as scikit-learn's MLP does.

    Each epoch shuffles the order of the one before.
    """
    order = np.arange(n)

    def orders(epochs: int) -> Array:
        nonlocal order
        drawn = []
        for _ in range(epochs):
            positions = np.arange(n)
            rng.shuffle(positions)
            order = order[positions]
            drawn.append(order)
        return drawn[0][None] if epochs == 1 else np.stack(drawn)

    return orders


def dropout_keys(rng: Any, epochs: int) -> Array:
    """Return a key for each epoch, from which follows what is dropped."""
    return np.frombuffer(rng.bytes(8 * epochs), "<u8").astype(np.uint64)


def scheduled_rates(
    rate_at: Callable[[int], float],
    first: int,
    count: int,
    *,
    steps: int = 0,
    steps_made: int = 0,
) -> Array:
    """Return the rates that a schedule gives `count` epochs, (count,) or (count, steps).

    Parameters
    ----------
    rate_at : callable (int) -> float
        From the number of the epoch; or if there are `steps` in an epoch, from the number of the
        update, of which `steps_made` have been made before.
    """
    if not steps:
        return np.array([rate_at(first + i) for i in range(count)])
    rates = [rate_at(steps_made + i) for i in range(count * steps)]
    return np.array(rates).reshape(count, steps)
