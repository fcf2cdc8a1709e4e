"""Cost to a level, in one unit at a time; the only place where a ledger line becomes a cost."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.analyse.evidence.crossings import Crossing
from harness.analyse.evidence.trials import Trial
from harness.record import units

UNITS: dict[str, Callable[[Trial], NDArray[np.float64]]] = {
    "paper_pflop": lambda t: t.count("train_forward_macs").astype(np.float64) * units.paper_pflop(1.0),
    "spent_macs": lambda t: (t.count("train_forward_macs") + t.count("train_backward_macs")).astype(np.float64),
    "spent_flops": lambda t: (
        (t.count("train_forward_macs") + t.count("train_backward_macs")).astype(np.float64) * units.FLOPS_PER_MAC
    ),
    "epochs": lambda t: t.clock("epoch"),
    "seconds": lambda t: t.clock("train_seconds"),
    "joules": lambda t: t.clock("energy_joules"),
}
"""Cumulative cost at every evaluation, by unit. `paper_pflop`, 3 x forward MACs / 1e15, is the published table's."""

UNIT_WORDS = {
    "paper_pflop": "PFLOP (paper unit)",
    "spent_macs": "exact spent MACs",
    "spent_flops": "exact spent FLOPs",
    "epochs": "epochs",
    "seconds": "training seconds",
    "joules": "joules, evaluation included",
}


@dataclass(frozen=True, slots=True)
class Cost:
    """Cost to a level: it lies in (low, high], and high is the cost by the protocol (first evaluation at the level).

    A censored run has high = inf and low = all it spent: its cost is above `low`.
    """

    low: float
    high: float

    @property
    def censored(self) -> bool:
        """True where the level was not reached."""
        return math.isinf(self.high)


@dataclass(frozen=True, slots=True, eq=False)
class Costs:
    """Costs of several runs: `low` and `high` as in `Cost`, (runs,) float64."""

    low: NDArray[np.float64]
    high: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.low)

    @property
    def censored(self) -> NDArray[np.bool_]:
        """(runs,) True where the level was not reached."""
        return np.isinf(self.high)

    def order(self) -> NDArray[np.intp]:
        """Runs from the cheapest to the dearest, censored ones last, by what they spent."""
        return np.lexsort((self.low, self.high))

    def median(self) -> Cost:
        """Median over the runs, censored ones counting as above every other.

        high is inf when the median run is censored; low is then the least that the median run spent.
        """
        order = self.order()
        below, above = order[(len(order) - 1) // 2], order[len(order) // 2]
        return Cost(float(self.low[below] + self.low[above]) / 2, float(self.high[below] + self.high[above]) / 2)


def cost_at(spent: NDArray[np.float64], found: Crossing | None) -> Cost:
    """Cost at a crossing of a run's cumulative cost (evaluations,), with its resolution interval."""
    if found is None:
        return Cost(float(spent[-1]) if len(spent) else 0.0, math.inf)
    return Cost(0.0 if found.previous is None else float(spent[found.previous]), float(spent[found.index]))
