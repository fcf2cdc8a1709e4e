"""How much of a spread lies between groups and how much within: one-way random effects, groups of unequal size."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from harness.analyse.evidence.spread import residual_variance


@dataclass(frozen=True)
class Variance:
    """Standard deviations between and within groups, in the unit of the values; groups and values that count."""

    between: float
    within: float
    groups: int
    values: int

    @property
    def share_within(self) -> float:
        """Part of the whole variance that lies within groups."""
        return self.within**2 / (self.within**2 + self.between**2)


def variance_of(values: Mapping[str, Sequence[float]]) -> Variance | None:
    """Moments of the analysis of variance (Searle, Casella & McCulloch 1992, section 3.6); groups of one are left out.

    A between variance that comes out below 0 is 0. None with fewer than two groups of two.
    """
    groups = [np.asarray(v, dtype=np.float64) for v in values.values() if len(v) > 1]
    if len(groups) < 2:
        return None
    sizes = np.array([len(g) for g in groups])
    total, count = int(sizes.sum()), len(groups)
    mean = float(np.concatenate(groups).mean())
    within, _ = residual_variance(groups)
    among = sum(len(g) * (float(g.mean()) - mean) ** 2 for g in groups) / (count - 1)
    typical = (total - float((sizes**2).sum()) / total) / (count - 1)
    between = max(0.0, (among - within) / typical)
    return Variance(between**0.5, within**0.5, count, total)
