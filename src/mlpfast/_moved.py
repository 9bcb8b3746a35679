"""Modules under the names they once had: importing one gives the names from where they are now."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from mlpfast import files
from mlpfast.model import MLP
from mlpfast.spec import ACTIVATION_RECORDS, LOSS_RECORDS, Activation, LossRecord

#: Each module that was moved, with the modules that have its names now.
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
    "mlpfast.tables": (
        *("mlpfast.datasets.tables", "mlpfast.datasets.csv_files"),
        *("mlpfast.datasets.npz_files", "mlpfast.files.npz"),
    ),
    "mlpfast.threads": ("mlpfast.backends.threads",),
    "mlpfast.validation": ("mlpfast.arrays", "mlpfast.model"),
}


def _load_with_extra(path: Any, *, backend: str | None = None) -> tuple[MLP, dict[str, Any]]:
    """Return the net of a file, and the facts that were saved with it."""
    saved = files.read(path)
    return MLP.from_spec(saved.spec, saved.params, backend=backend), saved.extra


#: Names that are not there any more: module and name, with what makes their value.
REPLACED: dict[tuple[str, str], Callable[[], Any]] = {
    ("mlpfast.formulas", "ACTIVATION_FORMULAS"): lambda: ACTIVATION_RECORDS,
    ("mlpfast.formulas", "ActivationFormula"): lambda: Activation,
    ("mlpfast.formulas", "LOSS_FORMULAS"): lambda: LOSS_RECORDS,
    ("mlpfast.formulas", "LossFormula"): lambda: LossRecord,
    ("mlpfast.formulas", "DELTA_FROM_LOGITS"): lambda: {
        name: record.logits_delta for name, record in LOSS_RECORDS.items() if record.logits_delta
    },
    ("mlpfast.formulas", "PARAMETER_NAMES"): lambda: {
        name: record.symbol for name, record in LOSS_RECORDS.items() if record.symbol
    },
    ("mlpfast.io", "load"): lambda: MLP.load,
    ("mlpfast.io", "load_with_extra"): lambda: _load_with_extra,
}


class _MovedModule(ModuleType):
    """Stands for a module that was moved.

    Private names are found as well: pickles of the time before may hold them.
    """

    def __getattr__(self, name: str) -> Any:
        if (self.__name__, name) in REPLACED:
            return REPLACED[self.__name__, name]()
        if not name.startswith("__"):
            for module in map(import_module, MOVED[self.__name__]):
                if hasattr(module, name):
                    return getattr(module, name)
        raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")

    def __dir__(self) -> list[str]:
        names = {name for module, name in REPLACED if module == self.__name__}
        for module in map(import_module, MOVED[self.__name__]):
            names.update(name for name in dir(module) if not name.startswith("_"))
        return sorted(names)


class _Finder(MetaPathFinder, Loader):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        return ModuleSpec(fullname, self) if fullname in MOVED else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _MovedModule(spec.name, __doc__)

    def exec_module(self, module: ModuleType) -> None:
        pass


def install() -> None:
    """Let ``import`` find the modules under their old names."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.append(_Finder())
