"""The other axes a reader asks for: seconds and joules on named hardware, accuracy against arithmetic."""

from typing import Any

import numpy as np

from harness.analyse.cost import UNITS
from harness.analyse.ladder import Rung
from harness.analyse.rows import finite
from harness.record.target import Target


def hardware_axis(rungs: list[Rung], target: Target) -> list[dict[str, Any]]:
    """Median training seconds and joules to target for every architecture on every named hardware.

    Never mixed with the arithmetic trend, nor one hardware with another; joules only where the hardware gives them.
    """
    found = []
    for label in sorted({t.hardware for r in rungs for t in r.trials}):
        for rung in rungs:
            here = Rung(rung.plan, [t for t in rung.trials if t.hardware == label])
            if not here.trials or rung.plan.kind == "imported":  # a foreign curve has no clock
                continue
            row: dict[str, Any] = {"hardware": label, "model": rung.model, "title": here.trials[0].title}
            row["n"] = len(here.trials)
            for unit in ("seconds", "joules"):
                known = Rung(here.plan, [t for t in here.trials if not np.isnan(UNITS[unit](t)).any()])
                costs = known.costs(target.metric, target.value, unit)
                cost = costs.median() if len(costs) else None
                row[unit] = None if cost is None else finite(cost.high)
                row[f"{unit}_above"] = cost.low if cost is not None and cost.censored else None
            found.append(row)
    return found


def learning_curves(rungs: list[Rung], target: Target) -> list[dict[str, Any]]:
    """Accuracy in the target's metric against cumulative PFLOP (paper unit) of each architecture's middle run."""
    curves = []
    for rung in rungs:
        t = rung.median_trial(target.metric, target.value)
        curves.append(
            {
                "model": rung.model,
                "title": t.title,
                "seed": t.seed,
                "n": len(rung.trials),
                "paper_pflop": UNITS["paper_pflop"](t).tolist(),
                "accuracy": t.accuracy(target.metric).tolist(),
            }
        )
    return curves
