"""The diagram of a net: units, weights, and what happens to a row on its way through."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from mlpfast.arrays import as_array, check_finite
from mlpfast.backends.base import Array
from mlpfast.model import MLP, check_net
from mlpfast.plotting.axes import NEGATIVE, POSITIVE, axes_for
from mlpfast.spec import check_int

#: With more weights than this they are drawn without their numbers.
_MOST_NUMBERED = 30
_BOX = {"facecolor": "white", "edgecolor": "none", "pad": 0.8, "alpha": 0.85}
_THINNEST, _THICKEST = 0.3, 4.0


def plot_network(
    net: MLP, x: Any = None, ax: Any = None, *, max_units: int = 10, numbers: bool | None = None
) -> Any:
    """Draw a net as circles and lines.

    A line is a weight: blue if positive, red if negative, the thicker the larger. With a row `x`
    every unit shows its output, the darker the larger; without, its name. A unit's bias stands
    below it.

    Parameters
    ----------
    net : MLP
    x : (n_in,) array, optional
        A row to send through the net.
    ax : matplotlib axes, optional
        By default those of a new figure.
    max_units : int, default 10
        Of a larger layer the first ones and the last are drawn, and dots between them.
    numbers : bool, optional
        Whether to write the weights and biases; by default up to 30 of them.

    Returns
    -------
    matplotlib axes
        ``ax.collections`` has the lines of each layer, then the circles of each layer.

    Raises
    ------
    ImportError
        If matplotlib is missing.
    ValueError, TypeError
        If x does not fit the net.
    """
    check_net(net)
    spec = net.spec
    check_int("max_units", max_units, 2)
    outputs = None
    if x is not None:
        row = as_array("x", x)
        if row.shape != (spec.n_in,):
            raise ValueError(f"x must have shape ({spec.n_in},), got {row.shape}")
        check_finite("x", row)
        outputs = [row, *net.activations(row)]
    shown = [_shown(size, max_units) for size in spec.sizes]
    tallest = max(len(units) + (len(units) < size) for units, size in _zip(shown, spec.sizes))
    if numbers is None:
        numbers = sum(len(a) * len(b) for a, b in pairwise(shown)) <= _MOST_NUMBERED
    ax = axes_for(ax, 1.2 + 1.8 * spec.n_layers, 0.8 + 0.75 * max(tallest, 2))

    positions = [_heights(units, size) for units, size in _zip(shown, spec.sizes)]
    _draw_weights(ax, net, shown, positions, numbers)
    _draw_units(ax, net, shown, positions, outputs, numbers)
    ax.set_xlim(-0.4, spec.n_layers + 0.4)
    ax.set_ylim(-tallest / 2 - 0.35, tallest / 2 + 0.1)
    ax.set_axis_off()
    return ax


def _zip(shown: list[list[int]], sizes: tuple[int, ...]) -> list[tuple[list[int], int]]:
    return list(zip(shown, sizes, strict=True))


def _shown(size: int, most: int) -> list[int]:
    """Return the units of a layer that are drawn."""
    return list(range(size)) if size <= most else [*range(most - 1), size - 1]


def _heights(units: list[int], size: int) -> Array:
    """Return the height of each circle; with units left out, there is a gap before the last."""
    rows = len(units) + (len(units) < size)
    heights = (rows - 1) / 2 - np.arange(rows, dtype=float)
    return heights if len(units) == size else np.delete(heights, -2)


def _draw_weights(
    ax: Any, net: MLP, shown: list[list[int]], positions: list[Array], numbers: bool
) -> None:
    from matplotlib.collections import LineCollection

    largest = max(float(np.abs(w).max()) for w in net.weights) or 1.0
    for layer, w in enumerate(net.weights):
        segments, widths, colors = [], [], []
        for row, i in enumerate(shown[layer]):
            for column, j in enumerate(shown[layer + 1]):
                start, end = (
                    (layer, positions[layer][row]),
                    (layer + 1, positions[layer + 1][column]),
                )
                weight = float(w[i, j])
                segments.append((start, end))
                widths.append(max(_THICKEST * abs(weight) / largest, _THINNEST))
                colors.append(POSITIVE if weight >= 0 else NEGATIVE)
                if numbers:
                    _write_weight(ax, start, end, weight, colors[-1])
        alpha = 0.8 if len(segments) <= 100 else 0.4
        ax.add_collection(
            LineCollection(segments, linewidths=widths, colors=colors, alpha=alpha, zorder=1)
        )


def _write_weight(
    ax: Any, start: tuple[int, float], end: tuple[int, float], weight: float, color: str
) -> None:
    # Near its beginning, where the lines into one unit are still apart.
    share = 0.3
    ax.text(
        start[0] + share * (end[0] - start[0]), start[1] + share * (end[1] - start[1]),
        f"{weight:.2f}", color=color, fontsize=8, ha="center", va="center", zorder=2,
        bbox=_BOX,
    )  # fmt: skip


def _draw_units(
    ax: Any,
    net: MLP,
    shown: list[list[int]],
    positions: list[Array],
    outputs: list[Array] | None,
    numbers: bool,
) -> None:
    from matplotlib import colormaps

    spec = net.spec
    biases = net.biases
    for layer, (units, heights) in enumerate(zip(shown, positions, strict=True)):
        colors: Any = "white"
        values = None if outputs is None else outputs[layer][units].astype(float)
        if values is not None:
            # 0..1 as they are, which most outputs are; others by the largest of their layer.
            scale = max(1.0, float(np.abs(values).max()))
            colors = colormaps["Oranges"](0.75 * np.abs(values) / scale)
        ax.scatter(
            np.full(len(units), layer), heights, s=800, c=colors, edgecolors="black", zorder=3
        )
        prefix = "x" if layer == 0 else "o" if layer == spec.n_layers else "h"
        for place, (unit, height) in enumerate(zip(units, heights, strict=True)):
            label = f"{prefix}{unit + 1}" if values is None else f"{values[place]:.2f}"
            ax.text(layer, height, label, ha="center", va="center", fontsize=9, zorder=4)
            if layer and biases and numbers:
                bias = float(biases[layer - 1][unit])
                ax.text(
                    layer, height - 0.42, f"{bias:+.2f}", ha="center", va="center", fontsize=8,
                    color=POSITIVE if bias >= 0 else NEGATIVE, zorder=4,
                )  # fmt: skip
        if len(units) < spec.sizes[layer]:
            left_out = spec.sizes[layer] - len(units)
            middle = (heights[-1] + heights[-2]) / 2
            ax.text(
                layer, middle, f"... {left_out:,} more ...", ha="center", va="center", fontsize=8,
                zorder=4, bbox=_BOX,
            )  # fmt: skip
        name = "inputs" if layer == 0 else spec.activations[layer - 1]
        ax.annotate(
            name, (layer, 0.0), xycoords=("data", "axes fraction"), ha="center", va="bottom",
            fontsize=9,
        )  # fmt: skip
