"""Cost to target by publication date: runs, each architecture's cost, the fit, and two slopes to compare it with."""

import math
from typing import Any

import numpy as np
from matplotlib.ticker import FuncFormatter, MaxNLocator
from matplotlib.transforms import ScaledTranslation

from harness.analyse.evidence.titles import named, short_title
from harness.analyse.show.figures.canvas import (
    BLUE,
    GREEN,
    OCHRE,
    SOFT,
    VERMILION,
    WIDE,
    Picture,
    new,
    style,
    year,
)
from harness.analyse.show.figures.labels import Label, place
from harness.analyse.show.tables import counts
from harness.analyse.show.words import interval, level_words, number, times
from harness.analyse.trend.line import months
from harness.record.units import MOORE_DOUBLING_MONTHS

KINDS = {
    "pooled": "95 %",
    "range": "cheapest and dearest run",
    "resolution": "resolution",
    "bound": "known from below",
    "digitised": "with the error of the plot",
}
"""What each kind of interval is."""

STEP_YEARS, SIDE_YEARS = 0.1, 0.3
"""Architectures of one date stand so far apart, and all of them within so much."""

TAIL_POINTS = 20
"""Length of the tail that leads from a bound up to its triangle."""


def trend(document: dict[str, Any], published: dict[str, Any], width: float = WIDE) -> Picture:
    """Return the figure. `document` is a group with rows; `published` the study's own numbers."""
    figure = new(width, 5.0 if width >= WIDE else 5.8)
    picture = Picture(figure, caption(document))
    rows = [r for r in document["rows"] if r["in_trend"]]
    places = side_by_side(rows)
    with style():
        axes = figure.add_subplot()
        axes.set_yscale("log")
        labels, marks, lines = [], [], []
        for row in rows:
            if not (value := row["cost"] or row["cost_above"]):
                continue  # a miss that spent nothing has no place on a logarithmic axis; the table names it
            colour = VERMILION if row["cost"] is None else BLUE if row["on_frontier"] else SOFT
            x = places[row["model"]]
            marks += _runs(axes, row, colour, x)
            low, high = _mark(picture, axes, row, value, colour, x)
            tail = TAIL_POINTS if row["cost"] is None else 0
            named_here = width >= WIDE or row["on_frontier"] or row["cost"] is None
            words = short_title(row["title"]) if named_here else ""
            labels.append(Label(x, value, words, colour, low, high, tail))
        if document["trend"]["reason"] is None:
            lines = _lines(axes, rows, document["trend"], published)
        axes.set_ylabel(f"training cost to {level_words(document['target'])}, PFLOP")
        axes.set_xlabel("first publication")
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: number(value, 1)))
        axes.margins(x=0.1, y=0.12)  # room for labels and triangles
        if labels and max(label.high for label in labels) < 2 * (lowest := min(label.low for label in labels)):
            axes.autoscale(enable=False, axis="y")  # it warns of one cost alone, which spans no axis
            axes.set_ylim(lowest / 4, 4 * lowest)
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        place(figure, axes, labels, marks=marks, lines=lines)
    return picture


def caption(document: dict[str, Any]) -> str:
    """Return what the figure shows, with n, unit and rule."""
    rows = [r for r in document["rows"] if r["in_trend"]]
    data = document["dataset"]
    subset = f", a subset of {data['train_images']:,} training images" if data["subset"] else ""
    sizes = sorted({r["n"] for r in rows})
    n = str(sizes[0]) if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]}"
    return (
        f"Cost to {level_words(document['target'])} on {named(data['name'])}{subset}. Small dots: runs (n = {n} an "
        "architecture), hollow where they missed. Large marks: an architecture's expected cost, its interval, in "
        "PFLOP (3 x forward MACs x images / 10^15, the study's unit); round and blue: the cheapest so far when "
        "published. Open triangles: not reached; the cost lies above the foot of the tail. Band: 95 % of the "
        "least-squares line. Dashed and dotted: the same start, falling as Moore's law and as the study have it. Of "
        "architectures of one date the dearer stand to the right."
    )


def row_words(row: dict[str, Any]) -> str:
    """Return what hovering over an architecture tells."""
    cost = number(row["cost"]) if row["cost"] is not None else f"above {number(row['cost_above'])} (not reached)"
    lines = [
        f"{row['title']}, published {row['published']}",
        f"cost {cost} PFLOP, {KINDS[row['interval_kind']]} {interval(row['cost_interval'])}",
        f"n = {row['n']}: {counts(row['outcomes'])}",
        *([f"factor {times(row['factor'], at_least=row['factor_at_least'])}"] if row["factor"] is not None else []),
        *row["hardware"],
        *([f"flags: {' '.join(row['flags'])}"] if row["flags"] else []),
    ]
    return "\n".join(lines)


