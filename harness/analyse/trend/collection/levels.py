"""The trend over curves that nobody planned together: the cheapest plan of each network, frontier, factor, line."""

from collections.abc import Sequence
from typing import Any

from harness.analyse.evidence.ladder import REFERENCE
from harness.analyse.foreign.derived import Crossed, Published
from harness.analyse.trend.headline import through_frontier
from harness.analyse.trend.rows import finite

RULES = {"first": "the first look at the level (the study's rule)", "confirmed": "a look that the next one confirms"}


NUMBERS = (
    "reference",
    "reference_cost",
    "cheapest",
    "reduction_factor",
    "halving_months",
    "halving_interval_ols",
    "slope",
    "intercept",
    "span_months",
    "moore_factor",
)


def at_level(curves: Sequence[Published], metric: str, level: float, rule: str = "first") -> dict[str, Any]:
    """Rows, one a network by date, and the trend through the cheapest so far.

    A network stands at its cheapest curve; `looked` says how many there were. One that no curve takes to the level
    stands at what its longest spent, a lower bound for those plans. The reference is the cheapest network of the
    earliest date: AlexNet's. Where none of that date reaches the level, AlexNet itself stands at what it spent: the
    factor is a lower and the halving time an upper bound.
    """
    by_model: dict[str, list[Published]] = {}
    for curve in curves:
        if metric in curve.metrics:
            by_model.setdefault(curve.model, []).append(curve)
    rows = sorted(
        (_row(same, metric, level, rule) for same in by_model.values()), key=lambda r: (r["published"], r["model"])
    )
    trend = _trend(rows)
    for row in rows:
        row["on_frontier"] = row["model"] in trend["frontier"]
        known = row["cost"] is not None and trend["reference_cost"] is not None
        row["factor"] = trend["reference_cost"] / row["cost"] if known else None
        row["factor_at_least"] = trend["reference_censored"]
    return {"metric": metric, "level": level, "rule": rule, "rows": rows, "trend": trend}


def cost_of(crossed: Crossed | None, rule: str) -> tuple[float | None, float | None]:
    """(epoch, PFLOP) of a crossing by a rule; None where it is a miss."""
    if crossed is None:
        return None, None
    return (crossed.epoch, crossed.pflop) if rule == "first" else (crossed.confirmed_epoch, crossed.confirmed_pflop)


def _row(same: list[Published], metric: str, level: float, rule: str) -> dict[str, Any]:
    costs = {c.curve: cost_of(c.crossed.get((metric, level)), rule)[1] for c in same}
    reached = [c for c in same if costs[c.curve] is not None]
    best = min(reached, key=lambda c: costs[c.curve] or 0.0) if reached else max(same, key=lambda c: c.spent_pflop)
    crossed = best.crossed.get((metric, level))
    epoch, cost = cost_of(crossed, rule)
    interval = [cost, cost]
    if crossed is not None and rule == "first":
        interval = [crossed.low_pflop, finite(crossed.high_pflop)]
    return {
        "model": best.model,
        "title": best.title,
        "published": best.published,
        "curve": best.curve,
        "repo": best.repo,
        "looked": len(same),
        "reached": len(reached),
        "epochs": epoch,
        "cost": cost,
        "cost_interval": interval if cost is not None else [best.spent_pflop, None],
        "cost_above": best.spent_pflop if cost is None else None,
        "forward_macs": best.forward_macs,
        "averaged": best.averaged,
        "digitised": best.digitised,
        "remark": best.remark,
        "family": best.family,
        "per_run": [
            {"run": c.curve, "cost": costs[c.curve], "after": c.spent_pflop if costs[c.curve] is None else None}
            for c in same
        ],
        "in_trend": True,
    }


def _trend(rows: list[dict[str, Any]]) -> dict[str, Any]:
    whole: dict[str, Any] = dict.fromkeys(NUMBERS) | {
        "frontier": [],
        "reference_censored": False,
        "reason": "no network reaches it",
    }
    if not any(row["cost"] is not None for row in rows):
        return whole
    first_day = rows[0]["published"]
    early = [row for row in rows if row["published"] == first_day]
    reached = [row for row in early if row["cost"] is not None]
    own = [row for row in early if row["model"] == REFERENCE]
    reference = min(reached or own or early, key=lambda r: r["cost"] or r["cost_above"])
    costs = [row["cost"] if row["cost"] is not None else float("inf") for row in rows]
    at = rows.index(reference)
    costs[at] = reference["cost"] or reference["cost_above"]
    chosen, numbers = through_frontier([row["published"] for row in rows], costs)
    return (
        whole
        | numbers
        | {
            "reference": reference["model"],
            "reference_cost": costs[at],
            "reference_censored": reference["cost"] is None,
            "frontier": [rows[i]["model"] for i in chosen],
            "cheapest": rows[chosen[-1]]["model"],
            "reduction_factor": costs[at] / costs[chosen[-1]],
        }
    )
