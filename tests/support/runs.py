"""Runs of a trainer with what tests mostly want."""

import numpy as np

from mlpfast.backends.base import Epochs, RunOptions


def run(trainer, data, rates, batch_size, l2, *, orders=None, dropout_keys=None, **options):
    """Train an epoch for each of `rates` and return the report."""
    options.setdefault("stop", np.zeros(1, np.uint8))
    options.setdefault("want_metrics", True)
    epochs = Epochs(np.asarray(rates, np.float64), orders, dropout_keys)
    return trainer.run(data, epochs, RunOptions(batch_size, tuple(l2), **options))
