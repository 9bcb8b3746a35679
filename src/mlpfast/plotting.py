"""Pictures of a training run, drawn with matplotlib if it is installed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlpfast.history import History

_LABELS = {
    "loss": "loss",
    "val_loss": "loss, held out",
    "accuracy": "accuracy",
    "val_accuracy": "accuracy, held out",
}


def plot_history(history: History | Mapping[str, Sequence[float]], ax: Any = None) -> Any:
    """Draw the loss over the epochs and, on a second scale, the accuracy.

    Parameters
    ----------
    history : History or dict of str to list of float
        What `MLP.fit` returns, or its ``history``.
    ax : matplotlib axes, optional
        Where to draw. By default axes of a new figure that pyplot knows nothing of: save it with
        ``ax.figure.savefig(path)``.

    Returns
    -------
    matplotlib axes
        Those of the loss.

    Raises
    ------
    ImportError
        If matplotlib is missing.
    ValueError
        If the history has no loss.
    """
    columns = history if isinstance(history, Mapping) else history.history
    if not columns.get("loss"):
        raise ValueError("history must have at least one epoch with a 'loss', got none")
    if ax is None:
        ax = new_axes()
    lines = []
    for column, color in (("loss", "C0"), ("val_loss", "C1")):
        lines += _line(ax, columns, column, color, "-")
    ax.set_xlabel("epoch")
    ax.set_ylabel("loss")
    ax.set_ylim(bottom=min(0.0, *columns["loss"]))
    if columns.get("accuracy") or columns.get("val_accuracy"):
        right = ax.twinx()
        right.set_ylabel("accuracy")
        right.set_ylim(0.0, 1.02)
        for column, color in (("accuracy", "C0"), ("val_accuracy", "C1")):
            lines += _line(right, columns, column, color, "--")
    ax.legend(handles=lines, loc="center right")
    return ax


def _line(ax: Any, columns: Mapping[str, Sequence[float]], name: str, color: str, dash: str) -> Any:
    values = columns.get(name, ())
    if not values:
        return []
    # One epoch would be a line of no length: show it as a point.
    marker = "o" if len(values) == 1 else None
    epochs = range(1, len(values) + 1)
    return ax.plot(epochs, values, dash, color=color, marker=marker, label=_LABELS[name])


def require_matplotlib() -> None:
    """Raise an ImportError that says what to install, unless matplotlib is there."""
    try:
        import matplotlib as mpl
    except ImportError:
        raise ImportError('plots need matplotlib: pip install "mlpfast[plot]"') from None
    del mpl


def new_axes() -> Any:
    """Return axes of a new figure that pyplot knows nothing of."""
    require_matplotlib()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    FigureCanvasAgg(figure)
    return figure.add_subplot()
