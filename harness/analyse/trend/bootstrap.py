"""Seeded hierarchical bootstrap: seeds within architectures, crossings within their intervals, a frontier per draw.

Resampling n seeds and placing each crossing uniformly in its interval draws n independent values from one mixture,
F = mean over seeds of Uniform(low, high), with the censored seeds as mass at infinity. So the resampled median is
F^-1 of an order statistic of n uniforms, and that is a beta variate: exact, and its cost does not grow with n. The
architectures themselves are not resampled: they are the history, not a sample from it.
"""

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.analyse.evidence.cost import Costs
from harness.analyse.trend.line import frontier_slopes, halving_interval

DRAWS = 10_000
CONFIDENCE = 0.95
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Mixture:
    """F of one architecture. `values` (breakpoints,) rises, `levels` (breakpoints,) is F there, in units of seeds;
    `size` seeds in all, of which `size - levels[-1]` are censored."""

    values: Floats
    levels: Floats
    size: int


def mixture(costs: Costs) -> Mixture:
    """The piecewise linear distribution of a drawn cost; n log n in the number of seeds."""
    low, high = costs.low[~costs.censored], costs.high[~costs.censored]
    high = np.maximum(high, low + np.maximum(np.abs(low), 1e-300) * 1e-12)  # an exact cost is a very narrow interval
    density = 1 / (high - low)
    edges = np.concatenate([low, high])
    change = np.concatenate([density, -density])
    order = np.argsort(edges, kind="stable")
    edges, change = edges[order], change[order]
    slope = np.cumsum(change)
    levels = np.concatenate([[0.0], np.cumsum(slope[:-1] * np.diff(edges))]) if len(edges) else np.empty(0)
    # Rounding of the running sums is undone at the end, where the level is known: every reached seed counts one.
    levels = np.maximum.accumulate(levels * (len(low) / levels[-1])) if len(levels) else levels
    return Mixture(edges, levels, len(costs))


def draw_medians(costs: Costs, draws: int, rng: np.random.Generator) -> Floats:
    """Medians over resampled seeds, (draws,); inf where more than half of a resample is censored."""
    f = mixture(costs)
    n = f.size
    k = (n + 1) // 2
    uniform = rng.beta(k, n - k + 1, draws)
    middle = _inverse(f, uniform)
    if n % 2:
        return middle
    next_up = uniform + (1 - uniform) * rng.beta(1, n - k, draws)
    return (middle + _inverse(f, next_up)) / 2


def _inverse(f: Mixture, uniform: Floats) -> Floats:
    if not len(f.values):
        return np.full(len(uniform), np.inf)
    found: Floats = np.interp(uniform * f.size, f.levels, f.values, right=np.inf)
    return found


def generator(seed: int, name: str) -> np.random.Generator:
    """A stream of its own for every architecture: adding one leaves the others' intervals as they were."""
    words = np.frombuffer(hashlib.sha256(name.encode()).digest(), dtype=np.uint32)
    return np.random.default_rng([seed, *words.tolist()])


def draw_costs(costs: dict[str, Costs], draws: int, seed: int) -> Floats:
    """(draws, architectures) resampled median costs, in the order of `costs`."""
    columns = [draw_medians(seeds, draws, generator(seed, name)) for name, seeds in costs.items()]
    return np.column_stack(columns) if columns else np.empty((draws, 0))


@dataclass(frozen=True)
class Interval:
    """A percentile interval over the draws; `high` may be inf (censored). `valid` is the share of usable draws."""

    low: float
    high: float
    valid: float


def percentile(values: Floats) -> Interval | None:
    """The central 95 % of the draws; NaN draws are left out and counted, inf sorts last. None without any."""
    usable = np.sort(values[~np.isnan(values)])
    if not len(usable):
        return None
    tail = (1 - CONFIDENCE) / 2
    # Order statistics, not interpolation: between a number and infinity there is nothing to interpolate.
    low = usable[round(tail * (len(usable) - 1))]
    high = usable[round((1 - tail) * (len(usable) - 1))]
    return Interval(float(low), float(high), len(usable) / len(values))


def halving_percentile(months: Floats, draws: Floats) -> tuple[Interval | None, Floats]:
    """Interval of the halving time from draws of costs (draws, points), and the slopes behind it (draws,).

    The percentiles are taken of the slope, where the order is meant, and then turned into months.
    """
    slopes, _ = frontier_slopes(months, draws)
    slope = percentile(slopes)
    if slope is None:
        return None, slopes
    return Interval(*halving_interval(slope.low, slope.high), slope.valid), slopes
