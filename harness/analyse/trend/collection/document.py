"""Everything that follows from a collection of published curves, as one plain document: read by tables and figures."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from harness.analyse.evidence.published import table
from harness.analyse.foreign.derived import Published
from harness.analyse.trend.collection.levels import at_level, cost_of
from harness.analyse.trend.collection.surface import Point, fit_surface
from harness.analyse.trend.collection.variance import variance_of
from harness.analyse.trend.line import months
from harness.analyse.trend.rows import finite
from harness.record.target import METRICS

LEVELS = (("top1", 0.56522), ("top1", 0.56), ("top5", 0.791))
"""torchvision's AlexNet, the same less half a point, the study's level."""

FAMILY = "gluon"
"""The one large family of curves on nearly one recipe, by one group."""

NEARLY = ("top1", 0.564)
"""An eighth of a point below torchvision's AlexNet, which comes to its level at the very end of its plan."""

STUDY_LEVEL = ("top5", 0.791)
LOWEST_PERCENT = 11
"""Ten points above chance: below that a level says nothing of the network."""

LEARNED_PERCENT = 40
LAST_OF_STUDY = "2019-12-31"


def collection_document(curves: Sequence[Published]) -> dict[str, Any]:
    """Views of the trend, every threshold, the fit without one, and what recipe and architecture move."""
    views = [
        at_level(chosen, metric, level, rule) | {"family": family}
        for metric, level in LEVELS
        for family, chosen in (("", curves), (FAMILY, [c for c in curves if c.family == FAMILY]))
        for rule in ("first", "confirmed")
    ]
    return {
        "curves": len(curves),
        "networks": len({c.model for c in curves}),
        "digitised": sum(c.digitised for c in curves),
        "averaged": sum(c.averaged for c in curves),
        "without_top5": sum("top5" not in c.metrics for c in curves),
        "views": views,
        "references": _references(curves),
        "thresholds": _thresholds(curves),
        "surface": _surfaces(curves),
        "variance": _variance(curves, *LEVELS[0]),
        "recipes": _recipes(curves, *LEVELS[0]),
        "study_epochs": _study_epochs(curves),
        "alexnet": _alexnet(curves),
        "younger": _younger(curves, *LEVELS[0]),
    }


def _references(curves: Sequence[Published]) -> list[dict[str, Any]]:
    """The factor against each thing that may be called AlexNet, by level and the study's rule."""
    rows = []
    for metric, level in LEVELS:
        costs = {c.curve: cost_of(c.crossed.get((metric, level)), "first") for c in curves}
        cheapest = min((cost for _, cost in costs.values() if cost is not None), default=None)
        for c in curves:
            if c.model.startswith(("alexnet", "caffenet")) and metric in c.metrics and cheapest is not None:
                epoch, cost = costs[c.curve]
                rows.append(
                    {
                        "metric": metric,
                        "level": level,
                        "curve": c.curve,
                        "title": c.title,
                        "epochs": epoch,
                        "cost": cost,
                        "spent": c.spent_pflop,
                        "factor": (cost or c.spent_pflop) / cheapest,
                        "digitised": c.digitised,
                    }
                )
    return rows


def _thresholds(curves: Sequence[Published]) -> list[dict[str, Any]]:
    """The trend at every whole percent and AlexNet's levels, by the study's rule."""
    trends = []
    for metric in METRICS:
        for level in sorted({level for c in curves for m, level in c.crossed if m == metric}):
            view = at_level(curves, metric, level)
            rows, trend = view["rows"], view["trend"]
            reached = [row for row in rows if row["cost"] is not None]
            if len(reached) > 1:
                trends.append(
                    {
                        "metric": metric,
                        "level": level,
                        "frontier": trend["frontier"],
                        "runs": sum(row["looked"] for row in rows),
                        "runs_reached": sum(r["reached"] for r in rows),
                        "reached": len(reached),
                        "unresolved": sum(row["cost_interval"][0] == 0 for row in reached),
                        "reference_censored": trend["reference_censored"],
                        "reason": trend["reason"],
                        "reduction_factor": trend["reduction_factor"],
                        "reduction_interval": None,
                        "halving_months": trend["halving_months"],
                        "halving_interval": trend["halving_interval_ols"],
                    }
                )
    return trends


def points_of(curves: Sequence[Published]) -> list[Point]:
    """Where each curve first crosses every whole percent of top-1, the first look left out: its cost is a bound."""
    return [
        Point(c.model, c.curve, level, float(np.log2(crossed.pflop)), months(c.published))
        for c in curves
        for (metric, level), crossed in c.crossed.items()
        if metric == "top1" and round(100 * level) == round(100 * level, 6) and crossed.low_pflop > 0
    ]


