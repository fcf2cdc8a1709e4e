"""The headline of a ladder at one level: frontier, line, factor, and how sure they are."""

from typing import Any

import numpy as np

from harness.analyse.evidence.cost import Cost, Costs
from harness.analyse.evidence.ladder import Rung, known_cost, reference_of
from harness.analyse.trend import bootstrap
from harness.analyse.trend.bootstrap import Floats
from harness.analyse.trend.line import fit, frontier, months, moore_factor
from harness.analyse.trend.rows import containing, finite
from harness.record.target import Target

_NUMBERS = ("halving_months", "halving_interval_ols", "reduction_factor", "cheapest", "span_months", "moore_factor",
            "slope", "intercept")  # fmt: skip


def point(rungs: list[Rung], costs: list[Cost]) -> dict[str, Any]:
    """Frontier, fit and factor from one cost a rung (rungs by date, not empty), without bootstrap.

    A censored reference stands at what it spent, a lower bound; `reason` says why where there is no line to fit.
    """
    at = rungs.index(reference_of(rungs))
    values = [c.high for c in costs]
    values[at] = known_cost(costs[at])
    dates = [r.published for r in rungs]
    chosen = frontier(dates, values)
    x = [months(dates[i]) for i in chosen]
    result: dict[str, Any] = {
        "frontier": [rungs[i].model for i in chosen],
        "reference": rungs[at].model,
        "reference_censored": costs[at].censored,
        "reached": sum(not c.censored for c in costs),
        "reason": None,
        **dict.fromkeys(_NUMBERS),
    }
    line = fit(x, [values[i] for i in chosen]) if chosen and min(values[i] for i in chosen) > 0 else None
    if line is None:
        result["reason"] = f"a trend needs two frontier points of distinct dates, there are {len(set(x))}"
        return result
    low = line.halving_low
    return result | {
        "halving_months": finite(line.halving_months),
        "halving_interval_ols": None if low is None else [low, finite(line.halving_high)],
        "cheapest": rungs[chosen[-1]].model,
        "reduction_factor": values[at] / values[chosen[-1]],
        "span_months": x[-1] - x[0],
        "moore_factor": moore_factor(x[-1] - x[0]),
        "slope": line.slope,
        "intercept": line.intercept,
    }


def median_costs(rungs: list[Rung], metric: str, value: float, unit: str, *, confirm: int | None = None) -> list[Cost]:
    """One median cost a rung; `confirm`: another rule of the crossing than the target's."""
    return [r.costs(metric, value, unit, confirm=confirm).median() for r in rungs]


def draw_all(rungs: list[Rung], target: Target, unit: str, draws: int, seed: int) -> Floats:
    """(draws, rungs) bootstrapped median costs; inf where most of a resample is censored."""
    costs = {r.model: r.costs(target.metric, target.value, unit) for r in rungs}
    return bootstrap.draw_costs(costs, draws, seed)


def intervals_of(rungs: list[Rung], drawn: Floats, reference: Costs, found: dict[str, Any]) -> dict[str, Any]:
    """`halving_interval` and `reduction_interval` from draws (draws, rungs); null where there is no line.

    A draw in which the reference is censored bounds its cost from below only. So its factor is infinite, and its
    halving time, fitted through that bound, too long: where such draws are more than one tail of the interval
    (`reference_open`), nothing but 0 bounds the halving time from below.
    """
    nothing: dict[str, Any] = {
        "halving_interval": None, "reduction_interval": None, "valid_share": None, "reference_censored_share": None,
        "reference_open": False,
    }  # fmt: skip
    if found["reason"]:
        return nothing
    at = rungs.index(reference_of(rungs))
    censored = np.isinf(drawn[:, at])
    bounded = drawn.copy()  # left infinite, the reference would drop out and the line start at another architecture
    if censored.any():
        bounded[censored, at] = np.median(reference.low[reference.censored])
    halving, _ = bootstrap.halving_percentile(np.array([months(r.published) for r in rungs]), bounded)
    with np.errstate(invalid="ignore"):
        factor = bootstrap.percentile(drawn[:, at] / np.min(drawn, axis=1))
    if halving is None or factor is None:
        return nothing
    share = float(censored.mean())
    opened = share > (1 - bootstrap.CONFIDENCE) / 2
    interval = containing(halving, found["halving_months"] or np.inf)
    return {
        "halving_interval": [0.0, interval[1]] if opened else interval,
        "reduction_interval": containing(factor, found["reduction_factor"]),
        "valid_share": halving.valid,
        "reference_censored_share": share,
        "reference_open": opened,
    }


def with_intervals(rungs: list[Rung], target: Target, unit: str, drawn: Floats) -> dict[str, Any]:
    """The point and its intervals, with the words that say what the intervals cover."""
    found = point(rungs, median_costs(rungs, target.metric, target.value, unit))
    reference = reference_of(rungs).costs(target.metric, target.value, unit)
    return found | intervals_of(rungs, drawn, reference, found) | {"covers": covers([len(r.trials) for r in rungs])}


def covers(sizes: list[int]) -> str:
    """What an interval over these numbers of seeds covers."""
    if max(sizes) == 1:
        return "n = 1: the resolution of the evaluation grid only, no variation between seeds"
    if min(sizes) == 1:
        return f"seeds and resolution; {sizes.count(1)} of {len(sizes)} architectures have n = 1: resolution only"
    seeds = str(max(sizes)) if min(sizes) == max(sizes) else f"{min(sizes)} to {max(sizes)}"
    return f"seeds (n = {seeds}) and resolution"
