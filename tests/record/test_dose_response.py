"""E90 of planted runs: each needs its own number of epochs, drawn here and known to no other code."""

import math

import numpy as np
import pytest
from scipy.stats import binom, binomtest, chi2, norm

from harness.record.dose_response import Tried, fit, tally


def planted(
    e90: float, spread: float, lengths: list[int], seeds: int, rng: np.random.Generator
) -> list[tuple[int, bool]]:
    """Runs of a design: every run draws the epochs that it needs, log-normal, a tenth of them above `e90`."""
    median = e90 / math.exp(1.2815515655446004 * spread)
    return [(n, bool(rng.lognormal(math.log(median), spread) <= n)) for n in lengths for _ in range(seeds)]


@pytest.mark.parametrize(
    ("e90", "spread", "lengths"),
    [
        (12.0, 0.4, [4, 6, 8, 10, 12, 16, 20]),
        (62.0, 0.2, [30, 40, 50, 60, 70, 80, 90]),
        (9.0, 0.6, [2, 3, 4, 6, 9, 12, 18]),
    ],
)
def test_the_interval_covers_a_planted_e90_as_often_as_it_says(e90: float, spread: float, lengths: list[int]) -> None:
    rng = np.random.default_rng(20)
    found = [fit(tally(planted(e90, spread, lengths, 5, rng))) for _ in range(200)]
    assert 0.90 <= np.mean([f.low <= e90 <= f.high for f in found]) <= 0.995
    known = [f.e90 for f in found if f.e90 is not None]
    assert len(known) > 150
    assert np.median(known) == pytest.approx(e90, rel=0.15)


def test_many_runs_find_e90_itself() -> None:
    rng = np.random.default_rng(3)
    found = fit(tally(planted(12.0, 0.3, [6, 8, 10, 12, 14], 3000, rng)))
    assert found.e90 == pytest.approx(12, rel=0.02)
    assert 11.5 < found.low < found.e90 < found.high < 12.5


@pytest.mark.parametrize(
    ("tried", "case", "says"),
    [
        ([(5, 3, 3)], "all", "every run succeeds"),
        ([(5, 3, 0)], "none", "no run succeeds"),
        ([(5, 3, 1)], "single", "alone were tried"),
        ([(2, 3, 2), (4, 3, 1)], "level", "do not succeed more often"),
    ],
)
def test_runs_without_an_estimate_say_why_in_words(tried: list[tuple[int, int, int]], case: str, says: str) -> None:
    found = fit(Tried(*row) for row in tried)
    assert (found.case, found.e90) == (case, None)
    assert says in found.words
    assert "inf" not in found.words
    assert "nan" not in found.words


def test_open_ends_are_words() -> None:
    assert "no upper end" in fit([Tried(5, 9, 0)]).words
    assert "no lower end" in fit([Tried(5, 40, 40)]).words
    assert "neither end is known" in fit([Tried(5, 3, 3)]).words


def test_runs_that_no_length_mixes_have_an_estimate_in_the_gap_and_an_interval_around_it() -> None:
    """By maximum likelihood a step fits best, which has no number and no width."""
    found = fit([Tried(2, 6, 0), Tried(3, 6, 6)])
    assert 2 < found.low < found.e90 < 3 < found.high < 6
    assert fit([Tried(2, 6, 0), Tried(4, 6, 3)]).words.count("beyond the plans tried (2 to 4 epochs)") == 1


def test_the_peak_is_that_of_the_likelihood_times_jeffreys_prior() -> None:
    """Summed on a grid of both unknowns, by formulas of this file: the determinant of the information is numpy's."""
    tried = [(4, 20, 3), (6, 20, 11), (9, 20, 18)]
    x = np.log([n for n, _, _ in tried])
    runs, good = (np.array([row[i] for row in tried]) for i in (1, 2))

    lengths, slopes = np.geomspace(5, 40, 400), np.geomspace(0.2, 10, 200)
    z = 1.2815515655446004 + slopes[:, None] * (x - np.log(lengths)[:, None, None])  # (lengths, slopes, plans)
    p = norm.cdf(z)
    design = np.column_stack([np.ones(3), x])
    information = design.T @ ((runs * norm.pdf(z) ** 2 / (p * (1 - p)))[..., None] * design)
    table = (binom.logpmf(good, runs, p).sum(axis=-1) + np.linalg.slogdet(information)[1] / 2).max(axis=1)
    found = fit(Tried(*row) for row in tried)
    assert found.e90 == pytest.approx(lengths[table.argmax()], rel=0.01)
    within = lengths[table > table.max() - chi2.ppf(0.95, 1) / 2]
    assert (found.low, found.high) == pytest.approx((within[0], within[-1]), rel=0.02)


@pytest.mark.parametrize(("runs", "succeeded"), [(9, 0), (40, 40), (3, 3), (3, 0), (3, 1), (20, 14)])
def test_plans_of_one_length_bound_e90_as_an_exact_test_of_the_share_does(runs: int, succeeded: int) -> None:
    low, high = binomtest(succeeded, runs).proportion_ci(0.95, method="exact")
    found = fit([Tried(5, runs, succeeded)])
    assert (found.low, found.high) == (5 if high < 0.9 else 0, 5 if low > 0.9 else math.inf)


def test_the_order_of_runs_says_nothing() -> None:
    runs = planted(10.0, 0.4, [5, 8, 11], 6, np.random.default_rng(1))
    assert fit(tally(runs)) == fit(tally(runs[::-1]))


def test_no_run_is_refused() -> None:
    with pytest.raises(ValueError, match="no run"):
        fit([])
