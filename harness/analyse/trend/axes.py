"""The other axes a reader asks for: seconds and joules on named hardware, accuracy against arithmetic."""

from typing import Any

import numpy as np

from harness.analyse.evidence.cost import UNITS
from harness.analyse.evidence.crossings import crossing
from harness.analyse.evidence.ladder import Rung
from harness.analyse.evidence.runs.trials import Trial
from harness.analyse.trend.rows import finite
from harness.record.target import Target


def hardware_axis(rungs: list[Rung], target: Target) -> list[dict[str, Any]]:
    """Median training seconds and joules to target for every architecture on every named hardware.

    Never mixed with the arithmetic trend, nor one hardware with another; joules only where the hardware gives them.
    """
    found = []
    for label in sorted({t.hardware for r in rungs for t in r.trials}):
        for rung in rungs:
            here = Rung(rung.plan, [t for t in rung.trials if t.hardware == label], confirm=rung.confirm)
            if not here.trials or rung.plan.kind == "imported":  # a foreign curve has no clock
                continue
            row: dict[str, Any] = {"hardware": label, "model": rung.model, "title": here.trials[0].title}
            row["n"] = len(here.trials)
            for unit in ("seconds", "joules"):
                known = Rung(
                    here.plan, [t for t in here.trials if not np.isnan(UNITS[unit](t)).any()], confirm=rung.confirm
                )
                costs = known.costs(target.metric, target.value, unit)
                cost = costs.median() if len(costs) else None
                row[unit] = None if cost is None else finite(cost.high)
                row[f"{unit}_above"] = cost.low if cost is not None and cost.censored else None
            found.append(row)
    return found


def searches(trials: list[Trial], target: Target) -> list[dict[str, Any]]:
    """Minimum-budget searches: the shortest plan that succeeded, the longest that failed below it, what it all cost.

    `complete` is false while plans between the two have not been tried. Never part of the fixed-plan table.
    """
    by_architecture: dict[tuple[str, ...], list[Trial]] = {}
    for t in trials:
        key = (t.published, t.plan.model, t.plan.recipe, t.plan.settings, str(t.plan.batch_size))
        by_architecture.setdefault((*key, str(t.plan.resolution)), []).append(t)
    found = []
    for _, runs in sorted(by_architecture.items()):
        plans: dict[int, list[Trial]] = {}
        for t in runs:
            plans.setdefault(t.plan.planned_epochs, []).append(t)
        reached = {
            epochs: sum(crossing(t, target.metric, target.value, confirm=target.confirm) is not None for t in same)
            for epochs, same in plans.items()
        }
        good = [epochs for epochs, same in plans.items() if reached[epochs] >= (same[0].needed or 1)]
        shortest = min(good, default=None)
        failed = max((e for e in plans if e not in good and (shortest is None or e < shortest)), default=0)
        best = Rung(runs[0].plan, plans[shortest], confirm=target.confirm) if shortest is not None else None
        cost = best.costs(target.metric, target.value, "paper_pflop").median().high if best else None
        found.append(
            {
                "model": runs[0].plan.model,
                "title": runs[0].title,
                "recipe": runs[0].plan.recipe,
                "needed": runs[0].needed,
                "shortest_plan_epochs": shortest,
                "failed_plan_epochs": failed,
                "complete": shortest is not None and shortest - failed == 1,
                "runs": len(runs),
                "paper_pflop": finite(cost),
                "search_paper_pflop": sum(float(UNITS["paper_pflop"](t)[-1]) for t in runs if t.counters.shape[1]),
                "search_spent_macs": sum(_spent_macs(t) for t in runs),
            }
        )
    return found


def _spent_macs(trial: Trial) -> int:
    """Exact training MACs of a whole run."""
    if not trial.counters.shape[1]:
        return 0
    return int(trial.count("train_forward_macs")[-1]) + int(trial.count("train_backward_macs")[-1])


def learning_curves(rungs: list[Rung], target: Target) -> list[dict[str, Any]]:
    """Accuracy in the target's metric against cumulative PFLOP (paper unit), every run of each architecture.

    Evaluations that were not judged by the metric are left out. `crossing` is the place of the evaluation at which the
    run reached the target, None for a miss.
    """
    curves = []
    for rung in rungs:
        middle = rung.median_trial(target.metric, target.value)
        runs = []
        for t in rung.trials:
            passed = crossing(t, target.metric, target.value, confirm=target.confirm)
            judged = np.flatnonzero(t.judged(target.metric))
            runs.append(
                {
                    "run": t.run_id,
                    "seed": t.seed,
                    "crossing": None if passed is None else int(np.searchsorted(judged, passed.index)),
                    "paper_pflop": UNITS["paper_pflop"](t)[judged].tolist(),
                    "accuracy": t.accuracy(target.metric)[judged].tolist(),
                }
            )
        curves.append({"model": rung.model, "title": middle.title, "middle_run": middle.run_id, "runs": runs})
    return curves
