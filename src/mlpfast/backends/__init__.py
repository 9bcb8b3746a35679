"""Which engine runs: compiled C++ if it is there, else Numba, else NumPy; or the forced one.

``MLPFAST_BACKEND`` or a ``backend=`` argument force one of "cpp", "numba", "numpy"; "cpp:avx2" and
the like also force the instruction set. A forced choice that cannot be met raises; only a missing
extension falls back, with one warning.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import warnings
from functools import cache

from mlpfast.backends.base import Backend

__all__ = [
    "NAMES",
    "BackendError",
    "FallbackWarning",
    "available",
    "default",
    "load",
    "resolve",
]

NAMES = ("cpp", "numba", "numpy")

_FIX = {
    "cpp": "install a C++17 compiler and reinstall mlpfast, or use a wheel",
    "numba": 'pip install "mlpfast[numba]"',
}


class BackendError(RuntimeError):
    """A backend was asked for that cannot run here."""


class FallbackWarning(RuntimeWarning):
    """A slower backend runs because a faster one is missing."""


@cache
def load(name: str) -> Backend:
    """Return the backend `name` ("cpp", "cpp:avx2", "numba", ...); BackendError if absent."""
    base, _, isa = name.partition(":")
    if base not in NAMES or (isa and base != "cpp"):
        raise ValueError(
            f"backend must be one of {', '.join(map(repr, NAMES))} or 'cpp:<isa>', got {name!r}"
        )
    try:
        module = importlib.import_module(f"mlpfast.backends.{base}")
    except ImportError as error:
        raise BackendError(f"backend {base!r} is not available ({error}); {_FIX[base]}") from error
    try:
        return module.make(isa)
    except ValueError as error:  # an instruction set that this machine or build lacks
        asked = os.environ.get("MLPFAST_ISA", "")
        source = f" with MLPFAST_ISA={asked}" if asked and base == "cpp" and not isa else ""
        raise BackendError(f"backend {name!r} is not available{source}: {error}") from None


@cache
def default() -> tuple[Backend, str]:
    """Return the backend that runs when none is named, and why it was chosen."""
    forced = os.environ.get("MLPFAST_BACKEND", "")
    if forced:
        try:
            return load(forced), f"MLPFAST_BACKEND={forced}"
        except (BackendError, ValueError) as error:
            raise type(error)(f"MLPFAST_BACKEND={forced}: {error}") from error
    missing: list[str] = []
    for name in NAMES:
        if name != "numpy" and not _installed(name):
            isa = os.environ.get("MLPFAST_ISA", "")
            if name == "cpp" and isa:
                raise BackendError(
                    f"MLPFAST_ISA={isa} asks for the C++ backend, which is not installed; "
                    f"{_FIX[name]}"
                )
            missing.append(name)
            continue
        backend = load(name)
        if not missing:
            return backend, "the compiled extension is installed"
        reason = f"{' and '.join(missing)} not installed"
        warnings.warn(
            f"mlpfast runs on its slower {name} backend: {reason}. To fix it: {_FIX[missing[0]]}.",
            FallbackWarning,
            stacklevel=3,
        )
        return backend, reason
    raise AssertionError("the numpy backend is always there")


def _installed(name: str) -> bool:
    """Whether the backend's engine is there; a broken one is not taken for a missing one."""
    engine = {"cpp": "mlpfast._core", "numba": "numba"}[name]
    try:
        return importlib.util.find_spec(engine) is not None
    except ValueError:
        return False


def available() -> list[str]:
    """Return the names that `load` accepts on this machine, every instruction set among them."""
    names: list[str] = []
    for name in NAMES:
        try:
            backend = load(name)
        except BackendError:
            continue
        names.append(name)
        if name == "cpp":
            names += [f"cpp:{isa}" for isa in backend.describe()["isas"]]
    return names


def resolve(name: str | None) -> Backend:
    """Return the named backend, or the default one for None."""
    if name is None:
        return default()[0]
    if not isinstance(name, str):
        raise TypeError(f"backend must be a string or None, got {type(name).__name__}")
    return load(name)
