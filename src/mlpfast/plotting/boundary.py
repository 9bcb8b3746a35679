"""The decision boundary of a net with two inputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mlpfast.arrays import check_finite, check_x, check_y
from mlpfast.backends.base import Array
from mlpfast.model import MLP, check_net
from mlpfast.plotting.axes import DIVERGING, NEGATIVE, POSITIVE, axes_for
from mlpfast.spec import check_int, check_real

#: How far beyond the rows the picture reaches, as a share of their range.
_MARGIN = 0.25


def plot_decision_boundary(
    net: MLP,
    X: Any = None,
    Y: Any = None,
    ax: Any = None,
    *,
    limits: Sequence[Sequence[float]] | None = None,
    resolution: int = 200,
) -> Any:
    """Draw what a net of two inputs answers over the plane.

    With one output the colors go from red (0) to blue (1), and a line runs where the answer is
    1/2. With several the plane is divided among the classes, by the largest output.

    Parameters
    ----------
    net : MLP
        With two inputs.
    X : (n, 2) array, optional
        Rows to draw as points.
    Y : targets or labels of these rows, optional
        As `MLP.fit` takes them; they color the points.
    ax : matplotlib axes, optional
        By default those of a new figure.
    limits : ((x1 from, x1 to), (x2 from, x2 to)), optional
        Part of the plane; by default what X spans, and a quarter more on each side.
    resolution : int, default 200
        Points along each side at which the net is asked.

    Returns
    -------
    matplotlib axes

    Raises
    ------
    ImportError
        If matplotlib is missing.
    ValueError, TypeError
        If the net has not two inputs, neither X nor limits is given, or one does not fit.
    """
    check_net(net)
    spec = net.spec
    if spec.n_in != 2:
        raise ValueError(f"net must have 2 inputs, got {spec.n_in}")
    check_int("resolution", resolution, 2)
    rows = classes = None
    if X is not None:
        rows = check_x(spec, X)
        check_finite("X", rows)
        if Y is not None:
            classes = classes_of(check_y(spec, Y, len(rows)))
    elif Y is not None:
        raise ValueError("Y colors the points of X: give X as well")
    (left, right), (bottom, top) = _limits(limits, rows)
    ax = axes_for(ax, 5.0, 4.4)

    across, up = np.linspace(left, right, resolution), np.linspace(bottom, top, resolution)
    grid = np.stack(np.meshgrid(across, up), axis=-1).reshape(-1, 2)
    answers = net.predict(grid.astype(spec.dtype)).reshape(resolution, resolution, spec.n_out)
    _paint(ax, across, up, answers)
    if rows is not None:
        _dot(ax, rows, classes, spec.n_out)
    ax.set(xlim=(left, right), ylim=(bottom, top), xlabel="x1", ylabel="x2")
    return ax


def classes_of(Y: Array) -> Array:
    """Return the class of each row: of outputs (n, k) the largest, of (n, 1) above 1/2 or not."""
    if Y.ndim == 1:
        return Y
    return (Y[:, 0] > 0.5).astype(np.int64) if Y.shape[1] == 1 else Y.argmax(axis=1)


def _limits(limits: Any, rows: Array | None) -> list[tuple[float, float]]:
    if limits is None:
        if rows is None or not len(rows):
            raise ValueError("limits must be given where there are no rows X to take them from")
        low, high = rows.min(axis=0).astype(float), rows.max(axis=0).astype(float)
        margin = _MARGIN * np.where(high > low, high - low, 1.0)
        return list(zip((low - margin).tolist(), (high + margin).tolist(), strict=True))
    if np.shape(limits) != (2, 2):
        raise ValueError(f"limits must be ((x1 from, x1 to), (x2 from, x2 to)), got {limits!r:.80}")
    pairs = [(check_real("limits", a), check_real("limits", b)) for a, b in limits]
    for low, high in pairs:
        if not low < high:
            raise ValueError(f"limits must go from a lower to a higher number, got {low} to {high}")
    return pairs


def _paint(ax: Any, across: Array, up: Array, answers: Array) -> None:
    from matplotlib import colormaps
    from matplotlib.colors import ListedColormap

    options = {
        "extent": (across[0], across[-1], up[0], up[-1]),
        "origin": "lower",
        "aspect": "auto",
        "zorder": 0,
    }
    if answers.shape[2] > 1:
        n = answers.shape[2]
        colors = ListedColormap([colormaps["tab10"](i % 10) for i in range(n)])
        classes = answers.argmax(axis=2)
        ax.imshow(
            classes, cmap=colors, vmin=-0.5, vmax=n - 0.5, alpha=0.4, interpolation="nearest",
            **options,
        )  # fmt: skip
        return
    values = answers[:, :, 0]
    # A wider scale than 0..1 keeps the plane lighter than the points.
    inside = np.clip(values, 0.0, 1.0)
    ax.imshow(inside, cmap=DIVERGING, vmin=-0.35, vmax=1.35, **options)
    if values.min() < 0.5 < values.max():
        ax.contour(across, up, values, levels=[0.5], colors="black", linewidths=1.5)


def _dot(ax: Any, rows: Array, classes: Array | None, n_out: int) -> None:
    from matplotlib import colormaps

    color: Any = "white"
    if classes is not None and n_out == 1:
        color = [(POSITIVE if c else NEGATIVE) for c in classes]
    elif classes is not None:
        color = [colormaps["tab10"](int(c) % 10) for c in classes]
    ax.scatter(rows[:, 0], rows[:, 1], c=color, s=45, edgecolors="black", zorder=3)
