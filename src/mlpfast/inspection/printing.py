"""Tables for people: the same cells as aligned text and as HTML."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape


def number(value: float) -> str:
    """Return a number in at most ten characters: four decimals where they say enough."""
    value = float(value)
    if value == 0:
        return "0"
    if 1e-3 <= abs(value) < 1e5:
        return f"{value:.4f}"
    return f"{value:.3e}"


def text_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a table; columns of numbers are set flush right."""
    table = [list(header), *(list(row) for row in rows)]
    widths = [max(len(row[i]) for row in table) for i in range(len(header))]
    right = [_is_number_column([row[i] for row in rows]) for i in range(len(header))]
    lines = []
    for row in table:
        cells = [
            cell.rjust(width) if flush else cell.ljust(width)
            for cell, width, flush in zip(row, widths, right, strict=True)
        ]
        lines.append("  ".join(cells).rstrip())
    return lines


def html_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return the same as an HTML table."""
    right = [_is_number_column([row[i] for row in rows]) for i in range(len(header))]
    sides = [f' style="text-align: {"right" if flush else "left"}"' for flush in right]
    head = "".join(f"<th{s}>{escape(c)}</th>" for c, s in zip(header, sides, strict=True))
    body = "".join(
        "<tr>"
        + "".join(f"<td{s}>{escape(c)}</td>" for c, s in zip(row, sides, strict=True))
        + "</tr>"
        for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _is_number_column(cells: Sequence[str]) -> bool:
    filled = [cell for cell in cells if cell and cell != "..."]
    return bool(filled) and all(_is_number(cell) for cell in filled)


def _is_number(cell: str) -> bool:
    try:
        float(cell.replace(",", ""))
    except ValueError:
        return False
    return True
