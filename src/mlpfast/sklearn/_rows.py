"""Rows to train or to evaluate on, dense or sparse, and how a backend goes through them.

A sparse matrix is turned into a dense one whole if that is small, else some batches at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from mlpfast.arrays import check_x
from mlpfast.backends.base import TOTALS, Array, Data, Epochs, Gradient, Report, RunOptions, Trainer
from mlpfast.net import Net
from mlpfast.spec import NetSpec

_LOSS, _WEIGHT = TOTALS.index("loss"), TOTALS.index("weight")

#: Bytes that a dense copy of sparse rows may take.
DENSE_BYTES = 1 << 25


def is_sparse(x: Any) -> bool:
    """Whether x is a sparse matrix or array."""
    return hasattr(x, "nnz") and hasattr(x, "tocsr")


def dense_pieces(
    x: Any, order: Array | None = None, step: int = 1
) -> Iterator[tuple[slice | Array, Array]]:
    """Yield which rows of a sparse matrix come next, and these as a dense array.

    There are a multiple of `step` rows in each piece but the last.
    """
    n, columns = x.shape
    rows = max(DENSE_BYTES // max(columns * x.dtype.itemsize, 1) // step, 1) * step
    x = x.tocsr() if rows < n or order is not None else x
    for first in range(0, n, rows):
        part: slice | Array = slice(first, min(first + rows, n))
        if order is not None:
            part = order[part]
        yield part, np.ascontiguousarray((x if rows >= n and order is None else x[part]).toarray())


class Problem(NamedTuple):
    """Checked inputs and targets.

    Attributes
    ----------
    x : (n, n_features) array or CSR or CSC matrix, float32 or float64
    y : (n, n_outputs) array
        As scikit-learn's MLP has them: numbers, or bool for classes and labels.
    weight : (n,) array or None
        Those of the user.
    class_weight : (n,) array or None
        What the weight of each row in training is to be multiplied by.
    """

    x: Any
    y: Array
    weight: Array | None
    class_weight: Array | None = None

    @property
    def training_weight(self) -> Array | None:
        """The weights of the rows in training."""
        if self.weight is None or self.class_weight is None:
            return self.class_weight if self.weight is None else self.weight
        return self.weight * self.class_weight


class Rows:
    """Inputs with their targets and weights, as a net of the given spec takes them.

    Parameters
    ----------
    spec : NetSpec
    x : (n, n_in) array or CSR or CSC matrix, float32 or float64, finite
    y : (n, n_out) array, or (n,) int64 class labels
    weight : (n,) array or None
    """

    def __init__(self, spec: NetSpec, x: Any, y: Array, weight: Array | None) -> None:
        self.n = x.shape[0]
        check_range(x, spec.dtype)
        if is_sparse(x):
            small = self.n * x.shape[1] * x.dtype.itemsize <= DENSE_BYTES
            x = np.ascontiguousarray(x.toarray()) if small else x.tocsr()
        self.sparse = is_sparse(x)
        self.x = x if self.sparse else check_x(spec, x)
        self.y = np.ascontiguousarray(y, dtype=np.int64 if y.ndim == 1 else spec.dtype)
        self.weight = None if weight is None else np.ascontiguousarray(weight, dtype=spec.dtype)

    @property
    def weight_sum(self) -> float:
        """Number of the rows, or sum of their weights."""
        return float(self.n) if self.weight is None else float(self.weight.sum(dtype=np.float64))

    def _pieces(self, order: Array | None = None, step: int = 1) -> Iterator[Data]:
        for part, x in dense_pieces(self.x, order, step):
            yield Data(x, self.y[part], None if self.weight is None else self.weight[part])

    def train(self, trainer: Trainer, epochs: Epochs, options: RunOptions) -> Report:
        """Run one epoch; see `Trainer.run`."""
        if not self.sparse:
            return trainer.run(Data(self.x, self.y, self.weight), epochs, options)
        rates, keys = epochs.learning_rates, epochs.dropout_keys
        order = None if epochs.orders is None else epochs.orders[0]
        sums = np.zeros((1, len(TOTALS)))
        for number, data in enumerate(self._pieces(order, options.batch_size)):
            steps = -(-len(data) // options.batch_size)
            part, rates = (rates, rates) if rates.ndim == 1 else np.split(rates, [steps], axis=1)
            # Each piece begins with batch 0, and must drop something else.
            own_keys = None if keys is None else keys ^ np.uint64(number << 32)
            report = trainer.run(data, Epochs(part, None, own_keys), options)
            sums += report.totals.sum(axis=0)
            if report.status != "ok":
                return Report(sums, report.status)
        return Report(sums)

    def loss(self, net: Net) -> float:
        """Return the mean loss."""
        pieces = self._pieces() if self.sparse else [Data(self.x, self.y, self.weight)]
        totals = [net.engine.evaluate(net.spec, net.params, data) for data in pieces]
        sums = np.sum(totals, axis=0)
        return float(sums[_LOSS] / sums[_WEIGHT])

    def gradient_of(self, net: Net) -> Gradient:
        """Return what writes the gradient of the mean loss to an array, and returns that loss."""
        if self.sparse:
            return partial(self._gradient_by_pieces, net)
        data = Data(self.x, self.y, self.weight)
        return net.engine.gradient_of(net.spec, net.params, data)

    def _gradient_by_pieces(self, net: Net, grad: Array) -> float:
        backend, spec, params = net.engine, net.spec, net.params
        loss, part_grad, total = 0.0, np.empty_like(grad), self.weight_sum
        grad[...] = 0
        for data in self._pieces():
            weight = data.sample_weight
            share = (len(data) if weight is None else float(weight.sum())) / total
            loss += share * backend.loss_and_grad(spec, params, data, part_grad)
            grad += share * part_grad
        return loss


def check_range(x: Any, dtype: str) -> None:
    """Raise if finite numbers of x are infinite in another dtype."""
    values = x.data if is_sparse(x) else x
    if dtype == "float64" or values.dtype == np.float32 or not values.size:
        return
    if max(values.max(), -values.min()) > np.finfo(dtype).max:
        raise ValueError(f"Input X contains infinity or a value too large for dtype('{dtype}').")
