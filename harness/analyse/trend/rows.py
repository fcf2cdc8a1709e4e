"""The rows of the table: one architecture under one plan, with everything a reader compares."""

import math
from collections import Counter
from typing import Any

import numpy as np

from harness.analyse.evidence.cost import Cost, Costs, share_interval
from harness.analyse.evidence.crossings import crossing
from harness.analyse.evidence.ladder import Entry, known_cost
from harness.analyse.evidence.runs.run import Run
from harness.analyse.evidence.spread import Spread
from harness.analyse.trend.draws import Floats, Interval, percentile
from harness.record.fidelity import flags_of
from harness.record.target import Target


def row_of(
    entry: Entry,
    target: Target,
    unit: str,
    *,
    reference: Entry,
    draws: Floats,
    ref_draws: Floats,
    spread: Spread,
    in_trend: bool,
) -> dict[str, Any]:
    """One row as plain data. `draws`, `ref_draws`: (draws,) costs of this architecture and the reference, drawn again.

    The cost is the expected one; beside it stand the share of runs that reached, with its interval, and the median
    where at least half of them did.
    """
    runs = entry.runs
    costs = entry.costs(target.metric, target.value, unit)
    cost = costs.expected()
    epochs = entry.costs(target.metric, target.value, "epochs").expected()
    middle = entry.median_run(target.metric, target.value)
    row: dict[str, Any] = {
        "model": entry.model,
        "title": runs[0].title,
        "published": entry.published,
        "kind": entry.plan.kind,
        "recipe": entry.plan.recipe,
        "planned_epochs": entry.plan.planned_epochs,
        "batch_size": entry.plan.batch_size,
        "resolution": entry.plan.resolution,
        "apart": entry.apart,
        "in_trend": in_trend,
        "on_frontier": False,
        "n": len(runs),
        "reached": costs.successes,
        "reached_interval": list(share_interval(costs.successes, len(costs))),
        "seeds": [t.seed for t in runs],
        "runs": [t.run_id for t in runs],
        "per_run": [
            {"run": t.run_id, "seed": t.seed, "outcome": t.outcome, "after": float(low), "cost": finite(high)}
            for t, low, high in zip(runs, costs.after, costs.at, strict=True)
        ],
        "middle_run": middle.run_id,
        "outcomes": dict(sorted(Counter(t.outcome for t in runs).items())),
        "best_accuracy": [best_accuracy(t, target.metric) for t in runs],
        "missed": dict(sorted(Counter(_miss(t) for t, c in zip(runs, costs.censored, strict=True) if c).items())),
        "forward_macs": middle.forward_macs,
        "epochs": finite(epochs.at),
        "epochs_interval": [epochs.after, finite(epochs.at)],
        "cost": finite(cost.at),
        "cost_above": cost.after if cost.censored else None,
        "median": finite(costs.median().at) if 2 * costs.successes >= len(costs) else None,
        **_intervals(costs, cost, draws, spread),
        **_ledger(middle, target),
        "paper_pflop": finite(entry.costs(target.metric, target.value, "paper_pflop").expected().at),
        "flags": flags_of(dict(runs[0].fidelity)),
        "hardware": sorted({t.hardware for t in runs}),
    }
    ref_costs = reference.costs(target.metric, target.value, unit)
    ref_epochs = reference.costs(target.metric, target.value, "epochs").expected()
    row |= _factors(cost, ref_costs.expected(), draws, ref_draws, single=len(costs) == len(ref_costs) == 1)
    row |= _with_plot_errors(row, costs, ref_costs, entry.costs(target.metric, target.value, "epochs"))
    if row["factor"] is not None:
        row["epochs_factor"] = known_cost(ref_epochs) / epochs.at
        row["macs_per_epoch_factor"] = row["factor"] / row["epochs_factor"]
    return row


def finite(value: float | None) -> float | None:
    """None for what is not a number a table can hold: infinite, undefined or absent."""
    return None if value is None or not math.isfinite(value) else float(value)


def containing(interval: Interval, point: float) -> list[float | None]:
    """The interval, widened to its point where that lies outside: the very end of a single run's resolution does."""
    return [finite(min(interval.low, point)), finite(max(interval.high, point))]


def best_accuracy(run: Run, metric: str) -> float | None:
    """The highest look; None for a run that was never judged by the metric."""
    return float(np.nanmax(run.accuracy(metric))) if run.judged(metric).any() else None


