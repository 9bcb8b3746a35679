"""What the plots share: colors, names, times with their units, and how a figure is written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

COLORS = {"cpp": "#1b6ca8", "numba": "#5fa3d3", "numpy": "#a9cbe6"}
OTHERS = "#b8b8b8"
#: For lines that are no contestants, one after the other.
LINES = ("#1b6ca8", "#d1762c", "#3c8d5a", "#8a5aa8", "#a83c4f", "#6b6b6b")
NAMES = {
    "cpp": "mlpfast C++",
    "numba": "mlpfast Numba",
    "numpy": "mlpfast NumPy",
    "jax": "JAX",
    "keras-jax": "Keras on JAX",
    "keras-torch": "Keras on PyTorch",
    "numpy-loop": "NumPy by hand",
    "onnxruntime": "ONNX Runtime",
    "sklearn": "scikit-learn",
    "torch": "PyTorch",
    "torch-compile": "PyTorch compiled",
}
UNITS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "us"), (1e-9, "ns"))


def readable(seconds: float) -> str:
    """Return a time with its unit, to three digits."""
    factor, unit = next((u for u in UNITS if seconds >= u[0]), UNITS[-1])
    return f"{seconds / factor:.3g} {unit}"


def canvas(width: float, height: float) -> Any:
    """Return an empty figure that needs no display."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def finish(panel: Any, title: str, x: str, y: str) -> None:
    """Label a panel of lines or points."""
    panel.set_title(title, loc="left", fontsize=9)
    panel.set_xlabel(x, fontsize=8)
    panel.set_ylabel(y, fontsize=8)
    panel.tick_params(labelsize=8)
    panel.grid(alpha=0.25)
    panel.spines[["top", "right"]].set_visible(False)


def save(figure: Any, path: Path) -> Path:
    """Write a figure: equal figures give equal files."""
    from matplotlib import rc_context

    path.parent.mkdir(parents=True, exist_ok=True)
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "mlpfast"}):
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
    return path
