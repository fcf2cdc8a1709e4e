"""The design of a search, played against planted landscapes: every run needs its own number of epochs, drawn here."""

import math

import numpy as np
import pytest

from harness.measure.sweep.design import SPAN, Ask, Rule, Stop, next_step
from harness.record.dose_response import Fit, fit, tally
from harness.record.errors import BadInput
from tests.measure.sweep.landscape import Known, play


def found(known: Known) -> Fit:
    return fit(tally(known))


@pytest.mark.parametrize(
    ("longest", "e90", "spread"),
    [(40, 12.0, 0.6), (40, 12.0, 0.4), (90, 62.0, 0.1), (90, 20.0, 0.3)],
    ids=["widest", "wide", "narrow", "middle"],
)
def test_the_interval_of_a_whole_search_covers_a_planted_e90(longest: int, e90: float, spread: float) -> None:
    rng = np.random.default_rng(24)
    fits = [found(play(Rule(1, longest), e90, spread, rng)[0]) for _ in range(200)]
    assert 0.90 <= np.mean([f.low <= e90 <= f.high for f in fits]) <= 0.99
    points = [f.e90 for f in fits if f.e90 is not None]
    assert len(points) > 100
    assert np.median(points) == pytest.approx(e90, rel=0.1)


def test_it_halves_from_the_longest_plan_until_most_of_a_block_fail_then_spreads() -> None:
    rule = Rule(1, 40)
    known, stop = play(rule, 12, 0.001, np.random.default_rng(0))
    assert len(known) == rule.runs
    assert stop.reason == "all 30 runs are made"
    lengths = [epochs for epochs, _ in known[:: rule.seeds]]
    assert lengths[:3] == [40, 20, 10]
    assert lengths[3:] == sorted(lengths[3:])
    assert 10 < lengths[3] < lengths[-1] == SPAN * 10
    steps = np.diff(np.log(lengths[2:]))
    assert np.ptp(steps) < 0.1, "even in log length, but for whole epochs"


def test_a_narrow_interval_stops_nothing() -> None:
    """Stopping there would choose the searches whose runs happen to agree."""
    rule = Rule(1, 90, seeds=3, runs=60)
    known, _ = play(rule, 62, 0.02, np.random.default_rng(0))
    assert len(known) == 60


def test_where_all_fail_it_stops_at_the_longest_plan_and_says_so() -> None:
    known, stop = play(Rule(1, 40), 1000, 0.2, np.random.default_rng(0))
    assert {epochs for epochs, _ in known} == {40}
    assert len(known) < 30
    assert "above 40 epochs" in stop.reason
    assert found(known).low >= 40
    assert "no upper end" in found(known).words


def test_where_some_fail_it_goes_on_at_the_longest_plan() -> None:
    """2 of 3 failures are too few to say that fewer than nine of ten would succeed."""
    known: Known = [(40, True), (40, False), (40, False)]
    assert next_step(known, Rule(1, 40)) == Ask(40, range(3, 6))
    assert isinstance(next_step([*known, *[(40, False)] * 3], Rule(1, 40)), Stop)


def test_where_all_succeed_it_goes_down_to_the_shortest_plan_and_says_so() -> None:
    known, stop = play(Rule(4, 40), 0.5, 0.2, np.random.default_rng(0))
    assert [epochs for epochs, _ in known[::3]][:5] == [40, 20, 10, 5, 4]
    assert stop.reason == "all 30 runs are made"
    result = found(known)
    assert (result.case, result.low) == ("all", 0)
    assert "every run succeeds, also with 4 epochs" in result.words
    assert max(epochs for epochs, _ in known[15:]) == 4 * SPAN


def test_few_runs_may_all_go_into_halving() -> None:
    known, stop = play(Rule(1, 90, seeds=3, runs=6), 2, 0.2, np.random.default_rng(0))
    assert [epochs for epochs, _ in known[::3]] == [90, 45]
    assert stop.reason == "all 6 runs are made"


def test_asking_again_goes_on_where_it_was() -> None:
    rule = Rule(1, 40)
    known, _ = play(rule, 9, 0.3, np.random.default_rng(5))
    for done in range(0, len(known), rule.seeds):
        step = next_step(known[:done], rule)
        assert step == Ask(known[done][0], range(done, done + rule.seeds))


def test_every_plan_lies_in_the_range() -> None:
    rng = np.random.default_rng(8)
    for _ in range(50):
        shortest = int(rng.integers(1, 20))
        rule = Rule(shortest, shortest + int(rng.integers(1, 60)), seeds=int(rng.integers(1, 5)), runs=24 * 5)
        if rule.runs % rule.seeds:
            continue
        known, _ = play(rule, float(rng.uniform(1, 80)), float(rng.uniform(0.01, 1)), rng)
        assert all(rule.shortest <= epochs <= rule.longest for epochs, _ in known)
        assert math.isfinite(found(known).low)


@pytest.mark.parametrize(
    ("numbers", "names"),
    [
        ((5, 4, 3, 30), "budget.epochs"),
        ((4, 4, 3, 30), "budget.epochs"),
        ((0, 4, 3, 30), "--min-epochs"),
        ((1, 4, 0, 30), "--seeds 0"),
        ((1, 4, 3, 3), "at least 6"),
        ((1, 4, 3, 31), "multiple of --seeds 3"),
    ],
)
def test_an_impossible_rule_is_refused_with_its_remedy(numbers: tuple[int, int, int, int], names: str) -> None:
    with pytest.raises(BadInput, match=names):
        Rule(*numbers)
