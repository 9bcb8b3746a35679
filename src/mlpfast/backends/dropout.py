"""Which units a training step drops: a pure function, the same on every backend.

A random number of 32 bits belongs to every input of a layer in every row of a batch. It is made of
the epoch's key, which NumPy draws, and of the numbers of batch, layer, row and unit alone, so that
it does not matter who computes it when, and nothing need be kept for the backward pass:

    mix(mix(mix(mix(mix(low + batch) ^ high) + layer) + row) + unit)

modulo 2^32, with the halves of the key and all numbers counted from 0. The unit is dropped if this
is below its layer's threshold, the rate times 2^32; the others are multiplied by 1 / (1 - rate), so
that the mean stays (Srivastava et al., 2014, in its "inverted" form).
"""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np

from mlpfast.backends.base import Array
from mlpfast.spec import NetSpec

_WORD = 0xFFFFFFFF
_Number = TypeVar("_Number", int, Any)


def mix(x: _Number) -> _Number:
    """Return a hash of 32 bits of numbers modulo 2^32, given as int or uint64.

    It is "lowbias32" of Chris Wellons, "Prospecting for Hash Functions" (2018, public domain):
    a bijection each of whose input bits flips each output bit with nearly the same probability.
    """
    x = x & _WORD
    x = (x ^ (x >> 16)) * 0x7FEB352D & _WORD
    x = (x ^ (x >> 15)) * 0x846CA68B & _WORD
    return x ^ (x >> 16)


def step_key(key: int, batch: int) -> int:
    """Return the key of a step from that of its epoch, 64 bits, and the number of the batch."""
    return mix(mix((key & _WORD) + batch) ^ (key >> 32))


def threshold(rate: float) -> int:
    """Return below which number a unit is dropped."""
    return int(rate * 2.0**32)


def scale(rate: float) -> float:
    """Return the factor on those that are not."""
    return 1.0 / (1.0 - rate)


def check_keys(spec: NetSpec, keys: Array | None) -> None:
    """Raise for a net with dropout that no keys came for: nothing would be random in its steps."""
    if spec.dropout and keys is None:
        raise ValueError("a run of a net with dropout needs dropout_keys")


def masks(spec: NetSpec, key: int, batch: int, rows: int) -> list[Array | None]:
    """Return the factors (rows, units) on the inputs of every layer: 0 or `scale`; None for 1."""
    result: list[Array | None] = []
    first = step_key(int(key), batch)
    for layer, (rate, units) in enumerate(zip(spec.dropout, spec.sizes[:-1], strict=True)):
        if rate == 0.0:
            result.append(None)
            continue
        row_keys = mix(mix(first + layer) + np.arange(rows, dtype=np.uint64))
        numbers = mix(row_keys[:, None] + np.arange(units, dtype=np.uint64))
        kept = numbers >= threshold(rate)
        result.append(kept * np.dtype(spec.dtype).type(scale(rate)))
    return result
