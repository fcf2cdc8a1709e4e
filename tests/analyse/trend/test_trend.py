import math

import numpy as np
import pytest
from scipy.stats import linregress

from harness.analyse.trend.line import fit, frontier, frontier_slopes, halving_interval, moore_factor

TABLE = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 10: 2.228, 30: 2.042}  # any statistics textbook


def test_frontier_is_the_cheapest_so_far_by_date() -> None:
    dates = ["2012-01-01", "2014-01-01", "2013-01-01", "2014-01-01", "2015-01-01"]
    assert frontier(dates, [8.0, 4.0, 9.0, 3.0, math.inf]) == [0, 3]


def test_fit_needs_two_distinct_dates() -> None:
    assert fit([1.0, 1.0], [2.0, 1.0]) is None
    line = fit([0.0, 10.0], [4.0, 2.0])
    assert (line.halving_months, line.halving_low) == (pytest.approx(10), None)


@pytest.mark.parametrize(("freedom", "expected"), TABLE.items())
def test_the_interval_is_a_textbooks(freedom: int, expected: float) -> None:
    x = np.arange(freedom + 2.0)
    y = 0.01 * np.random.default_rng(freedom).standard_normal(len(x)) - x
    theirs, ours = linregress(x, y), fit(x.tolist(), (2**y).tolist())
    margin = expected * theirs.stderr
    assert (ours.slope, ours.intercept) == pytest.approx((theirs.slope, theirs.intercept))
    ends = -1 / (theirs.slope - margin), -1 / (theirs.slope + margin)
    assert (ours.halving_low, ours.halving_high) == pytest.approx(ends, rel=1e-5)


def test_an_interval_of_slopes_across_zero_is_open() -> None:
    assert halving_interval(-0.1, 0.02) == (10.0, math.inf)
    assert halving_interval(-0.1, -0.05) == (10.0, 20.0)


def test_moore() -> None:
    assert moore_factor(84) == pytest.approx(11.3, abs=0.05)


def test_slopes_of_all_draws_at_once_are_those_of_one_at_a_time() -> None:
    rng = np.random.default_rng(3)
    x = np.array([0.0, 5.0, 5.0, 12.0, 20.0, 31.0])
    draws = rng.lognormal(size=(200, 6))
    draws[rng.random(draws.shape) < 0.2] = np.inf
    slopes, numbers = frontier_slopes(x, draws)
    for row, slope, number in zip(draws, slopes, numbers, strict=True):
        chosen = frontier([f"{v:04.0f}" for v in x], list(row))
        line = fit([x[i] for i in chosen], [row[i] for i in chosen])
        assert number == len(chosen)
        assert math.isnan(slope) if line is None else slope == pytest.approx(line.slope)
