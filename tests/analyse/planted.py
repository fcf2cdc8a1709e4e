"""Ladders whose truth is known: curves from a generator of their own, apart from everything that judges them.

True costs are found by running the generator 200,000 times, not by a formula that the analysis might share.
"""

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np

from harness.analyse.evidence.runs.groups import Group
from harness.analyse.evidence.runs.run import COUNTERS, Run
from harness.record.target import Target
from tests.analyse.synthetic import TARGET, Made, day, trial

HALVING_MONTHS = 16.0
STEPS = 8
LOOKS_AN_EPOCH = 4
PLAN_EPOCHS = 20
TOTAL = 1000
LEVEL = 0.5
IMAGES = 1000


@dataclass(frozen=True)
class Scenario:
    """noise: standard deviation of log epochs between seeds; miss: share of runs that never reach, whatever they spend;
    reference_miss: the same of AlexNet alone; scatter: doublings by which an architecture lies off the line; wobble:
    how far single looks stray, in accuracy."""

    seeds: int
    noise: float = 0.15
    miss: float = 0.0
    reference_miss: float = 0.0
    scatter: float = 0.0
    wobble: float = 0.0


EPOCHS = (12.3, 9.7, 11.1, 8.6, 10.4, 7.9, 9.2, 6.8)
"""Median epochs to the level, an architecture each; what an image costs makes up for the rest of the line."""


def needed(scenario: Scenario, median: float, runs: int, rng: np.random.Generator) -> np.ndarray:
    """(runs,) looks until the level; more than the plan has where a run never gets there."""
    epochs = median * np.exp(scenario.noise * rng.standard_normal(runs))
    looks = np.ceil(epochs * LOOKS_AN_EPOCH).astype(int)
    return np.where(rng.random(runs) < scenario.miss, PLAN_EPOCHS * LOOKS_AN_EPOCH + 1, looks)


@cache
def true_epochs(scenario: Scenario, median: float) -> float:
    """Expected epochs of somebody who restarts until it works."""
    plan = PLAN_EPOCHS * LOOKS_AN_EPOCH
    looks = needed(scenario, median, 200_000, np.random.default_rng(99))
    return float(np.minimum(looks, plan).sum() / (looks <= plan).sum() / LOOKS_AN_EPOCH)


@dataclass(frozen=True)
class Planted:
    """A measured ladder, and the expected cost of each architecture in truth, in PFLOP, by model."""

    group: Group
    truth: dict[str, float]


def plant(scenario: Scenario, rng: np.random.Generator) -> Planted:
    """One ladder: the true costs halve every 16 months, up to the scatter."""
    trials, truth = [], {}
    for step in range(STEPS):
        model = "alexnet" if step == 0 else f"net{step}"
        own = scenario if step else replace(scenario, miss=max(scenario.miss, scenario.reference_miss))
        off = scenario.scatter * rng.standard_normal()
        expected = true_epochs(replace(own, wobble=0.0), EPOCHS[step])
        macs = round(1e12 * 2.0 ** (off - step) / expected)
        truth[model] = 3e-15 * macs * IMAGES * expected
        looks = needed(own, EPOCHS[step], scenario.seeds, rng)
        trials += [run(model, step, seed, macs, int(n), scenario.wobble, rng) for seed, n in enumerate(looks)]
    target = Target.from_dict({**TARGET, "evaluations_per_epoch": LOOKS_AN_EPOCH, "confirm": 2})
    return Planted(Group(trials[0].dataset, target, 2, trials), truth)


def run(model: str, step: int, seed: int, macs: int, looks: int, wobble: float, rng: np.random.Generator) -> Run:
    """One run: accuracy rises evenly to the level at look number `looks`, and goes on; each look may stray."""
    plan = PLAN_EPOCHS * LOOKS_AN_EPOCH
    number = np.arange(1, plan + 1)
    rate = 0.35 / looks if looks <= plan else 0.25 / plan
    accuracy = LEVEL - rate * (looks - number) if looks <= plan else 0.2 + rate * number
    correct = np.clip(np.rint(TOTAL * (accuracy + wobble * rng.standard_normal(plan))), 0, TOTAL).astype(np.int64)
    if not wobble and looks <= plan:
        correct, number = correct[: looks + 1], number[: looks + 1]  # stopped once confirmed
    images = number * IMAGES // LOOKS_AN_EPOCH
    row = dict.fromkeys(COUNTERS, np.zeros_like(number)) | {
        "images": images,
        "train_forward_macs": images * macs,
        "train_backward_macs": 2 * images * macs,
        "correct_top1": correct,
        "correct_top5": correct,
        "total": np.full_like(number, TOTAL),
    }
    clocks = np.array([number / LOOKS_AN_EPOCH, number * 1.0, number * 0.1, np.full(len(number), np.nan)])
    return replace(
        template(model, step),
        path=f"{model}/{seed}",
        seed=seed,
        forward_macs=macs,
        outcome="reached" if looks < plan else "budget_exhausted",
        counters=np.array([row[name] for name in COUNTERS]),
        clocks=clocks,
    )


@cache
def template(model: str, step: int) -> Run:
    """Everything of a run but its curve."""
    made = Made(model, [0.1], day(step * HALVING_MONTHS), planned_epochs=PLAN_EPOCHS, cadence=LOOKS_AN_EPOCH)
    return replace(trial(made), path=str(Path(model)))
