"""How much the cost of an architecture varies between seeds: one spread for all of them, and whether that holds.

A handful of runs says little of its own spread: resampling three seeds covers 76 to 82 % where it says 95. The spread
of log cost is much alike between architectures. So it is pooled, as the residual of a one-way analysis of variance.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from harness.analyse.evidence.cost import Costs

ALPHA = 0.05
"""Chance that spreads which are alike are said to differ."""

NULL_SETS = 999
"""Sets of normal numbers behind the distribution of Levene's statistic."""


@dataclass(frozen=True)
class Spread:
    """Standard deviation of log cost (natural logarithm) between the seeds of one architecture, pooled.

    freedom: degrees of freedom, the sum of (runs that reached - 1); 0 where no architecture has two such runs, and
    `sd` is then 0 and means nothing. p: of Levene's test that all architectures have this spread; None where fewer
    than two can be compared.
    """

    sd: float
    freedom: int
    p: float | None

    @property
    def holds(self) -> bool:
        """Whether one spread may stand for all."""
        return self.freedom > 0 and (self.p is None or self.p >= ALPHA)


def pooled(costs: Sequence[Costs]) -> Spread:
    """Residual of a one-way analysis of log cost over architectures, one `Costs` each; runs that missed are left out.

    Assumes that log cost scatters normally and alike in every architecture. Levene's test (1960) of the latter uses
    means; its tabulated distribution refuses 10 to 40 % of true cases with three to eight runs, and the variant with
    medians none at all with three, so the distribution is that of normal numbers in groups of these sizes.
    The spread is not taken smaller than the grid's own, a step over the root of 12: seeds that cross at the same look
    do not show that they cost the same.
    """
    groups = [np.log(c.at[~c.censored]) for c in costs if c.successes > 1]
    residual, freedom = residual_variance(groups)
    if not freedom:
        return Spread(0.0, 0, None)
    steps = np.concatenate([(c.at - c.after)[~c.censored] / c.at[~c.censored] for c in costs if c.successes > 1])
    grid = float((steps**2).mean()) / 12
    return Spread(math.sqrt(max(residual, grid)), freedom, _levene(groups))


def residual_variance(groups: Sequence[NDArray[np.float64]]) -> tuple[float, int]:
    """Variance within groups of a one-way analysis, and its degrees of freedom; (0, 0) where there are none."""
    freedom = sum(len(g) - 1 for g in groups)
    return sum(float(((g - g.mean()) ** 2).sum()) for g in groups) / max(freedom, 1), freedom


def _levene(groups: list[NDArray[np.float64]]) -> float | None:
    """Probability of spreads at least as unlike as these, were all alike; None where fewer than two have three runs."""
    groups = [g for g in groups if len(g) > 2]  # the two deviations of a pair from their mean are always the same
    if len(groups) < 2:
        return None
    statistic = float(levene_statistic(groups))
    if math.isnan(statistic):  # no spread anywhere
        return 1.0
    null = _null(tuple(sorted(len(g) for g in groups)))
    return float((1 + (null >= statistic).sum()) / (1 + len(null)))


@lru_cache(maxsize=512)
def _null(sizes: tuple[int, ...]) -> NDArray[np.float64]:
    """Levene's statistic in `NULL_SETS` sets of normal numbers, groups of these sizes."""
    rng = np.random.default_rng(0)
    return levene_statistic([rng.standard_normal((NULL_SETS, size)) for size in sizes])


def levene_statistic(groups: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Levene's statistic about means, over the last axis of each group; NaN where no group varies.

    It is the F ratio of a one-way analysis of the absolute deviations. By hand, because scipy.stats, which has it too,
    takes longer to import than all else that an analysis needs.
    """
    deviations = [np.abs(g - g.mean(axis=-1, keepdims=True)) for g in groups]
    sizes = [d.shape[-1] for d in deviations]
    means = [d.mean(axis=-1) for d in deviations]
    whole = sum(n * m for n, m in zip(sizes, means, strict=True)) / sum(sizes)
    between = sum(n * (m - whole) ** 2 for n, m in zip(sizes, means, strict=True))
    within = sum(((d - m[..., None]) ** 2).sum(axis=-1) for d, m in zip(deviations, means, strict=True))
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.divide(between, within) * (sum(sizes) - len(sizes)) / (len(sizes) - 1)
    return np.asarray(ratio, dtype=np.float64)
