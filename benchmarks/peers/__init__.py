"""The contestants: which there are, how they are imported, and what a missing one needs."""

from __future__ import annotations

import importlib
import importlib.util
from dataclasses import dataclass

from benchmarks.peers.base import Contestant


@dataclass(frozen=True)
class Entry:
    """A contestant by name, not imported yet.

    Attributes
    ----------
    name : str
        Name on the command line and in the tables.
    module : str
        Module of this package that defines `make`.
    needs : tuple of str
        Top-level modules that must be installed.
    argument : str
        Passed to `make`: a backend's name.
    ours : bool
        Whether it is mlpfast itself, which is not a peer of itself.
    """

    name: str
    module: str
    needs: tuple[str, ...]
    argument: str = ""
    ours: bool = False

    def missing(self) -> str | None:
        """Return why the contestant cannot run here, None if it can (as far as seen from here)."""
        absent = [name for name in self.needs if _absent(name)]
        return f"{' and '.join(absent)} not installed" if absent else None

    def make(self) -> Contestant:
        """Import the library and return the contestant."""
        module = importlib.import_module(f"benchmarks.peers.{self.module}")
        return module.make(self.argument)  # type: ignore[no-any-return]


def _absent(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is None
    except (ImportError, ValueError):
        return True


ENTRIES: tuple[Entry, ...] = (
    Entry("cpp", "ours", ("mlpfast", "mlpfast._core"), "cpp", ours=True),
    Entry("numba", "ours", ("mlpfast", "numba"), "numba", ours=True),
    Entry("numpy", "ours", ("mlpfast",), "numpy", ours=True),
    Entry("numpy-loop", "numpy_loop", ("numpy",)),
    Entry("torch", "torch_eager", ("torch",)),
    Entry("torch-compile", "torch_compiled", ("torch",)),
    Entry("jax", "jax_scan", ("jax",)),
    Entry("keras-jax", "keras_fit", ("keras", "jax"), "jax"),
    Entry("keras-torch", "keras_fit", ("keras", "torch"), "torch"),
    Entry("sklearn", "sklearn_mlp", ("sklearn",)),
    Entry("onnxruntime", "onnx_runtime", ("onnxruntime", "onnx")),
)


def find(name: str) -> Entry:
    """Return the contestant of that name; "cpp:avx2" and the like force an instruction set.

    Raises
    ------
    ValueError
        If there is none.
    """
    for entry in ENTRIES:
        if name == entry.name:
            return entry
    if name.startswith("cpp:"):
        return Entry(name, "ours", ("mlpfast", "mlpfast._core"), name, ours=True)
    known = ", ".join(entry.name for entry in ENTRIES)
    raise ValueError(f"peers must be all, mlpfast, or names out of {known}; got {name!r}")


def select(names: str | None) -> list[Entry]:
    """Return the contestants of a comma-separated list; None gives all."""
    if names is None:
        return list(ENTRIES)
    chosen: list[Entry] = []
    for name in filter(None, (part.strip() for part in names.split(","))):
        group = {"all": list(ENTRIES), "mlpfast": [e for e in ENTRIES if e.ours]}
        chosen += [e for e in group.get(name) or [find(name)] if e not in chosen]
    if not chosen:
        raise ValueError("peers must name at least one contestant")
    return chosen
