"""Whether a level is fit to measure costs at: how much the costs move when the level moves by its own spread."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median, stdev
from typing import Any

from harness.analyse.evidence.ladder import REFERENCE, Entry
from harness.analyse.evidence.runs.groups import Group
from harness.analyse.evidence.runs.run import Run
from harness.record.target import Target

UNIT = "spent_macs"
LIMIT = 0.15
"""Relative change of the median network's cost above which the reference is unfit."""


@dataclass(frozen=True)
class LevelSpread:
    """Standard deviation of the final accuracies of `runs` runs of the reference, a fraction.

    calibrated: they are calibration runs, which set the level and are used for nothing else; else full schedules that
    also give costs, protocol 1's.
    """

    sd: float
    runs: int
    calibrated: bool

    def __str__(self) -> str:
        return f"{self.runs} {'calibration runs' if self.calibrated else 'whole plans'}"


@dataclass(frozen=True)
class Fitness:
    """Change of the median network's expected cost, as a fraction, with the level one standard deviation down and up.

    change = cost(level -+ sd) / cost(level) - 1 of each network, and the median of these. A rule of our own protocol.
    Said in cost, since a point of accuracy is worth much on a flat curve and little on a steep one. `down` and `up` are
    None where no network's curves answer, inf where the median network does not reach the moved level at all;
    `answered`: networks behind each, of `networks` that reach the level itself. A network whose runs stop before the
    moved level says nothing of it.
    """

    spread: LevelSpread
    down: float | None
    up: float | None
    answered: tuple[int, int]
    networks: int

    @property
    def fit(self) -> bool | None:
        """False where either change is above `LIMIT`, True where both are known to be within, None otherwise."""
        changes = (self.down, self.up)
        if any(change is not None and abs(change) > LIMIT for change in changes):
            return False
        return None if None in changes else True

    def __str__(self) -> str:
        if self.down is None and self.up is None:
            return (
                "fitness is not known: no other network's curves answer the level moved by its spread; "
                "target.past_evaluations makes runs go on"
            )
        verdict = {
            True: "the reference is fit",
            False: "REFERENCE UNFIT",
            None: "not known whether the reference is fit",
        }
        changes = zip(("down", "up"), (self.down, self.up), self.answered, strict=True)
        said = ", ".join(f"{way} {_change(change)} ({count} answer)" for way, change, count in changes)
        return (
            f"fitness: with the level moved by its standard deviation, the cost of the median of {self.networks} "
            f"networks changes by: {said}; at most {100 * LIMIT:.0f} %: {verdict[self.fit]}"
        )


def _change(change: float | None) -> str:
    if change is None:
        return "not known"
    return "without end" if math.isinf(change) else f"{100 * change:+.0f} %"


def spread_of(group: Group) -> LevelSpread | None:
    """The spread of the reference's finals by the group's metric; None where fewer than two runs of one plan tell it.

    Only runs that had no level to stop at have a final accuracy of the whole plan.
    """
    full = [t for t in group.measured if t.target is None and t.outcome == "budget_exhausted"]
    for runs, calibrated in ((group.calibration, True), (full, False)):
        finals = _finals([t for t in runs if t.plan.model == REFERENCE], group.target.metric)
        if len(finals) > 1:
            return LevelSpread(stdev(finals), len(finals), calibrated)
    return None


def _finals(runs: Sequence[Run], metric: str) -> list[float]:
    """Last accuracies of the runs that were judged by the metric; none where they follow several plans."""
    if len({t.plan for t in runs}) > 1:
        return []
    return [float(t.accuracy(metric)[-1]) for t in runs if t.counters.shape[1] and t.judged(metric)[-1]]


def fitness(entries: Sequence[Entry], metric: str, level: float, spread: LevelSpread) -> Fitness:
    """Judge a level by the measured networks other than the reference, an entry each."""
    others = [r for r in entries if r.model != REFERENCE and r.plan.kind == "measured"]
    base = [(r, cost) for r in others if (cost := _cost(r, metric, level)) is not None and math.isfinite(cost)]

    def changes(moved: float) -> list[float]:
        return [cost / at - 1 for r, at in base if (cost := _cost(r, metric, moved)) is not None]

    down, up = changes(level - spread.sd), changes(level + spread.sd)
    return Fitness(spread, median(down) if down else None, median(up) if up else None, (len(down), len(up)), len(base))


def judged(entries: Sequence[Entry], target: Target, spread: LevelSpread | None) -> dict[str, Any] | None:
    """How much the costs move when the level moves by its own spread, as plain data; None where nothing tells that.

    down, up: null where not known, and where the median network does not reach the moved level at all (`words` says).
    """
    if spread is None:
        return None
    told = fitness(entries, target.metric, target.value, spread)
    return {
        "fit": told.fit,
        "down": _finite(told.down),
        "up": _finite(told.up),
        "networks": told.networks,
        "answered": list(told.answered),
        "level_sd": spread.sd,
        "level_runs": spread.runs,
        "calibrated": spread.calibrated,
        "words": str(told),
    }


def _finite(change: float | None) -> float | None:
    return None if change is None or math.isinf(change) else change


def _cost(entry: Entry, metric: str, level: float) -> float | None:
    """Expected cost in training MACs; inf where no run reaches; None where a run stopped before it could answer."""
    costs = entry.costs(metric, level, UNIT)
    for run, missed in zip(entry.runs, costs.censored, strict=True):
        if not run.counters.shape[1] or (missed and run.ended_early):
            return None
    return costs.expected().at
