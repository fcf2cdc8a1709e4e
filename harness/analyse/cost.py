"""Cost to a level, in one unit at a time; the only place where a ledger line becomes a cost."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.analyse.curves import crossing
from harness.analyse.trials import Trial
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
    "joules": "joules",
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


def cost_to(trial: Trial, metric: str, value: float, unit: str, *, in_a_row: int = 1) -> Cost:
    """Cost of one run to a level (a fraction) in one of `UNITS`, with its resolution interval."""
    spent = UNITS[unit](trial)
    found = crossing(trial, metric, value, in_a_row=in_a_row)
    if found is None:
        return Cost(float(spent[-1]) if len(spent) else 0.0, math.inf)
    return Cost(0.0 if found.previous is None else float(spent[found.previous]), float(spent[found.index]))
