"""The same costs read otherwise, beside the headline: by the study's rule, and with the misses at their bounds."""

from typing import Any

from harness.analyse.evidence.cost import Cost
from harness.analyse.evidence.ladder import Entry, known_cost, reference_of
from harness.analyse.trend.headline import hull, point, through_frontier
from harness.record.target import Target


def by_study_rule(entries: list[Entry], target: Target, unit: str) -> dict[str, Any]:
    """The trend as Hernandez & Brown 2020 (arXiv 2005.04305, section 3) read it.

    factor = (the reference's whole plan) / (median first crossing of the cheapest so far). The reference trained its
    plan to the end, and what it had there is the level; any other network costs what its first look at the level had
    spent. A median that misses is no cost. Assumes that the level is the reference's own final accuracy. One run an
    architecture was the study's; the median over runs is ours.
    """
    costs = [r.costs(target.metric, target.value, unit, confirm=1).median() for r in entries]
    at = entries.index(reference_of(entries))
    whole = entries[at].plan_cost(unit)
    costs[at] = Cost(whole, whole)
    numbers = point(entries, costs)
    names = ("reduction_factor", "cheapest", "frontier", "halving_months", "halving_interval_ols", "reason")
    return {"reference_cost": whole} | {name: numbers[name] for name in names}


def with_bounds(entries: list[Entry], costs: list[Cost], headline: dict[str, Any]) -> dict[str, Any] | None:
    """The line with every architecture that no run brought to the level at its lower bound, and the hull of both lines.

    costs: expected ones, an entry each; headline: what `with_intervals` found from them. A miss costs more than its
    bound, and by how much is not known: at its bound it may be on the frontier, above it it may not. The headline
    leaves all of them off it; here all of them stand at their bounds, and the hull holds both readings. None where no
    architecture but the reference missed, or where there is no line.
    """
    missed = [r.model for r, c in zip(entries, costs, strict=True) if c.censored and r is not reference_of(entries)]
    if not missed or headline["reason"]:
        return None
    chosen, numbers = through_frontier([r.published for r in entries], [known_cost(c) for c in costs])
    if numbers["reason"]:
        return None
    lines = [headline, numbers]
    return {
        "missed": missed,
        "frontier": [entries[i].model for i in chosen],
        "halving_months": numbers["halving_months"],
        "halving_interval_ols": numbers["halving_interval_ols"],
        "hull": hull([[line["halving_months"]] * 2 for line in lines]),
        "hull_interval": hull([headline["halving_interval_line"], numbers["halving_interval_ols"]]),
    }
