"""How the Numba kernels are compiled: their options, Numba's cache, and leaves."""

# mypy: ignore-errors
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from numba import cfunc, njit

from mlpfast.backends.numba.vectors import Leaf

# "contract" lets a * b + c become one fused operation; nothing else is reordered or assumed.
_OPTIONS: dict[str, Any] = {"error_model": "numpy", "fastmath": {"contract"}}

# Numba's cache looks at the date of the file of a function alone, which is not all that its
# machine code is made of.
_DATES = tuple(sorted(p.stat().st_mtime_ns for p in Path(__file__).parent.glob("*.py")))

_leaves: list[Leaf] = []


def _dated(made: Any) -> Any:
    """Make what is kept on disk of a compiled function void when any of these files changes."""
    file = getattr(getattr(made, "_cache", None), "_cache_file", None)
    if hasattr(file, "_source_stamp"):
        file._source_stamp = (file._source_stamp, _DATES)
    return made


def jit(function: Callable[..., Any]) -> Any:
    """Compile on first use, and keep the machine code on disk where a place for it is found."""
    try:
        return _dated(njit(cache=True, nogil=True, **_OPTIONS)(function))
    except RuntimeError:  # neither the package nor the user's cache folder can be written
        return njit(nogil=True, **_OPTIONS)(function)


def leaf(pointers: str) -> Any:
    """Make a `Leaf` of a function and return what calls it, with all arguments in a tuple."""

    def compiler(signature: Any) -> Any:
        try:
            return cfunc(signature, cache=True, **_OPTIONS)
        except RuntimeError:
            return cfunc(signature, **_OPTIONS)

    def decorate(function: Callable[..., Any]) -> Any:
        _leaves.append(Leaf(function, pointers, compiler))
        return _leaves[-1].call()

    return decorate


def provide(dtype: str) -> None:
    """Make the leaves ready, without which none of the kernels runs for that dtype."""
    for one in _leaves:
        one.provide(dtype)
