"""What happened in a fit: the figures of each epoch, and how they come out of a backend's sums."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mlpfast.backends.base import TOTALS, Array
from mlpfast.spec import NetSpec, check_choice

__all__ = [
    "METRICS",
    "History",
    "check_metrics",
    "check_monitor",
    "summarize",
]

METRICS = {"accuracy": "correct", "mse": "squared_error", "mae": "absolute_error"}
_LOSS, _WEIGHT, _PENALTY = (TOTALS.index(name) for name in ("loss", "weight", "penalty"))


class History:
    """What happened in a fit.

    Attributes
    ----------
    history : dict of str to list of float
        A list with one entry an epoch: "loss", the metrics, and with validation data "val_loss"
        and so on. "loss" is the mean over the epoch of the loss before each update (without the
        l2 term); for ``reduction="sum"`` the sum. With dropout, loss and metrics are those of
        the thinned nets that were trained, so that a validation loss may well be lower.
    epoch : list of int
        Numbers of the epochs, counted from 0.
    stop_reason : str
        "finished", "callback", "interrupted" or "diverged".
    """

    def __init__(self) -> None:
        self.history: dict[str, list[float]] = {}
        self.stop_reason = "finished"

    @property
    def n_epochs(self) -> int:
        """Number of epochs, the length of every list."""
        return len(self.history.get("loss", ()))

    @property
    def epoch(self) -> list[int]:
        """Numbers of the epochs."""
        return list(range(self.n_epochs))

    def extend(self, columns: dict[str, list[float]]) -> None:
        """Enter the figures of some epochs, all columns being of one length."""
        for name, values in columns.items():
            self.history.setdefault(name, []).extend(values)

    def __repr__(self) -> str:
        last = ", ".join(f"{k}={v[-1]:.4g}" for k, v in self.history.items() if v)
        return f"<History of {self.n_epochs} epochs, {self.stop_reason}: {last}>"


def summarize(spec: NetSpec, totals: Array, metrics: Sequence[str]) -> dict[str, list[float]]:
    """Turn rows of `TOTALS` (n, 6) into the figures a user sees, n of each."""
    if len(totals) == 1:  # the same without arrays, whose least operation takes half a microsecond
        row = totals[0].tolist()
        total = row[_WEIGHT] or 1.0
        loss = row[_LOSS] + row[_PENALTY]
        one = {"loss": [loss if spec.reduction == "sum" else loss / total]}
        for name in metrics:
            one[name] = [row[TOTALS.index(METRICS[name])] / total]
        return one
    weight = totals[:, _WEIGHT].copy()
    weight[weight == 0] = 1.0
    losses = totals[:, _LOSS] + totals[:, _PENALTY]
    columns = {"loss": (losses if spec.reduction == "sum" else losses / weight).tolist()}
    for name in metrics:
        columns[name] = (totals[:, TOTALS.index(METRICS[name])] / weight).tolist()
    return columns


def check_metrics(metrics: Iterable[str]) -> tuple[str, ...]:
    """Return the names as a tuple if each is one of `METRICS`."""
    names = (metrics,) if isinstance(metrics, str) else tuple(metrics)
    return tuple(check_choice("metrics", name, tuple(METRICS)) for name in names)


def check_monitor(name: str | None, metrics: Sequence[str], validation: bool) -> None:
    """Raise if the history will have no such column."""
    if name is None:
        return
    figures = ["loss", *metrics]
    if name.startswith("val_") and not validation:
        raise ValueError(f"monitor={name!r} needs validation_data")
    check_choice("monitor", name, [*figures, *("val_" + f for f in figures if validation)])