def ends_of(points: Sequence[Point]) -> list[Point]:
    """The highest of each curve."""
    highest = {p.curve: p for p in sorted(points, key=lambda p: p.accuracy)}
    return [p for p in points if p is highest[p.curve]]


def _surfaces(curves: Sequence[Published]) -> list[dict[str, Any]]:
    """The fit without a threshold over all of the curves, over their upper part, and over each curve's end."""
    whole = points_of(curves)
    sets = [
        (f"every level from {percent} % up", [p for p in whole if p.accuracy >= percent / 100])
        for percent in (LOWEST_PERCENT, LEARNED_PERCENT)
    ]
    fitted = [
        (words, fit_surface(kept)) for words, kept in [*sets, ("the highest level of each curve", ends_of(whole))]
    ]
    return [{"words": words} | fit for words, fit in fitted if fit is not None]


def _variance(curves: Sequence[Published], metric: str, level: float) -> dict[str, Any]:
    """log2 of epochs and of PFLOP at a crossing: spread between networks and within one, in factors."""
    spreads: dict[str, Any] = {"metric": metric, "level": level}
    crossed = [(c.model, c.crossed[metric, level]) for c in curves if (metric, level) in c.crossed]
    for name, values in (
        ("epochs", [(m, float(np.log2(x.epoch))) for m, x in crossed]),
        ("pflop", [(m, float(np.log2(x.pflop))) for m, x in crossed]),
    ):
        by_model: dict[str, list[float]] = {}
        for model, value in values:
            by_model.setdefault(model, []).append(value)
        parts = variance_of(by_model)
        assert parts is not None  # many networks have two curves
        spreads[name] = {
            "between_factor": 2**parts.between,
            "within_factor": 2**parts.within,
            "share_within": parts.share_within,
            "networks": parts.groups,
            "curves": parts.values,
        }
    return spreads


def _recipes(curves: Sequence[Published], metric: str, level: float) -> list[dict[str, Any]]:
    """Networks with two curves or more that reach the level: fewest and most epochs."""
    by_model: dict[str, list[tuple[float, Published]]] = {}
    for c in curves:
        if (metric, level) in c.crossed:
            by_model.setdefault(c.model, []).append((c.crossed[metric, level].epoch, c))
    rows = []
    for model, same in sorted(by_model.items()):
        if len(same) > 1:
            (low, first), *_, (high, last) = sorted(same, key=lambda pair: (pair[0], pair[1].curve))
            rows.append(
                {
                    "model": model,
                    "title": first.title,
                    "n": len(same),
                    "low": low,
                    "high": high,
                    "low_curve": first.curve,
                    "high_curve": last.curve,
                }
            )
    return rows


def _study_epochs(curves: Sequence[Published]) -> list[dict[str, Any]]:
    """The published table's epochs to its level beside those of the curves of the same network."""
    rows = []
    for row in table("hernandez2020_table3.csv"):
        same = [c for c in curves if c.model == row["model"]]
        by_top5 = sorted(c.crossed[STUDY_LEVEL].epoch for c in same if STUDY_LEVEL in c.crossed)
        by_top1 = sorted(c.crossed[LEVELS[0]].epoch for c in same if LEVELS[0] in c.crossed)
        if same:
            rows.append(
                {
                    "model": row["model"],
                    "title": same[0].title,
                    "study": int(row["epochs"]),
                    "top5": by_top5,
                    "top1": by_top1,
                    "averaged": all(c.averaged for c in same),
                }
            )
    return rows


def _alexnet(curves: Sequence[Published]) -> list[dict[str, Any]]:
    """What the reference's own curves say of the levels."""
    rows = []
    for c in (c for c in curves if c.model == "alexnet"):
        at = {f"{m} {100 * level:g}": c.crossed.get((m, level)) for m, level in (*LEVELS, NEARLY)}
        rows.append(
            {
                "curve": c.curve,
                "last_epoch": c.last_epoch,
                "epochs": {name: x and x.epoch for name, x in at.items()},
                "confirmed": {name: x and x.confirmed_epoch for name, x in at.items()},
                "pflop_interval": {name: x and [x.low_pflop, finite(x.high_pflop)] for name, x in at.items()},
                "pflop_an_epoch": c.spent_pflop / c.last_epoch,
            }
        )
    return rows


def _younger(curves: Sequence[Published], metric: str, level: float) -> list[dict[str, Any]]:
    """Networks younger than the study, cheapest first."""
    rows = at_level(curves, metric, level)["rows"]
    late = [row for row in rows if row["published"] > LAST_OF_STUDY and row["cost"] is not None]
    return sorted(
        ({k: row[k] for k in ("title", "published", "cost", "epochs", "averaged", "factor")} for row in late),
        key=lambda row: row["cost"],
    )
