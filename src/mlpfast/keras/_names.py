"""Names as Keras makes them: of classes in snake case, and counted."""

from __future__ import annotations

import re
from collections import Counter

_counts: Counter[str] = Counter()


def snake_case(name: str) -> str:
    """Return "batch_norm" for "BatchNorm", as Keras writes the names of classes."""
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()


def unique_name(prefix: str) -> str:
    """Return "dense", then "dense_1" and so on."""
    _counts[prefix] += 1
    return prefix if _counts[prefix] == 1 else f"{prefix}_{_counts[prefix] - 1}"


def clear_names() -> None:
    """Begin to count anew."""
    _counts.clear()
