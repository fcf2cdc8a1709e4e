"""The other axes a reader asks for: seconds and joules on named hardware, accuracy against arithmetic."""

from typing import Any

import numpy as np

from harness.analyse.evidence.cost import UNITS
from harness.analyse.evidence.crossings import crossing
from harness.analyse.evidence.ladder import Entry
from harness.analyse.evidence.runs.run import Run
from harness.analyse.trend.rows import finite
from harness.record.dose_response import fit, success, tally
from harness.record.target import Target


def hardware_axis(entries: list[Entry], target: Target) -> list[dict[str, Any]]:
    """Median training seconds and joules to target for every architecture on every named hardware.

    Never mixed with the arithmetic trend, nor one hardware with another; joules only where the hardware gives them.
    """
    rows = []
    for label in sorted({t.hardware for r in entries for t in r.runs}):
        for entry in entries:
            here = Entry(entry.plan, [t for t in entry.runs if t.hardware == label], confirm=entry.confirm)
            if not here.runs or entry.plan.kind == "imported":  # a foreign curve has no clock
                continue
            row: dict[str, Any] = {"hardware": label, "model": entry.model, "title": here.runs[0].title}
            row["n"] = len(here.runs)
            for unit in ("seconds", "joules"):
                known = Entry(
                    here.plan, [t for t in here.runs if not np.isnan(UNITS[unit](t)).any()], confirm=entry.confirm
                )
                costs = known.costs(target.metric, target.value, unit)
                cost = costs.median() if len(costs) else None
                row[unit] = None if cost is None else finite(cost.at)
                row[f"{unit}_above"] = cost.after if cost is not None and cost.censored else None
            rows.append(row)
    return rows


def searches(runs: list[Run], target: Target) -> list[dict[str, Any]]:
    """E90 of every architecture that was searched, from all its runs of one plan but its length, and what they cost.

    The estimator is `harness.record.dose_response`. E90's cost is its length times the mean PFLOP of an epoch.
    `judged`: "end" where success is the last look of a whole plan; "crossing" in records of the bisection there was
    before, whose runs stopped at their target: a noisy curve may cross by luck, so theirs is the shorter. Never part
    of the trend.
    """
    by_architecture: dict[tuple[str, ...], list[Run]] = {}
    for t in runs:
        key = (t.published, t.plan.model, t.plan.recipe, t.plan.settings, str(t.plan.batch_size))
        judged = "end" if t.target is None else "crossing"
        by_architecture.setdefault((*key, str(t.plan.resolution), judged), []).append(t)
    rows = []
    for (*_, judged), own in sorted(by_architecture.items()):
        outcomes = [(t.plan.planned_epochs, _success(t, target)) for t in own]
        telling = [(planned, good) for planned, good in outcomes if good is not None]
        if not telling:
            continue
        told = fit(tally(telling))
        pflop = sum(float(UNITS["paper_pflop"](t)[-1]) for t in own if t.counters.shape[1])
        epochs = sum(float(t.clock("epoch")[-1]) for t in own if t.counters.shape[1])
        rows.append(
            {
                "model": own[0].plan.model,
                "title": own[0].title,
                "recipe": own[0].plan.recipe,
                "judged": judged,
                "e90_epochs": told.e90,
                "interval_epochs": list(told.interval),
                "e90_paper_pflop": told.e90 * pflop / epochs if told.e90 and epochs else None,
                "case": told.case,
                "words": told.words,
                "tried": told.tried_data,
                "runs": len(own),
                "search_paper_pflop": pflop,
                "search_spent_macs": sum(_spent_macs(t) for t in own),
            }
        )
    return rows


def _success(t: Run, target: Target) -> bool | None:
    """Whether a run of a search succeeded: see `searches`; None where it tells nothing."""
    if t.target is not None:
        return crossing(t, target.metric, target.value, confirm=target.confirm) is not None
    looked = t.counters.shape[1] > 0 and bool(t.judged(target.metric)[-1])
    last = (int(t.count(f"correct_{target.metric}")[-1]), int(t.count("total")[-1])) if looked else None
    return success(t.outcome, last, target.value)


def _spent_macs(run: Run) -> int:
    """Exact training MACs of a whole run."""
    if not run.counters.shape[1]:
        return 0
    return int(run.count("train_forward_macs")[-1]) + int(run.count("train_backward_macs")[-1])


def learning_curves(entries: list[Entry], target: Target) -> list[dict[str, Any]]:
    """Accuracy in the target's metric against cumulative PFLOP (paper unit), every run of each architecture.

    Evaluations that were not judged by the metric are left out. `crossing` is the place of the evaluation at which the
    run reached the target, None for a miss.
    """
    curves = []
    for entry in entries:
        middle = entry.median_run(target.metric, target.value)
        runs = []
        for t in entry.runs:
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
        curves.append({"model": entry.model, "title": middle.title, "middle_run": middle.run_id, "runs": runs})
    return curves
