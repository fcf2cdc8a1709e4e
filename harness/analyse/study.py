"""From groups of runs to one plain document: rows, trend, intervals. Everything printed or drawn is read off it."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.analyse import bootstrap
from harness.analyse.bootstrap import Floats
from harness.analyse.groups import Group
from harness.analyse.ladder import REFERENCE, Rung, known_cost, ladder, median_cost, reference_of
from harness.analyse.rows import containing, finite, row_of
from harness.analyse.trend import fit, frontier, months, moore_factor
from harness.record.target import Target


@dataclass(frozen=True)
class Settings:
    """What the user chose. unit: a key of `harness.analyse.cost.UNITS`; seed: of the bootstrap."""

    unit: str = "paper_pflop"
    draws: int = bootstrap.DRAWS
    seed: int = 0
    recipe: str | None = None


def study(group: Group, settings: Settings) -> dict[str, Any]:
    """The whole analysis of one group as plain data, ready for JSON (no NaN, no infinity: those are null)."""
    rungs, beside, notes = ladder(group, settings.recipe)
    document: dict[str, Any] = {
        "key": group.key,
        "dataset": {name: getattr(group.dataset, name) for name in group.dataset.__slots__},
        "target": group.target.as_dict(),
        "protocol_version": group.protocol_version,
        "unit": settings.unit,
        "runs": len(group.measured),
        "architectures": len(rungs),
        "notes": group.notes + notes,
        "rows": [],
    }
    if not rungs:
        document["notes"].append("no run of the fixed-plan protocol: nothing to fit")
        return document | {"trend": None}
    reference = reference_of(rungs)
    if reference.model != REFERENCE:
        document["notes"].append(f"no {REFERENCE} among the runs: factors are against {reference.model}, the earliest")
    draws = draw_all(rungs, group.target, settings)
    for column, rung in enumerate(rungs):
        own, ref = draws[:, column], draws[:, rungs.index(reference)]
        document["rows"].append(
            row_of(rung, group.target, settings.unit, reference=reference, draws=own, ref_draws=ref, in_trend=True)
        )
    document["rows"] += [
        row_of(rung, group.target, settings.unit, reference=reference, draws=None, ref_draws=None, in_trend=False)
        for rung in beside
    ]
    document["reference"] = reference.model
    document["trend"] = trend_of(rungs, reference, group.target, settings, draws)
    for row in document["rows"]:
        row["on_frontier"] = row["in_trend"] and row["model"] in document["trend"]["frontier"]
    return document


def draw_all(rungs: list[Rung], target: Target, settings: Settings) -> Floats:
    """(draws, rungs) bootstrapped median costs. A censored reference stands at what it spent: a lower bound."""
    costs = {r.model: r.costs(target.metric, target.value, settings.unit) for r in rungs}
    draws = bootstrap.draw_costs(costs, settings.draws, settings.seed)
    reference = reference_of(rungs)
    column = rungs.index(reference)
    spent = [c.low for c in costs[reference.model] if c.censored]
    if spent:
        draws[np.isinf(draws[:, column]), column] = float(np.median(spent))
    return draws


def trend_of(rungs: list[Rung], reference: Rung, target: Target, settings: Settings, draws: Floats) -> dict[str, Any]:
    """Frontier, line, factor and their intervals; `reason` says why where there is no line to fit."""
    costs = [median_cost(r.costs(target.metric, target.value, settings.unit)) for r in rungs]
    values = [c.high for c in costs]
    at = rungs.index(reference)
    values[at] = known_cost(costs[at])
    dates = [r.published for r in rungs]
    chosen = frontier(dates, values)
    x = [months(dates[i]) for i in chosen]
    line = fit(x, [values[i] for i in chosen]) if all(values[i] > 0 for i in chosen) else None
    result: dict[str, Any] = {
        "frontier": [rungs[i].model for i in chosen],
        "reference_censored": costs[at].censored,
        "reason": None,
        **dict.fromkeys(("halving_months", "halving_interval", "halving_interval_ols", "reduction_factor")),
        **dict.fromkeys(("reduction_interval", "cheapest", "span_months", "moore_factor", "slope", "intercept")),
        "interval": None,
    }
    if line is None:
        result["reason"] = f"a trend needs two frontier points of distinct dates, there are {len(chosen)}"
        return result
    best = chosen[-1]
    span = x[-1] - x[0]
    result |= {
        "halving_months": finite(line.halving_months),
        "halving_interval_ols": None if line.halving_low is None else [line.halving_low, finite(line.halving_high)],
        "cheapest": rungs[best].model,
        "reduction_factor": values[at] / values[best],
        "span_months": span,
        "moore_factor": moore_factor(span),
        "slope": line.slope,
        "intercept": line.intercept,
    }
    sizes = [len(r.trials) for r in rungs]
    halving, _ = bootstrap.halving_percentile(np.array([months(d) for d in dates]), draws)
    factor = bootstrap.percentile(draws[:, at] / np.min(draws, axis=1))
    if halving and factor:
        result["halving_interval"] = containing(halving, line.halving_months)
        result["reduction_interval"] = containing(factor, result["reduction_factor"])
        result["interval"] = {
            "method": "hierarchical bootstrap, 95 %",
            "draws": settings.draws,
            "seed": settings.seed,
            "valid_share": halving.valid,
            "seeds_min": min(sizes),
            "seeds_max": max(sizes),
            "covers": interval_words(sizes),
        }
    return result


def interval_words(sizes: list[int]) -> str:
    """What an interval over these numbers of seeds covers."""
    if max(sizes) == 1:
        return "n = 1: the resolution of the evaluation grid only, no variation between seeds"
    if min(sizes) == 1:
        return f"seeds and resolution; {sizes.count(1)} of {len(sizes)} architectures have n = 1: resolution only"
    return "seeds and resolution"
