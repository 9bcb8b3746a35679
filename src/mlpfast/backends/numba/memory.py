"""What lies where: the records that the drivers read, and the memory that they describe.

All places are addresses, or offsets in bytes; `ld` and the widths count numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from mlpfast.backends import dropout
from mlpfast.backends.base import Array
from mlpfast.backends.numba.activations import ACTIVATION_KERNELS
from mlpfast.backends.numba.kernels import KERNELS
from mlpfast.backends.numba.losses import FIGURES, LOSS_KERNELS, figures
from mlpfast.backends.numba.vectors import VECTOR_BYTES
from mlpfast.spec import ACTIVATION_RECORDS, NetSpec

#: Rows of a block.
ROWS = 128
#: Rows of the weights whose gradient is computed, and used, at a time.
STRIP = 48
# Batches of at least so many rows of nets of up to so many parameters are cut into chunks, at most
# so many, whose gradients are summed on their own: threads share the chunks.
_CHUNKED_ROWS, _CHUNKED_PARAMETERS, _MOST_CHUNKS = 1024, 16384, 64


def _record(integers: str, reals: str) -> np.dtype[np.void]:
    fields = [(name, "i8") for name in integers.split()]
    return np.dtype([*fields, *((name, "f8") for name in reals.split())])


#: A layer. `depth` is n_in plus 1 for the biases, `width` that of its panels, `stride` their bytes;
#: w is the place of the first panel, flat that of its weights among the parameters. In a block's
#: workspace are z, `out`, the output before some of it is dropped, and a, after it; `kept` is the
#: one of these that the derivative reads. by_row is the place of its transposed delta.
LAYER = _record(
    "n_in n_out depth width panels stride w flat z out a kept by_row whole_rows "
    "activate derive threshold",
    "factor l2",
)

#: A run: its kernels, its memory, its data and its options.
RUN = _record(
    f"{' '.join(KERNELS)} gather_targets loss figures update "
    "itemsize lanes height ld x x_size t weight work work_size delta delta_size own own_size total "
    "keys sums w panels_size gradient chunk sync yield_ numbers flat_w flat_m flat_v "
    "rows_x stride_x rows_y stride_y labels rows_weight n batch_size moments from_logits reduces "
    "counts_rows want_metrics l2_per_row want_penalty check_finite input_threshold",
    "scale_x parameter input_factor",
)


def supports(spec: NetSpec) -> bool:
    """Whether there are kernels for all activations."""
    return all(name in ACTIVATION_KERNELS for name in spec.activations)


def supports_training(spec: NetSpec) -> bool:
    """Whether there are kernels for the activations and the loss."""
    return supports(spec) and (spec.loss, spec.loss_from_logits) in LOSS_KERNELS


def up(count: int, unit: int) -> int:
    """Round up to whole units."""
    return -(-count // unit) * unit


def zeros(size: int) -> Array:
    """Return bytes that begin on a cache line."""
    raw = np.zeros(size + 64, np.uint8)
    start = -raw.ctypes.data % 64
    return raw[start : start + size]


@dataclass(frozen=True)
class Plan:
    """A net as the drivers see it, whatever its batches are.

    Attributes
    ----------
    layers, run : arrays of `LAYER` (n_layers,) and `RUN` (1,)
    outputs, deltas : int
        Units of a workspace, and numbers of a row of all transposed deltas.
    widest : int
        The most units of a layer, in whole panels.
    """

    layers: Array
    run: Array
    outputs: int
    deltas: int
    widest: int


@lru_cache(maxsize=256)
def plan_of(spec: NetSpec) -> Plan:
    """Lay out a net."""
    size = np.dtype(spec.dtype).itemsize
    lanes = VECTOR_BYTES // size
    layers = np.zeros(spec.n_layers, LAYER)
    outputs, deltas, panels_size = 0, 0, 0
    for i, (part, name) in enumerate(zip(spec.layers(), spec.activations, strict=True)):
        layer, (n_in, n_out) = layers[i], part.shape
        last, record = i == spec.n_layers - 1, ACTIVATION_RECORDS[name]
        rate = 0.0 if last or not spec.dropout else spec.dropout[i + 1]
        keeps_z = record.keeps_z or (last and spec.loss_from_logits)
        depth, width = n_in + spec.bias, min(2 * lanes, up(n_out, lanes))
        layer["n_in"], layer["n_out"], layer["depth"], layer["width"] = n_in, n_out, depth, width
        layer["panels"], layer["stride"] = -(-n_out // width), depth * width * size
        layer["w"], layer["flat"] = panels_size, part.w.start * size
        units = n_out + 1  # one for the input of the next layer that is always 1
        layer["z"], layer["out"] = outputs, outputs + units * keeps_z
        layer["a"] = layer["out"] + units * (rate > 0)
        layer["kept"] = layer["z"] if record.keeps_z else layer["out"]
        layer["by_row"] = deltas
        layer["whole_rows"] = record.whole_rows
        layer["activate"], layer["derive"] = (
            kernel.address(spec.dtype) for kernel in ACTIVATION_KERNELS[name]
        )
        layer["threshold"], layer["factor"] = dropout.threshold(rate), dropout.scale(rate)
        outputs += units * (1 + keeps_z + (rate > 0))
        deltas += int(layer["panels"]) * width
        panels_size += int(layer["panels"] * layer["stride"])
    run = np.zeros(1, RUN)
    for name, kernel in KERNELS.items():
        run[name] = kernel.address(spec.dtype)
    run["gather_targets"] = KERNELS["gather"].address(spec.dtype, spec.dtype)
    run["figures"] = figures.address(spec.dtype)
    if supports_training(spec):
        run["loss"] = LOSS_KERNELS[spec.loss, spec.loss_from_logits].address(spec.dtype)
    run["itemsize"], run["lanes"], run["panels_size"] = size, lanes, panels_size
    run["from_logits"] = spec.loss_from_logits
    run["parameter"] = spec.loss_parameter or np.finfo(spec.dtype).eps
    run["reduces"] = spec.reduction != "sum"
    run["counts_rows"] = spec.reduction == "mean_over_rows"
    rate = spec.dropout[0] if spec.dropout else 0.0
    run["input_threshold"], run["input_factor"] = dropout.threshold(rate), dropout.scale(rate)
    return Plan(layers, run, outputs, deltas, up(max(spec.sizes), 2 * lanes))


@dataclass(frozen=True)
class Memory:
    """Memory for batches of so many rows, its description and the threads it is for."""

    layers: Array
    run: Array
    team: int
    memory: Array
    sync: Array


def memory_for(spec: NetSpec, rows: int, team: int, *, train: bool) -> Memory:
    """Allocate what training on batches of `rows`, or going through that many rows, takes."""
    plan = plan_of(spec)
    run = plan.run.copy()
    at = {name: int(run[name][0]) for name in ("itemsize", "lanes", "panels_size")}
    size, lanes, panels_size = at["itemsize"], at["lanes"], at["panels_size"]
    height = min(ROWS, up(max(rows, 1), lanes))
    # An odd number of vectors, so that a column fills all sets of the cache.
    ld = (height // lanes | 1) * lanes
    blocks = -(-rows // ROWS)
    chunk = 0
    if train and rows >= _CHUNKED_ROWS and spec.n_params <= _CHUNKED_PARAMETERS:
        chunk = up(-(-rows // _MOST_CHUNKS), ROWS)
    chunks = -(-rows // chunk) if chunk else 1
    team = max(1, min(team, chunks if chunk else team if train else blocks))
    own_blocks = team if chunk or not train else 1
    inputs, outputs = up(spec.n_in + 1, lanes), up(spec.n_out, lanes)
    line = ld * size
    run["height"], run["ld"], run["chunk"] = height, ld, chunk
    run["t"], run["weight"] = inputs * line, (inputs + outputs) * line
    run["x_size"] = x_size = (inputs + outputs + 1) * line
    run["delta"], run["delta_size"] = plan.outputs * line, plan.widest * line
    by_row = (plan.outputs + 2 * plan.widest) * line
    run["work_size"] = work_size = by_row + height * plan.deltas * size
    # What a thread has for itself: the gradient of a strip, losses of rows, keys of dropped rows.
    run["total"] = strip = STRIP * 2 * lanes * size
    run["keys"] = strip + ROWS * 8
    run["own_size"] = own_size = strip + 2 * ROWS * 8
    sections = {
        "sync": 256,
        "x": x_size * own_blocks,
        "work": work_size * own_blocks,
        "own": own_size * team,
        "w": panels_size * (3 if train else 1),
        "gradient": panels_size * chunks if train else 0,
        "sums": 8 * FIGURES * (-(-rows // lanes)) if train else 0,
    }
    memory = zeros(sum(up(count, 64) for count in sections.values()))
    place, first = memory.ctypes.data, 0
    for name, count in sections.items():
        run[name] = place + first
        first += up(count, 64)
    layers = plan.layers.copy()
    layers["by_row"] = by_row + layers["by_row"] * height * size
    for name in ("z", "out", "a", "kept"):
        layers[name] *= line
    return Memory(layers, run, team, memory, memory[: sections["sync"]].view(np.int64))
