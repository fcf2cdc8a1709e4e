"""The headline of a ladder at one level: frontier, line, factor, and how sure they are."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from harness.analyse.evidence.cost import Cost
from harness.analyse.evidence.ladder import Entry, known_cost, reference_of
from harness.analyse.trend import draws
from harness.analyse.trend.draws import Drawn, Floats
from harness.analyse.trend.line import fit, frontier, months, moore_factor
from harness.analyse.trend.rows import containing, finite
from harness.record.target import Target


def point(entries: list[Entry], costs: list[Cost]) -> dict[str, Any]:
    """Frontier, fit and factor from one cost an entry (entries by date, not empty), without intervals.

    A censored reference stands at what it spent, a lower bound; `reason` says why where there is no line to fit.
    """
    at = entries.index(reference_of(entries))
    values = [c.at for c in costs]
    values[at] = known_cost(costs[at])
    chosen, numbers = through_frontier([r.published for r in entries], values)
    whole = {
        "frontier": [entries[i].model for i in chosen],
        "reference": entries[at].model,
        "reference_censored": costs[at].censored,
        "reached": sum(not c.censored for c in costs),
        "cheapest": None,
        "reduction_factor": None,
        **numbers,
    }
    if whole["reason"]:
        return whole
    return whole | {"cheapest": entries[chosen[-1]].model, "reduction_factor": values[at] / values[chosen[-1]]}


def through_frontier(dates: list[str], costs: list[float]) -> tuple[list[int], dict[str, Any]]:
    """The frontier's places, and the line through it; its numbers are None where `reason` says why there is none."""
    chosen = frontier(dates, costs)
    x = [months(dates[i]) for i in chosen]
    line = fit(x, [costs[i] for i in chosen]) if chosen and min(costs[i] for i in chosen) > 0 else None
    if line is None:
        reason = "a trend needs two architectures of different dates that were the cheapest so far when published"
        return chosen, dict.fromkeys(_OF_A_LINE) | {"reason": reason}
    low = line.halving_low
    return chosen, {
        "halving_months": finite(line.halving_months),
        "halving_interval_ols": None if low is None else [low, finite(line.halving_high)],
        "span_months": x[-1] - x[0],
        "moore_factor": moore_factor(x[-1] - x[0]),
        "slope": line.slope,
        "intercept": line.intercept,
        "reason": None,
    }


_OF_A_LINE = ("halving_months", "halving_interval_ols", "span_months", "moore_factor", "slope", "intercept")


def expected_costs(
    entries: list[Entry], metric: str, value: float, unit: str, *, confirm: int | None = None
) -> list[Cost]:
    """One expected cost an entry; `confirm`: another rule of the crossing than the target's."""
    return [r.costs(metric, value, unit, confirm=confirm).expected() for r in entries]


def draw_all(
    entries: list[Entry], target: Target, unit: str, number: int, seed: int, beside: Sequence[Entry] = ()
) -> Drawn:
    """Expected costs drawn again, of the entries and then of those beside the trend, which do not tell the spread."""
    every = [(r.model, r) for r in entries] + [(repr(r.plan), r) for r in beside]
    costs = {name: r.costs(target.metric, target.value, unit) for name, r in every}
    whole = {name: r.plan_cost(unit) for name, r in every}
    return draws.draw_costs(costs, whole, number, seed, trend=len(entries))


def intervals_of(entries: list[Entry], drawn: Floats, numbers: dict[str, Any], reference: Cost) -> dict[str, Any]:
    """`halving_interval` and `reduction_interval` from draws (draws, entries); null where there is no line.

    A reference that never reached stands at what it spent: a lower bound, so the factor has no upper end and the
    halving time no lower one. `undefined_share`: draws whose frontier is a single date and gives no halving time.
    """
    if numbers["reason"]:
        return {"halving_interval": None, "reduction_interval": None, "undefined_share": None}
    at = entries.index(reference_of(entries))
    known = drawn.copy()
    if reference.censored:
        known[:, at] = reference.after
    halving, _ = draws.halving_percentile(np.array([months(r.published) for r in entries]), known)
    factor = draws.percentile(known[:, at] / np.min(known, axis=1))
    assert factor is not None
    reduction = containing(factor, numbers["reduction_factor"])
    interval = None if halving is None else containing(halving, numbers["halving_months"] or np.inf)
    if reference.censored:
        reduction[1] = None
        interval = None if interval is None else [None, interval[1]]
    return {
        "halving_interval": interval,
        "reduction_interval": reduction,
        "undefined_share": 1.0 if halving is None else 1 - halving.valid,
    }


def with_intervals(entries: list[Entry], target: Target, unit: str, drawn: Drawn) -> dict[str, Any]:
    """The point and its intervals, with the words that say what the intervals cover."""
    costs = expected_costs(entries, target.metric, target.value, unit)
    numbers = point(entries, costs)
    spread = drawn.spread
    seeds = intervals_of(entries, drawn.values[:, : len(entries)], numbers, costs[entries.index(reference_of(entries))])
    missed = any(bool(r.costs(target.metric, target.value, unit).censored.any()) for r in entries)
    return (
        numbers
        | seeds
        | line_interval(numbers, seeds["halving_interval"], missed=missed)
        | {
            "covers": covers([len(r.runs) for r in entries]),
            "spread": {"sd_log": spread.sd, "freedom": spread.freedom, "p": spread.p, "holds": spread.holds},
        }
    )


def line_interval(numbers: dict[str, Any], halving: list[float | None] | None, *, missed: bool) -> dict[str, Any]:
    """How well the line is known: `halving_interval_line`, and `line_interval_kind`, which says what it is.

    least_squares, 95 %: where every run reached. It takes costs to err alike and normally about the line. hull, 95 % or
    more: where some run missed, the smallest interval that holds that one and the one over seeds. There costs rest on
    few successes: they err on the dear side, unlike each other, and a dear one leaves the frontier, so that least
    squares alone holds the truth too seldom (results/coverage).
    """
    ols = numbers["halving_interval_ols"]
    if not missed or ols is None or halving is None:
        return {"halving_interval_line": ols, "line_interval_kind": "least_squares"}
    return {"halving_interval_line": hull([ols, halving]), "line_interval_kind": "hull"}


def hull(intervals: list[list[float | None] | None]) -> list[float | None] | None:
    """The smallest interval that holds all; an end that is None is open, and no interval at all leaves none."""
    if any(ends is None for ends in intervals):
        return None
    lows, highs = zip(*(ends for ends in intervals if ends is not None), strict=True)
    low = None if None in lows else min(v for v in lows if v is not None)
    high = None if None in highs else max(v for v in highs if v is not None)
    return [low, high if high is None or math.isfinite(high) else None]


def covers(sizes: list[int]) -> str:
    """What an interval over these numbers of seeds covers."""
    if max(sizes) == 1:
        return "n = 1: the resolution of the evaluation grid only, no variation between seeds"
    if min(sizes) == 1:
        return f"seeds and resolution; {sizes.count(1)} of {len(sizes)} architectures have n = 1: resolution only"
    seeds = str(max(sizes)) if min(sizes) == max(sizes) else f"{min(sizes)} to {max(sizes)}"
    return f"seeds (n = {seeds}) and resolution"