def _miss(run: Run) -> str:
    """Why a run did not reach: a run that stopped at another, lower target says so."""
    return "stopped at another target" if run.outcome == "reached" else run.outcome


def _intervals(costs: Costs, cost: Cost, draws: Floats, spread: Spread) -> dict[str, Any]:
    """The interval of the expected cost, and what it is.

    pooled: 95 %, the spread of seeds pooled over architectures and, where runs of the group missed, the share that
    reaches (`draws.py`); range: the cheapest run and the dearest, where the spreads are not alike; resolution: one
    run, the look that crossed and the one before; bound: no run reached; digitised: any of these, widened by the error
    with which a curve was read off a plot.
    """
    if cost.censored:
        return {"cost_interval": [cost.after, None], "interval_kind": "bound"}
    if len(costs) == 1:
        return {"cost_interval": [cost.after, finite(cost.at)], "interval_kind": "resolution"}
    if not spread.holds:
        ends = [float(costs.at.min()), finite(float(costs.at.max()))]
        return {"cost_interval": ends, "interval_kind": "range"}
    interval = percentile(draws)
    assert interval is not None
    return {"cost_interval": containing(interval, cost.at), "interval_kind": "pooled"}


def _with_plot_errors(row: dict[str, Any], costs: Costs, ref_costs: Costs, epochs: Costs) -> dict[str, Any]:
    """The intervals of the row, widened by all that the errors of curves read off a plot allow."""
    wider: dict[str, Any] = {}
    within, ref_within = costs.within(), ref_costs.within()
    if within is not None:
        in_epochs = epochs.within()
        assert in_epochs is not None
        wider |= {"cost_interval": _widened(row["cost_interval"], within), "interval_kind": "digitised"}
        wider |= {"epochs_interval": _widened(row["epochs_interval"], in_epochs)}
    if row["factor"] is not None and (within or ref_within):
        own, reference = within or costs.expected(), ref_within or ref_costs.expected()
        low, high = row["factor_interval"]
        least = None if own.censored else reference.after / own.at
        most = reference.at / own.after if own.after else math.inf
        wider["factor_interval"] = [
            None if low is None or least is None else min(low, least),
            None if high is None else finite(max(high, most)),
        ]
    return wider


def _widened(ends: list[float | None], within: Cost) -> list[float | None]:
    """An interval that holds `within` too; None is an open end."""
    low, high = ends
    return [None if low is None else min(low, within.after), None if high is None else finite(max(high, within.at))]


def _ledger(run: Run, target: Target) -> dict[str, Any]:
    """The exact ledger of the middle run at its crossing, or at its end where it missed."""
    crossed = crossing(run, target.metric, target.value, confirm=target.confirm)
    if not run.counters.shape[1]:
        return dict.fromkeys(("images", "train_forward_macs", "spent_macs", "evaluation_macs", "lost_macs"), 0)
    at = -1 if crossed is None else crossed.index
    forward, backward = int(run.count("train_forward_macs")[at]), int(run.count("train_backward_macs")[at])
    return {
        "images": int(run.count("images")[at]),
        "train_forward_macs": forward,
        "spent_macs": forward + backward,
        "evaluation_macs": int(run.count("evaluation_macs")[at]),
        "lost_macs": int(run.count("lost_macs")[at]),
    }


def _factors(cost: Cost, ref_cost: Cost, draws: Floats, ref_draws: Floats, *, single: bool) -> dict[str, Any]:
    """Reduction against the reference with its interval; the two parts are filled in where there is a factor.

    Where the reference never reached, it stands at what it spent, and the factor is at least that. `single`: of one run
    each the interval is all that their resolutions allow.
    """
    at_least = {"factor_at_least": ref_cost.censored}
    if cost.censored:
        return dict.fromkeys(("factor", "factor_interval", "epochs_factor", "macs_per_epoch_factor")) | at_least
    interval = percentile((ref_cost.after if ref_cost.censored else ref_draws) / draws)
    assert interval is not None
    factor = known_cost(ref_cost) / cost.at
    low, high = containing(interval, factor)
    if single and not ref_cost.censored:
        low, high = ref_cost.after / cost.at, ref_cost.at / cost.after if cost.after else None
    return {"factor": factor, "factor_interval": [low, None if ref_cost.censored else high]} | at_least
