"""Cost as a function of the threshold: the frontier, the factor and the halving time at every level."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.analyse.evidence.cost import UNITS, Costs
from harness.analyse.evidence.crossings import crossing_indices
from harness.analyse.evidence.ladder import Entry, reference_of
from harness.analyse.trend.draws import draw_costs
from harness.analyse.trend.headline import intervals_of, point
from harness.record.target import METRICS, Target

GRID_PERCENT = range(1, 100)
ABOVE_CHANCE = 0.10
"""Nearer to chance a crossing says nothing of the network."""
ROUNDING = 1e-9
"""Of twenty classes chance and ten points make 0.15000000000000002, and the level of 15 % is meant."""


def thresholds(entries: list[Entry], target: Target, unit: str, draws: int, seed: int) -> list[dict[str, Any]]:
    """Every whole percent of top-1 and top-5 (and the target itself) that at least two architectures reach.

    At each level the estimators are the headline's: expected costs, frontier, least squares, seeds drawn again
    (`headline.py`, `draws.py`). That a fixed level decides much: Erdil & Besiroglu 2022 (arXiv 2212.05153).
    A run may end early, at its target: a level that not all such runs had confirmed is not asked, it would look missed.
    """
    levels_judged = []
    for metric in METRICS:
        ended = [np.array([t.ended_early and t.judged(metric).any() for t in r.runs]) for r in entries]
        levels = sorted({p / 100 for p in GRID_PERCENT} | ({target.value} if metric == target.metric else set()))
        by_entry = [costs_at(r, metric, np.array(levels), unit) for r in entries]
        for number, level in enumerate(levels):
            costs = [column[number] for column in by_entry]
            answered = not any((c.censored & at_target).any() for c, at_target in zip(costs, ended, strict=True))
            if answered and sum(c.successes > 0 for c in costs) >= 2:
                levels_judged.append({"metric": metric, "level": level} | _at_level(entries, costs, unit, draws, seed))
    return levels_judged


def levels_of(document: dict[str, Any], metric: str) -> list[dict[str, Any]]:
    """Return the levels that say something: from chance + 10 points up, and resolved by the evaluation grid.

    A level that most architectures have passed at their first evaluation is not resolved.
    """
    places = {"top1": 1, "top5": 5}[metric]
    lowest = places / document["dataset"]["classes"] + ABOVE_CHANCE
    return [
        t
        for t in document["thresholds"]
        if t["metric"] == metric and t["level"] > lowest - ROUNDING and 2 * t["unresolved"] < t["reached"]
    ]


def costs_at(entry: Entry, metric: str, levels: NDArray[np.float64], unit: str) -> list[Costs]:
    """Costs of every run at every level, one `Costs` a level, with their resolution intervals."""
    low = np.empty((len(levels), len(entry.runs)))
    high = np.empty_like(low)
    for column, run in enumerate(entry.runs):
        # One 0 in front and one infinity behind turn "before the first" and "never" into ordinary positions.
        spent = np.concatenate([[0.0], UNITS[unit](run), [np.inf]])
        index = crossing_indices(run, metric, levels, confirm=entry.confirm)
        low[:, column], high[:, column] = spent[index], spent[index + 1]
    return [Costs(low[number], high[number]) for number in range(len(levels))]


def _at_level(entries: list[Entry], costs: list[Costs], unit: str, draws: int, seed: int) -> dict[str, Any]:
    expected = [c.expected() for c in costs]
    numbers = point(entries, expected)
    numbers["unresolved"] = sum(c.median().after == 0 and c.successes > 0 for c in costs)
    numbers["runs"] = sum(len(c) for c in costs)
    numbers["runs_reached"] = sum(int((~c.censored).sum()) for c in costs)
    named = {r.model: c for r, c in zip(entries, costs, strict=True)}
    drawn = draw_costs(named, {r.model: r.plan_cost(unit) for r in entries}, draws, seed)
    band = intervals_of(entries, drawn.values, numbers, expected[entries.index(reference_of(entries))])
    names = (
        "frontier",
        "runs",
        "runs_reached",
        "reached",
        "unresolved",
        "reference_censored",
        "halving_months",
        "reduction_factor",
        "reason",
    )
    return {n: numbers[n] for n in names} | {n: band[n] for n in ("halving_interval", "reduction_interval")}
