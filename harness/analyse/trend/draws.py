"""If only the seeds were drawn again: expected costs of every architecture, many times over, and a frontier per draw.

A parametric bootstrap, as generalised pivotal quantities (Krishnamoorthy & Mathew 2003, Journal of Statistical Planning
and Inference 115, for the mean of log-normal costs). For an architecture of which s of n runs reached:

    expected cost = (mean cost of a run that reached) x exp(t) + (1 - p) / p x (mean cost of a run that missed)

t: error of the logarithm of a mean of s log-normal costs, Student's t times sqrt((exp(sd^2) - 1) / s), sd as pooled
over the architectures (`evidence/spread.py`). p: the share that reaches, Beta(s + 1/2, n - s + 1/2), the fiducial
quantity of a binomial share (Krishnamoorthy & Lee 2010, Journal of Statistical Planning and Inference 140), which is
also the posterior under Jeffreys' prior; its intervals hold the share about as often as they say, whatever n (Brown,
Cai & DasGupta 2001, Statistical Science 16). No architecture borrows it from another: the level is the reference's own,
so its share is unlike theirs. Where no run of any architecture missed, p is 1, and the intervals hold for runs that
reach.

Where the spreads are not alike, each architecture has its own. One run alone has no seeds to draw again: its cost when
it reaches lies anywhere between the look that crossed and the one before, or, where the curve was read off a plot,
anywhere that the plot's error allows; the mean of several such runs is moved as far. The architectures are not drawn
again: they are the history, not a sample from it.
"""

import hashlib
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.analyse.evidence.cost import CONFIDENCE, Costs
from harness.analyse.evidence.spread import Spread, pooled
from harness.analyse.trend.line import frontier_slopes, halving_interval

DRAWS = 10_000
LARGEST = 50.0
"""Largest error of a logarithm that is drawn: Student's t of one degree of freedom goes on to where numbers end."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Drawn:
    """values: (draws, architectures) expected costs, inf where no run reached; spread: what they were drawn with."""

    values: Floats
    spread: Spread


def draw_costs(
    costs: dict[str, Costs], plan_costs: dict[str, float], draws: int, seed: int, trend: int | None = None
) -> Drawn:
    """Expected costs drawn again, in the order of `costs`.

    plan_costs: what each whole plan costs, which is what a run that misses spends where none was seen to miss.
    trend: how many of the first architectures tell the spread, and whether any run misses (default: all).
    """
    known = list(costs.values())[:trend]
    spread = pooled(known)
    certain = not any(c.censored.any() for c in known)
    shared = _scale(generator(seed, "spread of all"), spread.freedom, draws)
    columns = [
        _draw(c, plan_costs[name], spread, shared, certain, draws, generator(seed, name)) for name, c in costs.items()
    ]
    return Drawn(np.column_stack(columns) if columns else np.empty((draws, 0)), spread)


def _draw(
    costs: Costs, plan_cost: float, spread: Spread, shared: Floats, certain: bool, draws: int, rng: np.random.Generator
) -> Floats:
    """(draws,) expected costs of one architecture.

    shared: what a pooled spread is multiplied by in each draw; certain: no run of any architecture missed.
    """
    n, s, missed = len(costs), costs.successes, costs.censored
    if not s:
        return np.full(draws, np.inf)
    high = costs.at[~missed]
    if n == 1:
        first, last = _ends(costs)
        alone: Floats = first + (last - first) * (1 - rng.random(draws))
        return alone if certain else alone + odds_of_a_miss(s, n, draws, rng) * plan_cost
    sd, scale = spread.sd, shared
    if not spread.holds and s > 1:
        own = pooled([costs])
        sd, scale = own.sd, _scale(rng, own.freedom, draws)
    error: Floats = math.sqrt(math.expm1(sd**2) / s) * rng.standard_normal(draws) * scale
    error = np.clip(error, -LARGEST, LARGEST)
    in_vain = float(costs.after[missed].mean()) if s < n else plan_cost
    drawn: Floats = float(high.mean()) * np.exp(error)
    if not certain or s < n:
        drawn += odds_of_a_miss(s, n, draws, rng) * in_vain
    if costs.within() is not None:
        first, last = _ends(costs)
        drawn *= (first + (last - first) * rng.random(draws)) / costs.expected().at
    return drawn


def _ends(costs: Costs) -> tuple[float, float]:
    """What the expected cost lies in by the looks and the error of plots; at most what the whole curves spent."""
    within = costs.within() or costs.expected()
    if costs.lowered is None or not math.isinf(within.at):
        return within.after, within.at
    return within.after, max(costs.expected().at, float(costs.lowered.after.mean()))


def odds_of_a_miss(s: int, n: int, draws: int, rng: np.random.Generator) -> Floats:
    """(draws,) runs that miss for each that reaches, (1 - p) / p, where s of n runs reached."""
    share = rng.beta(s + 0.5, n - s + 0.5, draws)
    with np.errstate(divide="ignore"):
        odds: Floats = (1 - share) / share
    return odds


def _scale(rng: np.random.Generator, freedom: int, draws: int) -> Floats:
    """(draws,) what turns normal numbers into Student's t: sqrt(freedom / chi-squared). 1 without freedom."""
    return np.sqrt(freedom / rng.chisquare(freedom, draws)) if freedom else np.ones(draws)


def generator(seed: int, name: str) -> np.random.Generator:
    """A stream of its own for every architecture."""
    words = np.frombuffer(hashlib.sha256(name.encode()).digest(), dtype=np.uint32)
    return np.random.default_rng([seed, *words.tolist()])


@dataclass(frozen=True)
class Interval:
    """A percentile interval over the draws; `high` may be inf (open). `valid` is the share of usable draws."""

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
