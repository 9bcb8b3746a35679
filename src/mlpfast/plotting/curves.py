"""Curves: loss and accuracy over the epochs, the size of the gradient over the layers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mlpfast.model import MLP, check_net
from mlpfast.plotting.axes import axes_for
from mlpfast.training.history import History

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
    ax = axes_for(ax)
    lines = []
    for column, color in (("loss", "C0"), ("val_loss", "C1")):
        lines += _line(ax, columns, column, color, "-")
    ax.set_xlabel("epoch")
    ax.locator_params(axis="x", integer=True)
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


def plot_gradient_flow(nets: MLP | Mapping[str, MLP], X: Any, Y: Any, ax: Any = None) -> Any:
    """Draw how large the gradient is in every layer, on a logarithmic scale.

    The size is the root of the mean square of dL/dW over the weights of a layer. Each layer that
    the gradient passes on its way down multiplies it by the slope of the activation: of deep
    sigmoid nets, whose slope is 1/4 at most, little arrives at the first layers; of relu nets,
    whose slope is 0 or 1, more (Hochreiter, 1991; Glorot and Bengio, 2010).

    Parameters
    ----------
    nets : MLP or dict of str to MLP
        The names of a dict are the legend.
    X, Y : arrays
        As `MLP.loss_and_grad` takes them.
    ax : matplotlib axes, optional
        By default those of a new figure.

    Returns
    -------
    matplotlib axes
        With a line for each net, from its first layer to its last. A gradient of 0 has no place on
        the scale: its line is interrupted there.

    Raises
    ------
    ImportError
        If matplotlib is missing.
    ValueError, TypeError
        If there is no net, or X and Y do not fit one.
    """
    named = nets if isinstance(nets, Mapping) else {"": nets}
    if not named:
        raise ValueError("nets must be an MLP or a dict with at least one, got an empty dict")
    sizes = {name: _gradient_sizes(net, X, Y) for name, net in named.items()}
    ax = axes_for(ax)
    for i, (name, values) in enumerate(sizes.items()):
        ax.plot(range(1, len(values) + 1), values, "-o", color=f"C{i}", label=name, markersize=4)
    most = max(map(len, sizes.values()))
    ax.set_xticks(range(1, most + 1, -(-most // 12)))
    ax.set_yscale("log")
    ax.set_xlabel("layer, from the inputs to the output")
    ax.set_ylabel("root mean square of dL/dW")
    ax.grid(alpha=0.3)
    if isinstance(nets, Mapping):
        ax.legend()
    return ax


def _gradient_sizes(net: MLP, X: Any, Y: Any) -> list[float]:
    check_net(net)
    _, grad = net.loss_and_grad(X, Y)
    sizes = [
        math.sqrt(np.mean(np.square(dw, dtype=np.float64))) for dw, _ in net.spec.unflatten(grad)
    ]
    return [size or math.nan for size in sizes]
