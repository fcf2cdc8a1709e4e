"""Three trends in one unit, the factor since AlexNet: measured here, published, and Moore's law."""

from typing import Any

import numpy as np

from harness.analyse.show.figures.canvas import BLUE, GREEN, OCHRE, WIDE, Picture, new, style, year
from harness.analyse.show.words import number
from harness.analyse.trend.line import months
from harness.record.units import MOORE_DOUBLING_MONTHS


def compared(document: dict[str, Any], published: dict[str, Any], width: float = WIDE) -> Picture | None:
    """Return the frontiers as factors against their own first point; None where there is no trend here."""
    fitted = document["trend"]
    if fitted["reason"]:
        return None
    rows = [r for r in document["rows"] if r["in_trend"] and r["on_frontier"]]
    here = [(months(r["published"]), r["cost"] or r["cost_above"]) for r in rows]
    theirs = [(months(p["published"]), p["tfs_days"]) for p in published["frontier"]]
    figure = new(width, 4.0)
    with style():
        axes = figure.add_subplot()
        at_least = "at least " if fitted["reference_censored"] else ""
        for points, halving, colour, mark, dash, words in (
            (here, fitted["halving_months"], BLUE, "o", "-", f"here: {at_least}{number(fitted['reduction_factor'])}x"),
            (
                theirs,
                published["halving_months"],
                GREEN,
                "D",
                ":",
                f"the study (ImageNet, top-5 79.1 %): {number(published['reduction_factor'])}x",
            ),
        ):
            x, cost = np.array(points).T
            axes.plot(year(x), cost[0] / cost, mark, color=colour, markersize=6, label=words)
            if halving:
                axes.plot(year(x), 2 ** ((x - x[0]) / halving), dash, color=colour, linewidth=1.4)
        last = max(here[-1][0], theirs[-1][0])
        x = np.array([here[0][0], last])
        axes.plot(
            year(x),
            2 ** ((x - x[0]) / MOORE_DOUBLING_MONTHS),
            "--",
            color=OCHRE,
            linewidth=1.4,
            label=f"Moore's law: doubling in {MOORE_DOUBLING_MONTHS:.0f} months",
        )
        axes.set_yscale("log", base=2)
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}x")
        axes.set_ylabel("less arithmetic than AlexNet")
        axes.set_xlabel("first publication")
        axes.legend(loc="upper left")
    return Picture(
        figure,
        "How many times less arithmetic than AlexNet each cheapest-so-far architecture needs for AlexNet's level, "
        "measured here and as published, beside the gain of hardware by Moore's law. Each set starts at its own "
        "AlexNet; slopes compare, levels do not, where data sets differ. Lines rise with the fitted halving time.",
    )
