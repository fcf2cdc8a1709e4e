"""The frontier by publication date and the line through it: halving time, factor, Moore's law over the same span."""

import math
from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from harness.record.units import MOORE_DOUBLING_MONTHS

DAYS_PER_MONTH = 365.25 / 12


def months(day: str) -> float:
    """Months of an ISO date since the first of 2012, in mean months of 30.4375 days; raises ValueError."""
    return (date.fromisoformat(day) - date(2012, 1, 1)).days / DAYS_PER_MONTH


def frontier(dates: list[str], costs: list[float]) -> list[int]:
    """Indices of the points that were the cheapest so far when published, by date; inf (censored) never is.

    Of several on one date only the cheapest can be.
    """
    best, chosen = math.inf, []
    for index in sorted(range(len(dates)), key=lambda i: (dates[i], costs[i])):
        if costs[index] < best:
            best = costs[index]
            chosen.append(index)
    return chosen


@dataclass(frozen=True)
class Line:
    """log2(cost) = intercept + slope x months. halving_months is negative where costs grow, inf where they are level.

    `halving_low`, `halving_high`: the ordinary 95 % interval of least squares (Student's t on points - 2 degrees of
    freedom), None with two points. An interval of slopes that contains 0 has halving_high = inf.
    """

    slope: float
    intercept: float
    halving_months: float
    halving_low: float | None
    halving_high: float | None


def halving(slope: float) -> float:
    """Months per halving of a slope in doublings a month; inf for a level line."""
    return math.inf if slope == 0 else -1 / slope


def fit(x_months: list[float], costs: list[float], confidence: float = 0.95) -> Line | None:
    """Ordinary least squares of log2(cost) on the date, as the study fits; None with fewer than two distinct dates.

    With u = x - mean x: slope = sum u y / sum u^2, its interval slope +- t s / sqrt(sum u^2), where s^2 is the residual
    sum of squares over points - 2 and t Student's. It assumes errors about the line that are normal, alike and
    independent; the cheapest so far are not quite that, and results/coverage says how often it holds the truth.
    """
    if len(set(x_months)) < 2:
        return None
    x, y = np.asarray(x_months), np.log2(np.asarray(costs))
    dx = x - x.mean()
    slope = float((dx * y).sum() / (dx * dx).sum())
    intercept = float(y.mean() - slope * x.mean())
    low = high = None
    if (freedom := len(x) - 2) > 0:
        residual = y - intercept - slope * x
        error = math.sqrt(float((residual**2).sum()) / freedom / float((dx * dx).sum()))
        margin = float(stdtrit(freedom, (1 + confidence) / 2)) * error
        low, high = halving_interval(slope - margin, slope + margin)
    return Line(slope, intercept, halving(slope), low, high)


def halving_interval(slope_low: float, slope_high: float) -> tuple[float, float]:
    """Halving months of an interval of slopes; the upper end is inf where it reaches level or rising costs."""
    if slope_low >= 0:
        return halving(slope_high), halving(slope_low)
    return halving(slope_low), math.inf if slope_high >= 0 else halving(slope_high)


def moore_factor(span_months: float) -> float:
    """What hardware gained over the same span by Moore's law (one doubling in two years)."""
    return float(2 ** (span_months / MOORE_DOUBLING_MONTHS))


def frontier_slopes(
    x_months: NDArray[np.float64], costs: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Slope of the frontier's line in every draw at once.

    x_months: (points,); costs: (draws, points), inf where censored. Returns slopes (draws,), NaN with fewer than two
    frontier points, and the number of frontier points (draws,). Points of one date count as one, the cheapest.
    """
    dates, column = np.unique(x_months, return_inverse=True)
    cheapest = np.full((len(costs), len(dates)), np.inf)
    for point, date_index in enumerate(column):
        np.minimum(cheapest[:, date_index], costs[:, point], out=cheapest[:, date_index])
    before = np.minimum.accumulate(cheapest, axis=1)
    chosen = np.isfinite(cheapest)
    chosen[:, 1:] &= cheapest[:, 1:] < before[:, :-1]
    number = chosen.sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        y = np.where(chosen, np.log2(np.where(chosen, cheapest, 1.0)), 0.0)
        x_mean = (chosen * dates).sum(axis=1) / number
        y_mean = y.sum(axis=1) / number
        dx = np.where(chosen, dates[None, :] - x_mean[:, None], 0.0)
        slopes = (dx * (y - y_mean[:, None])).sum(axis=1) / (dx * dx).sum(axis=1)
    slopes[number < 2] = np.nan
    return slopes, number
