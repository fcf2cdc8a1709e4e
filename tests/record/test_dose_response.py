"""E90 of planted runs: each needs its own number of epochs, drawn here and known to no other code."""

import math

import numpy as np
import pytest

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
        ([(2, 3, 0), (3, 3, 3)], "separated", "between 2 epochs, where no run succeeds, and 3"),
        ([(2, 3, 0), (4, 3, 1), (8, 3, 3)], "step", "between 4 epochs, where some runs succeed, and 8"),
        ([(2, 3, 0), (4, 3, 1)], "step", "the longest plan tried"),
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


def test_separated_runs_keep_an_interval_around_the_gap() -> None:
    found = fit([Tried(2, 6, 0), Tried(3, 6, 6)])
    assert found.low == pytest.approx(2, rel=0.001)  # a step may lie right behind the last failure
    assert 3 < found.high < 6


def test_the_order_of_runs_says_nothing() -> None:
    runs = planted(10.0, 0.4, [5, 8, 11], 6, np.random.default_rng(1))
    assert fit(tally(runs)) == fit(tally(runs[::-1]))


def test_no_run_is_refused() -> None:
    with pytest.raises(ValueError, match="no run"):
        fit([])
