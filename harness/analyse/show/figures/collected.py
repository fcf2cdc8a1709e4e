"""Figures of a collection of published curves, and the one in which all trends stand beside each other."""

from typing import Any

from harness.analyse.show.figures.canvas import BLUE, GREEN, VERMILION, WIDE, Picture, new, style
from harness.analyse.show.figures.compared import Frontier, draw_factors
from harness.analyse.show.figures.thresholds import thresholds
from harness.analyse.show.figures.trend import trend
from harness.analyse.show.words import halving, times

FRONTIER_NAMED = WIDE - 0.2
"""A width at which the trend's figure names only the frontier: too many networks stand here to name all."""


def collected_trend(view: dict[str, Any], published: dict[str, Any]) -> Picture:
    """Cost to a level by publication, every network at its cheapest curve."""
    rows = [
        row
        | {
            "n": row["looked"],
            "kind": "imported",
            "interval_kind": "resolution",
            "hardware": [row["curve"]],
            "flags": [],
            "outcomes": {"reached": row["reached"], "missed": row["looked"] - row["reached"]},
        }
        for row in sorted(view["rows"], key=lambda row: row["on_frontier"])  # drawn last: others would lie upon it
    ]
    picture = trend(_document(view, rows, []), published, FRONTIER_NAMED)
    picture.caption = (
        f"Cost to {level_words(view)} on ImageNet, from curves that others published, at {rule_words(view['rule'])}. "
        "Small dots: curves, hollow where they miss. Large marks: a network's cheapest curve, with the looks between "
        "which it crossed; round and blue: the cheapest so far when published. Open triangles: no curve reaches it, "
        "the cost lies above the foot of the tail. None of these runs was made to cross early, so every mark is an "
        "upper bound. PFLOP: 3 x forward MACs x images / 10^15. Band: 95 % of the least-squares line. Dashed and "
        "dotted: the same start, falling as Moore's law and as the study have it. Of networks of one date the dearer "
        "stand to the right."
    )
    return picture


def collected_thresholds(view: dict[str, Any], levels: list[dict[str, Any]]) -> Picture | None:
    """Factor, halving time and share of curves at every level."""
    picture = thresholds(_document(view, view["rows"], levels))
    if picture is not None:
        picture.caption = (
            f"The same {levels[0]['runs']} curves of ImageNet, judged at every whole percent: factor of the cheapest "
            "network against the cheapest of AlexNet's day, months a halving over the frontier with the 95 % interval "
            "of its least-squares line, share of curves that reach the level. Hollow: no AlexNet reaches that level, "
            "so the factor is a lower and the halving time an upper bound. A band that leaves the frame has no end, "
            "or one above it. Ticks below the first two panels: another network is among the cheapest so far."
        )
    return picture


def three_trends(sets: list[dict[str, Any]]) -> Picture:
    """Factors since each set's own AlexNet, a set is {words, points: [(date, cost)], factor, halving_months, bound}."""
    looks = ((BLUE, "o", "-"), (VERMILION, "s", "-."), (GREEN, "D", ":"))
    frontiers = []
    for found, look in zip(sets, looks, strict=True):
        factor = times(found["factor"], at_least=found["bound"])
        months_words = halving(found["halving_months"], at_most=found["bound"])
        words = f"{found['words']}: {factor}, halves in {months_words} months"
        frontiers.append(Frontier(words, found["points"], found["halving_months"], *look))
    figure = new(WIDE, 4.4)
    with style():
        draw_factors(figure.add_subplot(), frontiers, "2012-06-01")
    return Picture(
        figure,
        "How many times less arithmetic than AlexNet each cheapest-so-far network needs for AlexNet's level: the "
        "study's table, public learning curves of ImageNet, and the ladder measured here. Each set starts at its own "
        "AlexNet; slopes compare, levels do not, where data sets differ. Lines rise with the fitted halving time.",
    )


def level_words(view: dict[str, Any]) -> str:
    """For instance "top-1 56.522 %"."""
    return f"{view['metric'][:3]}-{view['metric'][3]} {100 * view['level']:g} %"


def rule_words(rule: str) -> str:
    """What of a curve is its crossing."""
    return {"first": "the first look at the level", "confirmed": "the first look that the next one confirms"}[rule]


def _document(view: dict[str, Any], rows: list[dict[str, Any]], levels: list[dict[str, Any]]) -> dict[str, Any]:
    """What the figures of a ladder read."""
    data = {"name": "imagenet", "subset": False, "train_images": 1_281_167, "classes": 1000}
    target = {"metric": view["metric"], "value": view["level"]}
    return {"dataset": data, "target": target, "rows": rows, "trend": view["trend"], "thresholds": levels}
