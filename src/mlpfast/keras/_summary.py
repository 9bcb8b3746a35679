"""The table of `Sequential.summary`, laid out as Keras 3 does."""

from __future__ import annotations

import math
import shutil
import textwrap
from collections.abc import Sequence

from mlpfast.keras.layers import Layer

_POSITIONS = (0.45, 0.80, 1.0)
_HEADER = ("Layer (type)", "Output Shape", "Param #")


def summary(
    name: str,
    layers: Sequence[Layer],
    optimizer_params: Sequence[int],
    line_length: int | None = None,
) -> str:
    """Return the table as text, without a line break at its end.

    Parameters
    ----------
    name : str
        The model's.
    layers : list of Layer
    optimizer_params : list of int
        How many numbers the optimizer keeps, part by part.
    line_length : int, optional
        By default that of the terminal, 88 at most.
    """
    if line_length is None:
        line_length = min(88, shutil.get_terminal_size().columns - 4)
    widths = _widths(line_length)
    rows = [
        (
            f"{layer.name} ({type(layer).__name__})",
            _shape(layer.shapes[1]) if layer.shapes else "?",
            f"{layer.count_params():,}" if layer.shapes else "0 (unbuilt)",
        )
        for layer in layers
    ]
    lines = [f'Model: "{name}"', *_table(rows, widths)]
    count, extra = sum(layer.count_params() for layer in layers), sum(optimizer_params)
    lines.append(_line("Total", count + extra, 4 * (count + extra)))
    lines.append(_line("Trainable", count, 4 * count))
    lines.append(_line("Non-trainable", 0, 0))
    if extra:
        lines.append(_line("Optimizer", extra, 4 * extra))
    return "\n".join(lines)


def _widths(line_length: int) -> list[int]:
    """Return the width for text in each column, as the library that Keras prints with gives it."""
    ends = [int(position * line_length) for position in _POSITIONS]
    columns = [end - begin for begin, end in zip([0, *ends], ends, strict=False)]
    # Padding and borders take ten characters more than there are: 3, 4 and 3 are taken away.
    return [max(4, width - less) for width, less in zip(columns, (3, 4, 3), strict=True)]


def _table(rows: Sequence[tuple[str, ...]], widths: Sequence[int]) -> list[str]:
    def rule(left: str, line: str, middle: str, right: str) -> str:
        return left + middle.join(line * (width + 2) for width in widths) + right

    lines = [rule("┏", "━", "┳", "┓"), *_cells(_HEADER, widths, "┃"), rule("┡", "━", "╇", "┩")]
    for i, row in enumerate(rows):
        if i:
            lines.append(rule("├", "─", "┼", "┤"))
        lines += _cells(row, widths, "│")
    return [*lines, rule("└", "─", "┴", "┘")]


def _cells(texts: Sequence[str], widths: Sequence[int], bar: str) -> list[str]:
    """Return the lines of a row, in which long texts are wrapped and long words cut off."""
    parts = [_wrapped(text, width) for text, width in zip(texts, widths, strict=True)]
    lines = []
    for i in range(max(map(len, parts))):
        cells = [part[i] if i < len(part) else "" for part in parts]
        aligned = [f"{cells[0]:<{widths[0]}}", f"{cells[1]:<{widths[1]}}"]
        aligned.append(f"{cells[2]:>{widths[2]}}")
        lines.append(bar + bar.join(f" {cell} " for cell in aligned) + bar)
    return lines


def _wrapped(text: str, width: int) -> list[str]:
    lines = textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False)
    return [x if len(x) <= width else x[: width - 1] + "…" for x in lines] or [""]


def _shape(shape: Sequence[int]) -> str:
    return f"({', '.join(['None', *map(str, shape)])})"


def _line(what: str, count: int, size: float) -> str:
    power = min(int(math.log(size, 1024)), 4) if size else 0
    unit = ("B", "KB", "MB", "GB", "TB")[power]
    return f" {what} params: {count:,} ({size / 1024**power:.2f} {unit})"
