"""The l2 penalty on the weights of a layer."""

from __future__ import annotations

from typing import Any

from mlpfast.keras._unsupported import lookup, refuse
from mlpfast.spec import check_real


class L2:
    """Adds ``l2 * sum(W^2)`` to the loss."""

    def __init__(self, l2: float = 0.01) -> None:
        self.l2 = check_real("l2", l2, low=0.0)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make it again."""
        return {"l2": self.l2}


l2 = L2


def get(identifier: Any) -> L2 | None:
    """Return the regularizer that a name, an instance or None stands for."""
    if identifier is None or isinstance(identifier, L2):
        return identifier
    if identifier not in ("l2", "L2"):
        refuse(f"regularizer {identifier!r}", "there is L2")
    return L2()


def __getattr__(name: str) -> Any:
    return lookup(__name__, name, "regularizer")
