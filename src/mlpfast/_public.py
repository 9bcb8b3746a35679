"""What `dir` shows of the modules that users import: their public names alone."""

from __future__ import annotations

from functools import partial
from types import ModuleType


def show_public_names(*modules: ModuleType) -> None:
    """Let `dir` of each module show what is in its ``__all__``, not what it imports for itself."""
    for module in modules:
        vars(module).setdefault("__dir__", partial(sorted, module.__all__))
