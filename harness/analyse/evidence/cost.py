"""Cost to a level, in one unit at a time; the only place where a ledger line becomes a cost."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv

from harness.analyse.evidence.crossings import Crossing
from harness.analyse.evidence.runs.run import Run
from harness.record import units

CONFIDENCE = 0.95
"""Of every interval."""

UNITS: dict[str, Callable[[Run], NDArray[np.float64]]] = {
    "paper_pflop": lambda t: t.count("train_forward_macs").astype(np.float64) * units.paper_pflop(1.0),
    "spent_macs": lambda t: (t.count("train_forward_macs") + t.count("train_backward_macs")).astype(np.float64),
    "epochs": lambda t: t.clock("epoch"),
    "seconds": lambda t: t.clock("train_seconds"),
    "joules": lambda t: t.clock("energy_joules"),
}
"""Cumulative cost at every evaluation, by unit. `paper_pflop`, 3 x forward MACs / 1e15, is the published table's."""

UNIT_WORDS = {
    "paper_pflop": "PFLOP (paper unit)",
    "spent_macs": "exact spent MACs",
    "epochs": "epochs",
    "seconds": "training seconds",
    "joules": "joules, evaluation included",
}


@dataclass(frozen=True, slots=True)
class Cost:
    """Cost to a level: it lies in (after, at], and `at` is the cost by the protocol (first evaluation at the level).

    A censored run has at = inf and after = all it spent: its cost is above `after`.
    """

    after: float
    at: float

    @property
    def censored(self) -> bool:
        """True where the level was not reached."""
        return math.isinf(self.at)


@dataclass(frozen=True, slots=True, eq=False)
class Costs:
    """Costs of several runs: `after` and `at` as in `Cost`, (runs,) float64.

    raised, lowered: the same where a run was read off a plot and all its accuracies are higher, or lower, by their
    error; None where every run was logged.
    """

    after: NDArray[np.float64]
    at: NDArray[np.float64]
    raised: "Costs | None" = None
    lowered: "Costs | None" = None

    def __len__(self) -> int:
        return len(self.after)

    @property
    def censored(self) -> NDArray[np.bool_]:
        """(runs,) True where the level was not reached."""
        return np.isinf(self.at)

    @property
    def successes(self) -> int:
        """Runs that reached the level."""
        return int((~self.censored).sum())

    def expected(self) -> Cost:
        """Expected cost: what all runs spent, over the number that reached.

        It is what somebody pays who restarts until it works: each run to its crossing, or whole where it missed
        (expected running time, ERT; Hansen et al. 2016, arXiv 1605.03560). Assumes that restarts are independent and
        like the runs measured. Without a miss it is the mean. Where none reached, `after` is the sum, what was spent in
        vain, and `at` is inf: a lower bound.
        """
        reached = self.successes
        spent_before = float(self.after.sum())
        if not reached:
            return Cost(spent_before, math.inf)
        spent = float(np.where(self.censored, self.after, self.at).sum())
        return Cost(spent_before / reached, spent / reached)

    def within(self) -> Cost | None:
        """What the expected cost lies in when the errors of plots are allowed for; None where there are none.

        `at` is inf where they leave open whether any run reached.
        """
        if self.raised is None or self.lowered is None:
            return None
        return Cost(self.raised.expected().after, self.lowered.expected().at)

    def order(self) -> NDArray[np.intp]:
        """Runs from the cheapest to the costliest, censored ones last, by what they spent."""
        return np.lexsort((self.after, self.at))

    def median(self) -> Cost:
        """Median over the runs, censored ones counting as above every other.

        `at` is inf when the median run is censored; `after` is then the least that the median run spent.
        """
        order = self.order()
        below, above = order[(len(order) - 1) // 2], order[len(order) // 2]
        return Cost(float(self.after[below] + self.after[above]) / 2, float(self.at[below] + self.at[above]) / 2)


def cost_at(spent: NDArray[np.float64], crossing: Crossing | None) -> Cost:
    """Cost at a crossing of a run's cumulative cost (evaluations,), with its resolution interval."""
    if crossing is None:
        return Cost(float(spent[-1]) if len(spent) else 0.0, math.inf)
    return Cost(0.0 if crossing.previous is None else float(spent[crossing.previous]), float(spent[crossing.index]))


def share_interval(successes: int, runs: int) -> tuple[float, float]:
    """The 95 % interval of the share of runs that reach, never too narrow (Clopper & Pearson 1934, Biometrika 26).

    Its ends are the shares under which so many successes, or so few, have a chance of 2.5 %, by quantiles of the beta
    distribution. Assumes that runs are independent and alike.
    """
    tail, missed = (1 - CONFIDENCE) / 2, runs - successes
    low = 0.0 if not successes else float(betaincinv(successes, missed + 1, tail))
    high = 1.0 if not missed else float(betaincinv(successes + 1, missed, 1 - tail))
    return low, high
