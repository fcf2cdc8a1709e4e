"""Numbers as a reader wants them: few digits, never more than the measurement holds, missing said in words."""

import io
import math
import sys
import textwrap
from collections.abc import Sequence
from typing import Any

MISSING = "—"


def number(value: float | None, digits: int = 3) -> str:
    """`digits` significant digits without exponent from 0.001 to a million; the dash for what is missing."""
    if value is None or math.isnan(value):
        return MISSING
    if math.isinf(value):
        return "∞"
    if value == 0:
        return "0"
    size = math.floor(math.log10(abs(value)))
    if not -4 < size < 6:
        return f"{value:.{digits - 1}e}"
    rounded = round(value, digits - 1 - size)
    return f"{rounded:.{max(0, digits - 1 - size)}f}"


def rounded(data: Any) -> Any:
    """Plain data with floats at ten significant digits.

    The last digits of a logarithm differ between processors; a committed file must not.
    """
    if isinstance(data, float):
        return float(f"{data:.10g}")
    if isinstance(data, dict):
        return {name: rounded(value) for name, value in data.items()}
    if isinstance(data, list):
        return [rounded(value) for value in data]
    return data


def interval(ends: Sequence[float | None] | None, digits: int = 3, opening: str = "[") -> str:
    """As in [low, high]; an open upper end (censored draws) is ∞; the dash where there is none."""
    if ends is None:
        return MISSING
    low, high = ends
    return f"{opening}{number(low, digits)}, {'∞' if high is None else number(high, digits)}]"


TERMINAL_COLUMNS = 100
"""Widest line of a table meant for a terminal."""


def grid(header: Sequence[str], rows: Sequence[Sequence[str]], *, markdown: bool, left: Sequence[int] = (0,)) -> str:
    """An aligned table, Markdown or for a terminal; the columns in `left` hold words, the rest numbers."""
    if not markdown:
        return _terminal_grid(header, rows, left)
    columns = list(zip(header, *rows, strict=True))
    widths = [max(3, *(len(cell) for cell in column)) for column in columns]

    def line(cells: Sequence[str]) -> str:
        padded = [c.ljust(w) if i in left else c.rjust(w) for i, (c, w) in enumerate(zip(cells, widths, strict=True))]
        return "| " + " | ".join(padded) + " |"

    dashes = ["-" * w if i in left else "-" * (w - 1) + ":" for i, w in enumerate(widths)]
    return "\n".join([line(header), line(dashes), *(line(r) for r in rows)])


def _terminal_grid(header: Sequence[str], rows: Sequence[Sequence[str]], left: Sequence[int]) -> str:
    """At most 100 columns, words wrapped at spaces, numbers never; plain text unless stdout is a terminal."""
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for place, name in enumerate(header):
        words = place in left
        longest = max((len(row[place]) for row in rows), default=1)
        widest = max((len(word) for row in rows for word in row[place].split()), default=1) if words else None
        title = name if words else "\n".join(textwrap.wrap(name, max(longest, *map(len, name.split()), 1)))
        table.add_column(
            title, justify="left" if words else "right", no_wrap=not words, overflow="fold", min_width=widest
        )
    for row in rows:
        table.add_row(*row)
    out = io.StringIO()
    terminal = sys.stdout.isatty()
    console = Console(file=out, width=TERMINAL_COLUMNS, markup=False, highlight=False, force_terminal=terminal)
    console.print(table)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines())