def side_by_side(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Return the place in years of each model: its date, and of one date the dearer and the missed to the right."""
    dates: dict[str, list[dict[str, Any]]] = {}
    for row in sorted(rows, key=lambda r: (r["cost"] is None, r["cost"] or r["cost_above"] or 0.0)):
        dates.setdefault(row["published"], []).append(row)
    return {
        row["model"]: year(months(date)) + number * min(STEP_YEARS, SIDE_YEARS / len(alike))
        for date, alike in dates.items()
        for number, row in enumerate(alike)
    }


def _runs(axes: Any, row: dict[str, Any], colour: str, at: float) -> list[tuple[float, float]]:
    """Draw every run as a small dot, a missed one hollow at what it spent; return the points."""
    reached = [run["cost"] for run in row["per_run"] if run["cost"]]
    missed = [run["after"] for run in row["per_run"] if not run["cost"] and run["after"]]
    for values, face in ((reached, colour), (missed, "none")):
        x = [at] * len(values)
        axes.plot(x, values, "o", markersize=3, markerfacecolor=face, markeredgecolor=colour, alpha=0.55)
    return [(at, value) for value in (*reached, *missed)]


def _mark(picture: Picture, axes: Any, row: dict[str, Any], value: float, colour: str, x: float) -> tuple[float, float]:
    """Draw the architecture's cost, or its bound; return the ends of what stands at its date."""
    if row["cost"] is None:
        up = ScaledTranslation(0, TAIL_POINTS / 72, picture.figure.dpi_scale_trans)
        axes.annotate(
            "",
            (x, value),
            (0, TAIL_POINTS - 3),
            textcoords="offset points",
            arrowprops={"arrowstyle": "-", "color": colour, "linewidth": 1.2, "shrinkA": 0, "shrinkB": 0},
        )
        (mark,) = axes.plot(
            x, value, "^", markersize=7, markerfacecolor="none", markeredgecolor=colour, transform=axes.transData + up
        )
        picture.hint(mark, row_words(row))
        return value, value
    low, high = (end if end else value for end in row["cost_interval"])
    axes.vlines(x, low, high, color=colour, linewidth=1.2)
    (mark,) = axes.plot(x, value, "o" if row["on_frontier"] else "s", markersize=7, color=colour)
    picture.hint(mark, row_words(row))
    return low, high


def _lines(axes: Any, rows: list[dict[str, Any]], line: dict[str, Any], published: dict[str, Any]) -> list[Any]:
    """Draw the fit with its band, and the two slopes from the reference's own cost; return points of the lines."""
    frontier = [r for r in rows if r["on_frontier"]]
    dates = np.array([months(r["published"]) for r in frontier])
    x = np.linspace(dates[0], dates[-1], 50)
    fitted = line["intercept"] + line["slope"] * x
    if (half := _half_width(dates, x, line)) is not None:
        axes.fill_between(year(x), 2 ** (fitted - half), 2 ** (fitted + half), color=BLUE, alpha=0.12, linewidth=0)
    at_most = "≤ " if line["reference_censored"] else ""
    words = "level" if line["halving_months"] is None else f"halves in {at_most}{number(line['halving_months'])} months"
    axes.plot(year(x), 2**fitted, color=BLUE, linewidth=1.6, label=f"fit: {words}")
    start = frontier[0]["cost"] or frontier[0]["cost_above"]
    slopes = (
        (published["halving_months"], GREEN, ":", f"the study: {number(published['halving_months'])} months"),
        (MOORE_DOUBLING_MONTHS, OCHRE, "--", f"Moore's law: {MOORE_DOUBLING_MONTHS:.0f} months"),
    )
    dense = np.linspace(x[0], x[-1], 120)  # closer than a label is high
    points = list(zip(year(dense), 2 ** (line["intercept"] + line["slope"] * dense), strict=True))
    for halving, colour, dash, label in slopes:
        falling = start * 2 ** (-(x - x[0]) / halving)
        axes.plot(year(x), falling, dash, color=colour, linewidth=1.4, label=label)
        points += zip(year(dense), start * 2 ** (-(dense - x[0]) / halving), strict=True)
    axes.legend(loc="lower left")
    return points


def _half_width(dates: Any, x: Any, line: dict[str, Any]) -> Any | None:
    """Half the 95 % band of the line in doublings, (points of x,); None where two points leave no freedom.

    Half the slope's interval carries Student's t and the residuals; the band is it x sqrt(Sxx / n + (x - mean)^2).
    """
    ends = line["halving_interval_ols"]
    if ends is None or not ends[0]:
        return None
    margin = line["slope"] + 1 / ends[0]
    spread = float(((dates - dates.mean()) ** 2).mean())
    return abs(margin) * np.sqrt(spread + (x - dates.mean()) ** 2) if math.isfinite(margin) else None
