"""The chart at the head of the README, drawn from the README's own tables.

``python -m benchmarks.studies.overview`` writes docs/overview.svg. Its text stays text, and its
colors follow the reader's choice of light or dark.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
README, CHART = ROOT / "README.md", ROOT / "docs" / "overview.svg"
HEADING = "Time of a run, shorter is better"
MACHINE = "two threads on two cores of an AMD EPYC (Zen 4, AVX-512)"
OURS = "mlpfast"


class Panel(NamedTuple):
    """A job in plain words, and the row of a table that has its times."""

    row: str
    title: str
    details: str


#: The panels of the left column, then those of the right one.
COLUMNS = (
    (
        Panel("M", "One epoch of MNIST", "784-512-10, batches of 128, SGD, float32"),
        Panel("T", "One epoch of 20,000 rows", "30-128-64-1, batches of 256, Adam, float32"),
    ),
    (
        Panel(
            "default net, 20,000 rows x 30, 10 epochs",
            "A fit of MLPClassifier's default net",
            "20,000 rows of 30 features, 10 epochs, float64",
        ),
        Panel("P1", "Predict one row", "30-100-5, float32"),
    ),
)
#: Columns of the tables that are no contestants, or another backend of mlpfast.
SKIPPED = ("Numba backend", "lead", "of the limit")
UNITS = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0}

WIDTH, COLUMN, LABEL, VALUE = 800, 388, 98, 62
HEAD, TITLE, BAR, GAP = 50, 46, 19, 16
STYLE = """
  text { font: 12px system-ui, -apple-system, "Segoe UI", Helvetica, Arial, sans-serif; }
  .head, .title { font-size: 14px; font-weight: 600; }
  .name { text-anchor: end; }
  .bold { font-weight: 600; }
"""
#: Colors of each class: its property, the light one, the dark one. Without variables of CSS, which
#: not every program that draws SVG knows.
COLORS = (
    ("text", "fill", "#1f2328", "#f0f6fc"),
    (".muted", "fill", "#59636e", "#9198a1"),
    (".ours", "fill", "#1b6ca8", "#4aa3e8"),
    (".others", "fill", "#b4bcc5", "#565f6a"),
    (".card", "fill", "#ffffff", "#0d1117"),
    (".card", "stroke", "#d1d9e0", "#3d444d"),
)


def rows(text: str) -> Iterator[dict[str, str]]:
    """Yield the rows of all tables of a Markdown text, by the heads of their columns."""
    for table in re.findall(r"(?:^\|.*\|\n)+", text, re.MULTILINE):
        lines = [
            [cell.strip().replace("**", "") for cell in line.strip("|").split("|")]
            for line in table.splitlines()
        ]
        for line in lines[2:]:
            yield {"": line[0], **dict(zip(lines[0][1:], line[1:], strict=True))}


def times(text: str, row: str) -> list[tuple[str, str, float]]:
    """Return name, time as it is written, and seconds of each contestant, the fastest first."""
    found = [r for r in rows(text) if r[""] == row and OURS in r]
    if len(found) != 1:
        raise ValueError(f"README.md has {len(found)} rows {row!r} with times of {OURS}")
    entries = []
    for column, cell in found[0].items():
        match = re.fullmatch(r"(.*?)\s*([\d.,]+) (ns|us|ms|s)", cell)
        if match is None or column in ("", *SKIPPED):
            continue
        # In the column "other" the name stands beside the time.
        name = match[1] or column
        seconds = float(match[2].replace(",", "")) * UNITS[match[3]]
        entries.append((name, f"{match[2]} {match[3].replace('us', 'µs')}", seconds))
    return sorted(entries, key=lambda entry: entry[2])


def draw(text: str) -> str:
    """Return the chart of the tables in the text of a README, as SVG."""
    parts: list[str] = []
    bottom = 0
    for column, panels in enumerate(COLUMNS):
        left, y = 16 + column * COLUMN, HEAD
        for panel in panels:
            parts.append(
                f'<text class="title" x="{left}" y="{y + 16}">{escape(panel.title)}</text>'
            )
            parts.append(
                f'<text class="muted" x="{left}" y="{y + 33}">{escape(panel.details)}</text>'
            )
            y += TITLE
            entries = times(text, panel.row)
            longest = max(seconds for _, _, seconds in entries)
            space = COLUMN - LABEL - VALUE - 20
            for name, written, seconds in entries:
                kind, weight = ("ours", " bold") if name == OURS else ("others", "")
                width = max(seconds / longest * space, 1.5)
                x = left + LABEL
                parts.append(
                    f'<text class="name{weight}" x="{x - 8}" y="{y + 13}">{escape(name)}</text>'
                    f'<rect class="{kind}" x="{x}" y="{y + 2}" width="{width:.1f}" '
                    f'height="{BAR - 5}" rx="1.5"/>'
                    f'<text class="{weight.strip() or "muted"}" x="{x + width + 6:.1f}" '
                    f'y="{y + 13}">{written}</text>'
                )
                y += BAR
            y += GAP
        bottom = max(bottom, y)
    light = "".join(f"  {kind} {{ {name}: {color}; }}\n" for kind, name, color, _ in COLORS)
    dark = "".join(f"    {kind} {{ {name}: {color}; }}\n" for kind, name, _, color in COLORS)
    body = "\n".join(parts)
    size = f'width="{WIDTH}" height="{bottom}"'
    border = f'width="{WIDTH - 1}" height="{bottom - 1}"'
    return f"""\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {bottom}" {size}
     role="img" aria-label="{HEADING}: {MACHINE}">
<style>{STYLE}{light}  @media (prefers-color-scheme: dark) {{
{dark}  }}
</style>
<rect class="card" x="0.5" y="0.5" {border} rx="6"/>
<text class="head" x="16" y="28">{HEADING}</text>
<text class="muted" x="{WIDTH - 16}" y="28" text-anchor="end">{MACHINE}</text>
{body}
</svg>
"""


if __name__ == "__main__":
    CHART.write_text(draw(README.read_text(encoding="utf-8")), encoding="utf-8")
