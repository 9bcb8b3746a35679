"""Weights as images, and the confusion matrix."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from mlpfast.arrays import as_array, check_finite
from mlpfast.backends.base import Array
from mlpfast.model import MLP, check_net
from mlpfast.plotting.axes import DIVERGING, axes_for
from mlpfast.plotting.boundary import classes_of
from mlpfast.spec import check_int

#: Larger matrices are drawn without a number in each field.
_MOST_NUMBERED = 20


def plot_weights(
    net: MLP,
    units: int | Sequence[int] = 25,
    ax: Any = None,
    *,
    layer: int = 0,
    shape: Sequence[int] | None = None,
    columns: int | None = None,
) -> Any:
    """Draw the weights of each unit of a layer as an image, tile by tile.

    Blue is positive, red negative, white 0; all tiles share one scale. In the first layer of a net
    that reads images a tile shows what its unit looks for.

    Parameters
    ----------
    net : MLP
    units : int or list of int, default 25
        The first so many, or these.
    ax : matplotlib axes, optional
        By default those of a new figure.
    layer : int, default 0
        Index into ``net.weights``; -1 is the output layer.
    shape : (height, width), optional
        Of a tile; by default a square, if the layer's inputs make one.
    columns : int, optional
        Tiles in a row; by default about as many as there are rows.

    Returns
    -------
    matplotlib axes
        ``ax.images[0]`` has all tiles, with NaN between them.

    Raises
    ------
    ImportError
        If matplotlib is missing.
    ValueError, TypeError
        If the layer, a unit or the shape is not there; the message says what is.
    """
    check_net(net)
    check_int("layer", layer, -net.spec.n_layers)
    if layer >= net.spec.n_layers:
        raise ValueError(f"layer must be below {net.spec.n_layers}, got {layer}")
    weights = net.weights[layer]  # (n_in, n_out)
    height, width = _tile_shape(shape, weights.shape[0])
    chosen = _chosen(units, weights.shape[1])
    across = math.ceil(math.sqrt(len(chosen))) if columns is None else columns
    across = min(check_int("columns", across, 1), len(chosen))
    down = -(-len(chosen) // across)
    ax = axes_for(ax, 1.1 * across + 1.2, 1.1 * down * height / width)

    sheet = np.full((down * (height + 1) - 1, across * (width + 1) - 1), np.nan)
    for place, unit in enumerate(chosen):
        top, left = place // across * (height + 1), place % across * (width + 1)
        tile = weights[:, unit].reshape(height, width)
        sheet[top : top + height, left : left + width] = tile
    most = float(np.nanmax(np.abs(sheet))) or 1.0
    image = ax.imshow(sheet, cmap=DIVERGING, vmin=-most, vmax=most, interpolation="nearest")
    ax.set_axis_off()
    ax.figure.colorbar(image, ax=ax, shrink=0.6)
    return ax


def plot_confusion_matrix(
    y_true: Any,
    y_pred: Any,
    ax: Any = None,
    *,
    labels: Sequence[str] | None = None,
    normalize: bool = False,
) -> Any:
    """Draw how often each class was taken for each other one.

    Parameters
    ----------
    y_true, y_pred : (n,) labels, or (n, k) targets and outputs
        Of outputs the largest counts, of a single one (n, 1) whether it is above 1/2. So
        ``net.predict(X)`` can be given as it is.
    ax : matplotlib axes, optional
        By default those of a new figure.
    labels : list of str, optional
        Names of the classes.
    normalize : bool, default False
        Show shares of the rows of each true class in place of counts.

    Returns
    -------
    matplotlib axes
        ``ax.images[0].get_array()`` is the matrix, ``[i, j]`` being rows of class i taken for j.

    Raises
    ------
    ImportError
        If matplotlib is missing.
    ValueError, TypeError
        If the two differ in length, a label is no class, or there are too few names.
    """
    true, n_true = _labels("y_true", y_true)
    predicted, n_predicted = _labels("y_pred", y_pred)
    if len(true) != len(predicted):
        raise ValueError(
            f"y_true and y_pred must have the same length, got {len(true)} and {len(predicted)}"
        )
    n = max(n_true, n_predicted)
    if labels is not None and len(labels) < n:
        raise ValueError(f"labels must name the {n} classes, got {len(labels)}")
    n = n if labels is None else len(labels)
    matrix = np.bincount(true * n + predicted, minlength=n * n).reshape(n, n)
    shown = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1) if normalize else matrix
    side = min(1.6 + 0.42 * n, 9.0)
    ax = axes_for(ax, side, side)

    ax.imshow(shown, cmap="Blues", vmin=0, vmax=shown.max())
    names = [str(i) for i in range(n)] if labels is None else list(labels)
    if n <= _MOST_NUMBERED:
        ax.set_xticks(range(n), names)
        ax.set_yticks(range(n), names)
        dark = shown.max() / 2
        for (i, j), value in np.ndenumerate(shown):
            text = f"{value:.2f}" if normalize else f"{value}"
            color = "white" if value > dark else "black"
            ax.text(j, i, text, ha="center", va="center", color=color, fontsize=8)
    ax.set_xlabel("predicted")
    ax.set_ylabel("true")
    return ax


def _tile_shape(shape: Sequence[int] | None, n_in: int) -> tuple[int, int]:
    if shape is None:
        side = math.isqrt(n_in)
        if side * side != n_in:
            raise ValueError(
                f"shape must be given: the layer's {n_in} inputs do not make a square image"
            )
        return side, side
    if np.shape(shape) != (2,):
        raise ValueError(f"shape must be (height, width), got {shape!r}")
    height, width = (check_int("shape", s, 1) for s in shape)
    if height * width != n_in:
        raise ValueError(
            f"shape must have as many pixels as the layer has inputs ({n_in}), got {height} x "
            f"{width} = {height * width}"
        )
    return height, width


def _chosen(units: int | Sequence[int], n: int) -> list[int]:
    if isinstance(units, Sequence | np.ndarray) and not isinstance(units, str):
        chosen = [check_int("units", unit, 0) for unit in units]
        if not chosen:
            raise ValueError("units must name at least one unit, got none")
        if max(chosen) >= n:
            raise ValueError(f"units must be below the layer's {n}, got {max(chosen)}")
        return chosen
    return list(range(min(check_int("units", units, 1), n)))


def _labels(name: str, value: Any) -> tuple[Array, int]:
    """Return labels (n,) and how many classes there are at least."""
    y = as_array(name, value)
    if y.ndim not in (1, 2) or not y.size:
        raise ValueError(f"{name} must be (n,) labels or (n, k) outputs, got shape {y.shape}")
    check_finite(name, y)
    if y.ndim == 2:
        return classes_of(y), max(y.shape[1], 2)
    labels = y.astype(np.int64)
    if not np.array_equal(labels, y) or labels.min() < 0:
        raise ValueError(f"{name} must hold whole class labels 0, 1, 2..., got {y.min():g}...")
    return labels, int(labels.max()) + 1
