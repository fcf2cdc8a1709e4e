"""Whether a level is fit to measure costs at: how much the costs move when the level moves by its own spread."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from statistics import median

from harness.analyse.evidence.runs.plans import Plan, recipe_settings
from harness.analyse.evidence.target import MODEL, Calibration
from harness.record.folders.folder import CONFIG, Run
from harness.record.target import crossing_of

CONFIRM = 2
LIMIT = 0.15
"""Relative change of the median network's cost above which the reference is unfit."""


@dataclass(frozen=True)
class Fitness:
    """Change of the median network's expected cost, as a fraction, with the level one standard deviation down and up.

    networks: those whose curves answer all three levels; silent: the others, which do not reach the level or stop too
    early to say.
    """

    down: float | None
    up: float | None
    networks: int
    silent: int

    @property
    def fit(self) -> bool | None:
        """True within `LIMIT` both ways; None where nothing can be said."""
        if self.down is None or self.up is None:
            return None
        return max(abs(self.down), abs(self.up)) <= LIMIT

    def __str__(self) -> str:
        if self.fit is None:
            return (
                f"fitness is not known: no other network's curves answer the level moved by its spread "
                f"({self.silent} do not reach the levels or stop too early; target.past_evaluations makes runs go on)"
            )
        assert self.down is not None
        assert self.up is not None
        verdict = "the reference is fit" if self.fit else "REFERENCE UNFIT"
        return (
            f"fitness: with the level moved by its standard deviation, down and up, the cost of the median of "
            f"{self.networks} networks changes by {100 * self.down:+.0f} and {100 * self.up:+.0f} % "
            f"(at most {100 * LIMIT:.0f}): {verdict}"
        )


def expected_cost(spent: Sequence[int], reached: Sequence[bool]) -> float:
    """Return the sum of what all runs spent over the number that reached; infinite where none did.

    What somebody pays who restarts until it works (expected running time; Hansen et al. 2016, arXiv 1605.03560).
    Assumes that restarts are independent and like the runs measured.
    """
    successes = sum(reached)
    return sum(spent) / successes if successes else float("inf")


def fitness(c: Calibration, runs: Sequence[Run]) -> Fitness:
    """Judge the calibration's level by the measured runs of every other architecture on its data, plan by plan."""
    others = [
        (Plan.of(run.summary, recipe_settings((run.path / CONFIG).read_text(encoding="utf-8"))), run)
        for run in {run.summary["run_id"]: run for run in runs}.values()
        if run.model != MODEL and run.summary["kind"] == "measured" and run.fingerprint == c.runs[0].fingerprint
    ]
    others.sort(key=lambda pair: repr(pair[0]))
    downs, ups, silent = [], [], 0
    for _, members in groupby(others, key=lambda pair: pair[0]):
        same = [run for _, run in members]
        costs = [_cost(same, c.metric, c.level + sign * (c.sd or 0.0)) for sign in (-1, 0, 1)]
        low, at, high = costs
        if low is None or at is None or high is None or at == float("inf"):
            silent += 1
            continue
        downs.append(low / at - 1)
        ups.append(high / at - 1)
    if not downs or c.sd is None:
        return Fitness(None, None, 0, silent)
    return Fitness(median(downs), median(ups), len(downs), silent)


def _cost(runs: Sequence[Run], metric: str, level: float) -> float | None:
    """Expected cost in training MACs; None where a run stopped at its own level before it could answer this one."""
    spent, reached = [], []
    for run in runs:
        if not run.curve:
            return None
        index = crossing_of(run.curve, metric, level, CONFIRM)
        if index is None and run.outcome == "reached" and run.curve[-1].epoch < run.summary["planned_epochs"]:
            return None
        spent.append(run.curve[-1 if index is None else index].train_macs)
        reached.append(index is not None)
    return expected_cost(spent, reached)
