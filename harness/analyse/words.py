"""Numbers as a reader wants them: few digits, never more than the measurement holds, missing said in words."""

import math
from collections.abc import Sequence

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


def interval(ends: Sequence[float | None] | None, digits: int = 3, opening: str = "[") -> str:
    """As in [low, high]; an open upper end (censored draws) is ∞; the dash where there is none."""
    if ends is None:
        return MISSING
    low, high = ends
    return f"{opening}{number(low, digits)}, {'∞' if high is None else number(high, digits)}]"


def grid(header: Sequence[str], rows: Sequence[Sequence[str]], *, markdown: bool, left: Sequence[int] = (0,)) -> str:
    """An aligned table, Markdown or plain columns; the columns in `left` hold words, the rest numbers."""
    columns = list(zip(header, *rows, strict=True))
    widths = [max(3, *(len(cell) for cell in column)) for column in columns]

    def line(cells: Sequence[str]) -> str:
        padded = [c.ljust(w) if i in left else c.rjust(w) for i, (c, w) in enumerate(zip(cells, widths, strict=True))]
        return "| " + " | ".join(padded) + " |" if markdown else "  ".join(padded).rstrip()

    right = ":" if markdown else "-"
    dashes = ["-" * w if i in left else "-" * (w - 1) + right for i, w in enumerate(widths)]
    return "\n".join([line(header), line(dashes), *(line(r) for r in rows)])
