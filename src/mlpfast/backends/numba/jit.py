"""How Numba compiles this folder: options, a cache that sees every edit, kernels called by address.

A *kernel* is a function that is compiled once for each dtype, on its own and only when a net needs
it; it is known by its address. A *driver* is compiled once for all dtypes: it knows memory as
addresses, counts in bytes, and calls kernels. So a new activation, loss or optimizer costs one more
kernel, and no driver knows its name.
"""

# Numba types compiled code and intrinsics itself.
# mypy: ignore-errors
# ruff: noqa: ARG001
from __future__ import annotations

import types as python
from collections.abc import Callable
from pathlib import Path
from typing import Any

from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.core.ccallback import CFunc
from numba.extending import intrinsic

# "contract" lets a * b + c become one fused operation; nothing else is reordered or assumed.
OPTIONS: dict[str, Any] = {"error_model": "numpy", "fastmath": {"contract"}}


def dates() -> tuple[tuple[str, int], ...]:
    """Return the names and dates of all files here.

    Numba's cache looks at the date of the file of a function alone, which is not all that its
    machine code is made of.
    """
    files = Path(__file__).parent.glob("*.py")
    return tuple(sorted((file.name, file.stat().st_mtime_ns) for file in files))


_DATES = dates()


def _cached(made: Any) -> Any:
    """Keep machine code on disk, where that is possible, until any of these files changes."""
    try:
        made.enable_caching()
    except RuntimeError:  # neither the package nor the user's cache folder can be written
        return made
    file = getattr(getattr(made, "_cache", None), "_cache_file", None)
    if hasattr(file, "_source_stamp"):
        file._source_stamp = (file._source_stamp, _DATES)
    return made


#: For what is compiled as a part of kernels and drivers alone.
inlined = njit(**OPTIONS)


def jit(function: Callable[..., Any]) -> Any:
    """Compile a driver on first use."""
    return _cached(njit(nogil=True, **OPTIONS)(function))


class Kernel:
    """A function of numbers and pointers, compiled for a dtype when its address is asked for.

    Its arguments are whole numbers but for those named: "Pointer" to numbers of the net's dtype,
    "Source" to those of x, "Doubles" and "Integers"; "float" for a double.
    """

    def __init__(self, function: Callable[..., Any], named: dict[str, str]) -> None:
        self.function, self.named = function, named
        self.compiled: dict[tuple[str, str], CFunc] = {}

    def address(self, dtype: str, source: str = "float64") -> int:
        """Return where the machine code is."""
        if (dtype, source) not in self.compiled:
            kinds = {
                "float": types.float64,
                "Pointer": types.CPointer(getattr(types, dtype)),
                "Source": types.CPointer(getattr(types, source)),
                "Doubles": types.CPointer(types.float64),
                "Integers": types.CPointer(types.int64),
            }
            given = {name: kinds[kind] for kind in self.named for name in self.named[kind].split()}
            code = self.function.__code__
            names = code.co_varnames[: code.co_argcount]
            arguments = tuple(given.get(name, types.int64) for name in names)
            made = _cached(CFunc(self.function, (arguments, types.void), {}, OPTIONS))
            made.compile()
            self.compiled[dtype, source] = made
        return self.compiled[dtype, source].address


def kernel(**named: str) -> Callable[..., Kernel]:
    """Make a `Kernel` of a function."""
    return lambda function: Kernel(function, named)


def fill_in(template: Kernel, name: str, **given: Any) -> Kernel:
    """Make a kernel of a template, whose missing global names are given here."""
    function = template.function
    given = {
        key: inlined(value) if isinstance(value, python.FunctionType) else value
        for key, value in given.items()
    }
    scope = {**function.__globals__, **given}
    code = function.__code__.replace(co_name=name)
    made = python.FunctionType(code, scope, name)
    made.__qualname__ = name  # by which the cache tells them apart
    return Kernel(made, template.named)


@intrinsic
def call(typingctx: Any, address: Any, arguments: Any) -> Any:
    """Call the kernel at an address with a tuple of whole numbers, addresses and doubles."""

    def generate(context: Any, builder: Any, sig: Any, packed: Any) -> Any:
        values = [
            value if kind == types.float64 else context.cast(builder, value, kind, types.int64)
            for value, kind in zip(cgutils.unpack_tuple(builder, packed[1]), arguments, strict=True)
        ]
        kind = ir.FunctionType(ir.VoidType(), [value.type for value in values])
        builder.call(builder.inttoptr(packed[0], kind.as_pointer()), values)
        return context.get_dummy_value()

    return types.void(types.int64, arguments), generate


@intrinsic
def atomic_add(typingctx: Any, address: Any, value: Any) -> Any:
    """Add to the int64 at an address and return what it was before."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        pointer = builder.inttoptr(args[0], ir.IntType(64).as_pointer())
        return builder.atomic_rmw("add", pointer, args[1], "seq_cst")

    return types.int64(types.int64, types.int64), generate


@intrinsic
def atomic_load(typingctx: Any, address: Any) -> Any:
    """Read the int64 at an address that another thread may write."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        pointer = builder.inttoptr(args[0], ir.IntType(64).as_pointer())
        return builder.load_atomic(pointer, "seq_cst", 8)

    return types.int64(types.int64), generate


@intrinsic
def doubles_at(typingctx: Any, address: Any) -> Any:
    """Pointer to the doubles at an address."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.inttoptr(args[0], ir.DoubleType().as_pointer())

    return types.CPointer(types.float64)(types.int64), generate
