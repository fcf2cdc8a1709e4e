"""Trends in one unit, the factor since AlexNet: measured here, published, and Moore's law."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from harness.analyse.show.figures.canvas import BLUE, GREEN, OCHRE, WIDE, Picture, new, style, year
from harness.analyse.show.words import number
from harness.analyse.trend.line import months
from harness.record.units import MOORE_DOUBLING_MONTHS


@dataclass(frozen=True)
class Frontier:
    """One trend: (date, cost) of each cheapest so far, its own AlexNet first; halving_months None = no line."""

    words: str
    points: Sequence[tuple[str, float]]
    halving_months: float | None
    colour: str
    mark: str
    dash: str


def compared(document: dict[str, Any], published: dict[str, Any], width: float = WIDE) -> Picture | None:
    """Return the frontiers as factors against their own first point; None where there is no trend here."""
    fitted = document["trend"]
    if fitted["reason"]:
        return None
    rows = [r for r in document["rows"] if r["in_trend"] and r["on_frontier"]]
    at_least = "at least " if fitted["reference_censored"] else ""
    here = Frontier(
        f"here: {at_least}{number(fitted['reduction_factor'])}x",
        [(r["published"], r["cost"] or r["cost_above"]) for r in rows],
        fitted["halving_months"],
        *(BLUE, "o", "-"),
    )
    theirs = Frontier(
        f"the study (ImageNet, top-5 79.1 %): {number(published['reduction_factor'])}x",
        [(p["published"], p["tfs_days"]) for p in published["frontier"]],
        published["halving_months"],
        *(GREEN, "D", ":"),
    )
    figure = new(width, 4.0)
    with style():
        draw_factors(figure.add_subplot(), [here, theirs], here.points[0][0])
    return Picture(
        figure,
        "How many times less arithmetic than AlexNet each cheapest-so-far architecture needs for AlexNet's level, "
        "measured here and as published, beside the gain of hardware by Moore's law. Each set starts at its own "
        "AlexNet; slopes compare, levels do not, where data sets differ. Lines rise with the fitted halving time.",
    )


def draw_factors(axes: Axes, frontiers: Sequence[Frontier], moore_from: str) -> None:
    """Every frontier as factors against its own first point, and Moore's law from a date to the last point of all."""
    last = 0.0
    for one in frontiers:
        x = np.array([months(day) for day, _ in one.points])
        cost = np.array([value for _, value in one.points])
        axes.plot(year(x), cost[0] / cost, one.mark, color=one.colour, markersize=6, label=one.words)
        if one.halving_months:
            axes.plot(year(x), 2 ** ((x - x[0]) / one.halving_months), one.dash, color=one.colour, linewidth=1.4)
        last = max(last, float(x[-1]))
    x = np.array([months(moore_from), last])
    moore = 2 ** ((x - x[0]) / MOORE_DOUBLING_MONTHS)
    words = f"Moore's law: doubling in {MOORE_DOUBLING_MONTHS:.0f} months"
    axes.plot(year(x), moore, "--", color=OCHRE, linewidth=1.4, label=words)
    axes.set_yscale("log", base=2)
    axes.set_ylim(top=3 * max(max(cost for _, cost in f.points) / min(cost for _, cost in f.points) for f in frontiers))
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}x")
    axes.set_ylabel("less arithmetic than AlexNet")
    axes.set_xlabel("first publication")
    axes.legend(loc="upper left")
