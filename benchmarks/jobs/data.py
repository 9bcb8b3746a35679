"""Rows, targets, first weights and row orders: the same for every contestant, from one seed."""

from __future__ import annotations

import gzip
import os
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.jobs.workloads import Workload

Array = npt.NDArray[Any]
SEED = 20


@dataclass(frozen=True)
class Job:
    """A workload with its data.

    Attributes
    ----------
    x : (rows, n_in) array of the workload's dtype
    y : (rows, n_out) targets of the same dtype
    labels : (rows,) int64, or None
        Class numbers where `y` is one-hot.
    params : (n_params,) array
        First weights, layer by layer W (n_in, n_out) row-major, then b.
    source : str
        Where the rows came from.
    """

    workload: Workload
    x: Array
    y: Array
    labels: Array | None
    params: Array
    source: str

    def layers(self, params: Array | None = None) -> list[tuple[Array, Array]]:
        """Return views [(W, b), ...] into `params` (the first weights if None)."""
        flat = self.params if params is None else params
        views, start = [], 0
        for n_in, n_out in pairwise(self.workload.sizes):
            middle = start + n_in * n_out
            stop = middle + n_out
            views.append((flat[start:middle].reshape(n_in, n_out), flat[middle:stop]))
            start = stop
        return views

    def row_orders(self) -> np.random.Generator:
        """Return a fresh source of row orders: ``.permutation(rows)``, once an epoch."""
        return np.random.default_rng(SEED)

    @cached_property
    def shuffled(self) -> bool:
        """Whether an epoch has more than one batch, so that the order matters."""
        return self.workload.batch < self.workload.rows


def flatten(layers: list[tuple[Array, Array]]) -> Array:
    """Return [(W, b), ...] as one flat array; the inverse of `Job.layers`."""
    return np.concatenate([np.asarray(part).ravel() for pair in layers for part in pair])


def make_job(workload: Workload) -> Job:
    """Return the workload with its data; equal calls give equal arrays."""
    rng = np.random.default_rng(SEED + 1)
    w, source = workload, "synthetic"
    x: Array
    labels: Array | None = None
    if w.data == "mnist":
        x, labels, source = _mnist(rng, w.rows)
        x = x.astype(w.dtype)
    elif w.data == "xor":
        x = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], w.dtype)
        y = np.array([[0], [1], [1], [0]], w.dtype)
        source = "the XOR table"
    else:
        x = rng.standard_normal((w.rows, w.sizes[0]), np.float32).astype(w.dtype)
        teacher = rng.standard_normal((w.sizes[0], w.sizes[-1])).astype(w.dtype)
        answers = x @ teacher
        if w.data == "regression":
            y = np.tanh(answers)
        elif w.sizes[-1] == 1:
            y = (answers > 0).astype(w.dtype)
        else:
            labels = answers.argmax(axis=1)
    if labels is not None:
        y = np.eye(w.sizes[-1], dtype=w.dtype)[labels]
    params = _first_weights(w, rng)
    return Job(w, np.ascontiguousarray(x), np.ascontiguousarray(y), labels, params, source)


def _first_weights(w: Workload, rng: np.random.Generator) -> Array:
    """Glorot-uniform weights and zero biases; for E6 the weights of that worked example."""
    if w.name == "E6":
        legacy = np.random.RandomState(5)
        inner = 2 * legacy.random_sample((3, 6)) - 1
        outer = 2 * legacy.random_sample((6, 1)) - 1
        # The third input and the sixth hidden unit are constants: they hold the biases.
        layers = [(inner[:2, :5], inner[2, :5]), (outer[:5], outer[5])]
    else:
        layers = []
        for n_in, n_out in pairwise(w.sizes):
            bound = np.sqrt(6 / (n_in + n_out))
            layers.append((rng.uniform(-bound, bound, (n_in, n_out)), np.zeros(n_out)))
    return flatten(layers).astype(w.dtype)


def _mnist(rng: np.random.Generator, rows: int) -> tuple[Array, Array, str]:
    """Return the first rows of MNIST if MLPFAST_DATA has it, else rows that look as sparse."""
    for folder in _data_folders():
        images = _idx(folder / "train-images-idx3-ubyte", 16)
        labels = _idx(folder / "train-labels-idx1-ubyte", 8)
        if images is not None and labels is not None:
            pixels = images.reshape(-1, 784)[:rows] / np.float32(255)
            return pixels, labels[:rows].astype(np.int64), "MNIST"
    x: Array = rng.random((rows, 784), np.float32)
    x -= np.float32(0.81)  # about a fifth of MNIST's pixels are not 0
    np.maximum(x, 0, out=x)
    x *= np.float32(1 / 0.19)
    teacher = rng.standard_normal((784, 10), np.float32)
    return x, (x @ teacher).argmax(axis=1), "synthetic, in the shape of MNIST"


def _data_folders() -> list[Path]:
    root = os.environ.get("MLPFAST_DATA")
    return [Path(root), Path(root, "mnist")] if root else []


def _idx(path: Path, header: int) -> Array | None:
    """Return the bytes of an IDX file behind its header, or None if there is no such file."""
    if path.is_file():
        return np.frombuffer(path.read_bytes(), np.uint8, offset=header)
    packed = path.with_name(path.name + ".gz")
    if packed.is_file():
        return np.frombuffer(gzip.decompress(packed.read_bytes()), np.uint8, offset=header)
    return None
