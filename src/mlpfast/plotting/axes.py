"""Where the pictures are drawn: axes that somebody gives, or those of a figure of their own."""

from __future__ import annotations

from typing import Any

#: Of what is positive and of what is negative, and the colormap that runs between them.
POSITIVE, NEGATIVE, DIVERGING = "#2166ac", "#b2182b", "RdBu"


def require_matplotlib() -> None:
    """Raise an ImportError that says what to install, unless matplotlib is there."""
    try:
        import matplotlib as mpl
    except ImportError:
        raise ImportError('plots need matplotlib: pip install "mlpfast[plot]"') from None
    del mpl


def new_figure(width: float = 6.4, height: float = 4.0) -> Any:
    """Return an empty figure that needs neither pyplot nor a display.

    Parameters
    ----------
    width, height : float
        In inches.

    Returns
    -------
    matplotlib.figure.Figure
        ``figure.subplots(1, 2)`` gives axes to draw on.

    Raises
    ------
    ImportError
        If matplotlib is missing.
    """
    require_matplotlib()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def axes_for(ax: Any, width: float = 6.4, height: float = 4.0) -> Any:
    """Return `ax` if it is axes, or those of a new figure if it is None."""
    if ax is None:
        return new_figure(width, height).add_subplot()
    require_matplotlib()
    from matplotlib.axes import Axes

    if not isinstance(ax, Axes):
        raise TypeError(f"ax must be matplotlib axes or None, got {type(ax).__name__}")
    return ax
