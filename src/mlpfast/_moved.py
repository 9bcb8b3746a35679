"""Modules under the names they once had: importing one gives the names from where they are now."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

#: Each module, with the modules that have its public names now. A class keeps the module that
#: defines it, so that pickles of before can be read.
MOVED: dict[str, tuple[str, ...]] = {
    "mlpfast.callbacks": ("mlpfast.training.callbacks",),
    "mlpfast.explain": ("mlpfast.inspection.explain",),
    "mlpfast.formulas": ("mlpfast.inspection.formulas",),
    "mlpfast.gradient_check": ("mlpfast.inspection.gradient_check",),
    "mlpfast.history": ("mlpfast.training.history",),
    "mlpfast.io": ("mlpfast.files", "mlpfast.files.model"),
    "mlpfast.printing": ("mlpfast.inspection.printing",),
    "mlpfast.progress": ("mlpfast.training.progress",),
    "mlpfast.schedules": ("mlpfast.spec.schedules",),
    "mlpfast.tables": ("mlpfast.datasets.tables", "mlpfast.files.npz"),
    "mlpfast.threads": ("mlpfast.backends.threads",),
    "mlpfast.validation": ("mlpfast.arrays", "mlpfast.model"),
}

#: Names that were changed as well: module and attribute.
RENAMED: dict[tuple[str, str], str] = {
    ("mlpfast.formulas", "ACTIVATION_FORMULAS"): "mlpfast.spec:ACTIVATION_RECORDS",
    ("mlpfast.formulas", "LOSS_FORMULAS"): "mlpfast.spec:LOSS_RECORDS",
    ("mlpfast.io", "load"): "mlpfast._moved:load",
    ("mlpfast.io", "load_with_extra"): "mlpfast._moved:load_with_extra",
}


class _MovedModule(ModuleType):
    """Stands for a module that has moved."""

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("_"):
            if (self.__name__, name) in RENAMED:
                where, _, attribute = RENAMED[self.__name__, name].partition(":")
                return getattr(import_module(where), attribute)
            for module in map(import_module, MOVED[self.__name__]):
                if hasattr(module, name):
                    return getattr(module, name)
        raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")


class _Finder(MetaPathFinder, Loader):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        return ModuleSpec(fullname, self) if fullname in MOVED else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _MovedModule(spec.name, __doc__)

    def exec_module(self, module: ModuleType) -> None:
        pass


def load(path: Any, *, backend: str | None = None) -> Any:
    """Return `MLP.load` of a path."""
    from mlpfast.model import MLP

    return MLP.load(path, backend=backend)


def load_with_extra(path: Any, *, backend: str | None = None) -> tuple[Any, dict[str, Any]]:
    """Return the net of a file and the facts that were saved with it."""
    from mlpfast import files
    from mlpfast.model import MLP

    saved = files.read(path)
    return MLP.from_spec(saved.spec, saved.params, backend=backend), saved.extra


def install() -> None:
    """Let ``import`` find the modules under their old names."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.append(_Finder())
