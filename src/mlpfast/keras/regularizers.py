"""The l2 penalty on the weights of a layer."""

from __future__ import annotations

from typing import Any

import numpy as np

from mlpfast.keras._unsupported import lookup, placeholder, refuse
from mlpfast.spec import check_real

__all__ = [
    "L1",
    "L1L2",
    "L2",
    "get",
    "l1",
    "l1_l2",
    "l2",
]


class L2:
    """Adds ``l2 * sum(W^2)`` to the loss."""

    def __init__(self, l2: float = 0.01) -> None:
        self.l2 = check_real("l2", l2, low=0.0)

    def __call__(self, x: Any) -> float:
        """Return the penalty of some weights."""
        return self.l2 * float(np.sum(np.square(np.asarray(x, np.float64))))

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make it again."""
        return {"l2": self.l2}


l2 = L2
# What is imported without being used does no harm.
L1, L1L2 = (placeholder(name, "regularizer", "there is L2") for name in ("L1", "L1L2"))
l1, l1_l2 = L1, L1L2


def get(identifier: Any) -> L2 | None:
    """Return the regularizer that a name, an instance or None stands for."""
    if identifier is None or type(identifier) is L2:
        return identifier
    if identifier not in ("l2", "L2"):
        refuse(f"regularizer {identifier!r}", "there is L2")
    return L2()


def __getattr__(name: str) -> Any:
    return lookup(__name__, name, "regularizer", ["L2"])
