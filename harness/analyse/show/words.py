"""Numbers as a reader wants them: few digits, never more than the measurement holds, missing said in words."""

import math
from collections.abc import Sequence
from typing import Any

MISSING = "—"


def number(value: float | None, digits: int = 3) -> str:
    """Return `digits` significant digits, no exponent from 0.001 to a million; the dash for what is missing."""
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
    """Return plain data with floats at ten significant digits.

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
    """Return, for instance, "[13.6, 21.0]"; an open end is said in words; the dash where there is no interval.

    `ends`: low and high, None where that end is open.
    """
    if ends is None:
        return MISSING
    low, high = ends
    if low is None:
        return "no end known" if high is None else f"no lower end, {number(high, digits)}"
    return (
        f"{number(low, digits)}, no upper end"
        if high is None
        else f"{opening}{number(low, digits)}, {number(high, digits)}]"
    )


def span(ends: Sequence[float | None] | None, unit: str = "") -> str:
    """Return an interval for a sentence, for instance "11.3 to 527 months" or "from 13.6 months on, no upper end"."""
    unit = f" {unit}" if unit else ""
    if ends is None:
        return MISSING
    low, high = ends
    if low is None:
        return "no end known" if high is None else f"up to {number(high)}{unit}, no lower end"
    return f"{number(low)}{unit} and more, no upper end" if high is None else f"{number(low)} to {number(high)}{unit}"


def level_words(target: dict[str, Any]) -> str:
    """Return, for instance, "79.7 % top-1"."""
    return f"{100 * target['value']:.5g} % {target['metric'][:3]}-{target['metric'][3]}"


def percents(ends: Sequence[float]) -> str:
    """Return an interval of a share, for instance "[9, 76] %"."""
    low, high = ends
    return f"[{100 * low:.0f}, {100 * high:.0f}] %"


def confidence(runs: Sequence[int]) -> str:
    """Return what an interval over architectures of so many runs is: 95 %, or two looks' where each was run once."""
    return "95 %" if max(runs) > 1 else "between two looks, n = 1"


def times(factor: float | None, *, at_least: bool = False) -> str:
    """Return, for instance, "14.5x"; with ≥ where the reference is a lower bound."""
    return MISSING if factor is None else f"{'≥ ' if at_least else ''}{number(factor)}x"


def halving(months: float | None, *, at_most: bool = False) -> str:
    """Return, for instance, "22.1"; with ≤ where the reference, the line's first point, is a lower bound."""
    return MISSING if months is None else f"{'≤ ' if at_most else ''}{number(months)}"
