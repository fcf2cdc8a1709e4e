"""How often the intervals of the analysis hold the planted truth."""

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np

from harness.analyse.evidence.crossings import crossing
from harness.analyse.evidence.ladder import ladder
from harness.analyse.trend.headline import draw_all, with_intervals
from harness.analyse.trend.line import fit, frontier, months
from harness.analyse.trend.rows import row_of
from tests.analyse.planted import EPOCHS, HALVING_MONTHS, LEVEL, Scenario, needed, plant, run

UNIT = "paper_pflop"
QUANTITIES = ("cost", "factor", "line", "least_squares", "seeds")


def inside(ends: Sequence[float | None], truth: float) -> bool:
    """Whether an interval holds the truth; an end that is None is open."""
    low, high = ends
    return (low is None or low <= truth) and (high is None or truth <= high)


def coverage(scenario: Scenario, repetitions: int, draws: int = 1_000, seed: int = 7) -> dict[str, float]:
    """Share of planted ladders whose interval holds the truth, by quantity.

    cost: rows that say 95 %; factor; line: how well the line is known, and the planted 16 months; least_squares: the
    same by least squares alone; seeds: "if only the seeds were drawn again" and the line through the true costs of this
    very ladder's architectures.
    """
    rng, held, asked = np.random.default_rng(seed), Counter[str](), Counter[str]()
    for repetition in range(repetitions):
        planted = plant(scenario, rng)
        truth, target = planted.truth, planted.group.target
        entries, _, _ = ladder(planted.group)
        drawn = draw_all(entries, target, UNIT, draws, repetition)
        found = with_intervals(entries, target, UNIT, drawn)
        for column, entry in enumerate(entries):
            row = row_of(
                entry,
                target,
                UNIT,
                reference=entries[0],
                draws=drawn.values[:, column],
                ref_draws=drawn.values[:, 0],
                spread=drawn.spread,
                in_trend=True,
            )
            if row["interval_kind"] == "pooled":
                asked["cost"] += 1
                held["cost"] += inside(row["cost_interval"], truth[entry.model])
        if found["reason"]:
            continue
        asked.update(("factor", "line", "least_squares", "seeds"))
        held["factor"] += inside(found["reduction_interval"], truth["alexnet"] / min(truth.values()))
        held["line"] += inside(found["halving_interval_line"] or (math.inf, None), HALVING_MONTHS)
        held["least_squares"] += inside(found["halving_interval_ols"] or (math.inf, None), HALVING_MONTHS)
        costs = [truth[r.model] for r in entries]
        chosen = frontier([r.published for r in entries], costs)
        line = fit([months(entries[i].published) for i in chosen], [costs[i] for i in chosen])
        assert line is not None
        held["seeds"] += inside(found["halving_interval"], line.halving_months)
    return {name: held[name] / asked[name] for name in QUANTITIES}


def bias(wobble: float, confirm: int, curves: int, seed: int = 11) -> float:
    """Mean relative error of the crossing of curves whose looks stray by `wobble`, against the planted look."""
    rng, errors = np.random.default_rng(seed), []
    for number in range(curves):
        looks = int(needed(Scenario(1), EPOCHS[number % len(EPOCHS)], 1, rng)[0])
        found = crossing(run("alexnet", 0, number, 10**9, looks, wobble, rng), "top1", LEVEL, confirm=confirm)
        assert found is not None
        errors.append((found.index + 1) / looks - 1)
    return float(np.mean(errors))
