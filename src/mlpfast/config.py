"""What runs and why, and on how many threads."""

from __future__ import annotations

import platform
from importlib import metadata

import numpy as np

from mlpfast import backends
from mlpfast._version import __version__
from mlpfast.backends import threads

__all__ = [
    "config",
    "get_num_threads",
    "set_num_threads",
    "show_config",
]

set_num_threads = threads.set_num_threads
get_num_threads = threads.num_threads


def config() -> dict[str, str]:
    """Return the facts that `show_config` prints."""
    backend, reason = backends.default()
    facts = {
        "mlpfast": __version__,
        "backend": f"{backend.name} ({reason})",
        "available": ", ".join(backends.available()),
        "isa": str(backend.describe().get("isa", "-")),
        "threads": str(get_num_threads()),
        "python": platform.python_version(),
        "numpy": np.__version__,
    }
    try:
        facts["numba"] = metadata.version("numba")
    except metadata.PackageNotFoundError:
        facts["numba"] = "not installed"
    return facts


def show_config() -> None:
    """Print the version, the backend and why it runs, the instruction set and the threads."""
    facts = config()
    width = max(map(len, facts))
    for name, value in facts.items():
        print(f"{name:<{width}}  {value}")
