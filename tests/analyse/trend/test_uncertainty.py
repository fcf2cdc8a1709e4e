"""The bootstrap against planted truths: what its intervals cover, and what dropping censored runs would do."""

import math

import numpy as np
import pytest

from harness.analyse.evidence.cost import Costs
from harness.analyse.evidence.groups import Group
from harness.analyse.evidence.ladder import ladder
from harness.analyse.trend import bootstrap
from harness.analyse.trend.headline import draw_all, with_intervals
from harness.record.target import Target
from tests.analyse.synthetic import TARGET, Made, curve_reaching, day, trial

HALVING_MONTHS = 16.0
REPETITIONS = 200


def planted(rng: np.random.Generator, *, seeds: int, noise: float, epochs: list[float], budgets: list[float]) -> Group:
    """Eight architectures whose true median costs halve every 16 months, and three that are never on the frontier.

    Epochs to target scatter log-normally around their true median; the run is looked at once an epoch and ends at
    `budgets` x the true median, so the seeds that need longer are censored.
    """
    made = []
    for step in range(8):
        truth, budget = epochs[step % len(epochs)], budgets[step]
        for seed in range(seeds):
            needed = math.ceil(truth * math.exp(noise * rng.standard_normal()))
            allowed = math.ceil(truth * budget)
            missed = needed > allowed
            made.append(
                Made(
                    model="alexnet" if step == 0 else f"net{step}",
                    published=day(step * HALVING_MONTHS),
                    seed=seed,
                    # A true median cost of 2^-step: fewer epochs, costlier images.
                    forward_macs=round(1e12 * 2.0**-step / truth),
                    accuracies=[0.3] * allowed if missed else [0.3] * (needed - 1) + [0.5],
                    outcome="budget_exhausted" if missed else "reached",
                )
            )
    for step in (1, 3, 5):
        made += [
            Made(
                f"heavy{step}", curve_reaching(9 + seed), day(step * HALVING_MONTHS + 1), seed, round(1e12 * 2.0**-step)
            )
            for seed in range(seeds)
        ]
    trials = [trial(m) for m in made]
    return Group(trials[0].dataset, Target.from_dict(TARGET), 1, trials)


def interval(group: Group, seed: int, *, drop_censored: bool = False) -> tuple[float, float]:
    trials = [t for t in group.trials if t.outcome == "reached"] if drop_censored else group.trials
    rungs, _, _ = ladder(Group(group.dataset, group.target, 1, trials))
    drawn = draw_all(rungs, group.target, "paper_pflop", 1000, seed)
    low, high = with_intervals(rungs, group.target, "paper_pflop", drawn)["halving_interval"]
    return low, math.inf if high is None else high


def coverage(**scenario: object) -> tuple[float, float]:
    """Share of repetitions whose interval holds the truth, with censored runs kept and with them dropped."""
    rng, kept, dropped = np.random.default_rng(7), 0, 0
    for repetition in range(REPETITIONS):
        group = planted(rng, **scenario)
        low, high = interval(group, repetition)
        kept += low <= HALVING_MONTHS <= high
        low, high = interval(group, repetition, drop_censored=True)
        dropped += low <= HALVING_MONTHS <= high
    return kept / REPETITIONS, dropped / REPETITIONS


NEVER = [3.0] * 8
LATER_ONES_OFTEN = [3.0, 3.0, 1.3, 1.3, 1.1, 1.1, 1.05, 1.02]


def test_coverage_on_a_coarse_grid():
    kept, _ = coverage(seeds=3, noise=0.1, epochs=[20.3, 12.7, 8.4, 6.2, 4.6], budgets=NEVER)
    assert 0.90 <= kept <= 0.99


def test_coverage_with_censored_runs_and_the_bias_of_dropping_them():
    kept, dropped = coverage(seeds=5, noise=0.15, epochs=[40.3, 32.7, 28.4, 26.2, 24.5], budgets=LATER_ONES_OFTEN)
    assert 0.90 <= kept <= 0.99
    assert dropped < 0.85, "dropping the seeds that missed makes later architectures look cheap"


def several(*pairs: tuple[float, float]) -> Costs:
    low, high = zip(*pairs, strict=True)
    return Costs(np.array(low, dtype=float), np.array(high, dtype=float))


def test_drawing_from_the_mixture_is_the_same_as_resampling_one_seed_at_a_time():
    costs = several((1, 2), (1.5, 2.5), (4, 5), (4, 8), (9, math.inf))
    fast = bootstrap.draw_medians(costs, 200_000, np.random.default_rng(1))
    rng = np.random.default_rng(2)
    low, high = costs.low, costs.high
    pick = rng.integers(0, 5, (200_000, 5))
    with np.errstate(invalid="ignore"):
        drawn = np.where(np.isinf(high[pick]), np.inf, low[pick] + rng.random(pick.shape) * (high - low)[pick])
    slow = np.median(drawn, axis=1)
    assert np.isinf(fast).mean() == pytest.approx(np.isinf(slow).mean(), abs=0.003)
    for q in (0.05, 0.25, 0.5, 0.75, 0.9):
        assert np.quantile(fast, q, method="lower") == pytest.approx(np.quantile(slow, q, method="lower"), abs=0.05)


def test_an_even_number_of_seeds_takes_the_mean_of_the_middle_two():
    drawn = bootstrap.draw_medians(several((1, 1), (3, 3)), 20_000, np.random.default_rng(1))
    assert {round(float(v), 6) for v in drawn} == {1.0, 2.0, 3.0}
    assert np.mean(np.isclose(drawn, 2.0)) == pytest.approx(0.5, abs=0.02)


def test_all_censored_is_infinite_and_an_exact_cost_stays_exact():
    rng = np.random.default_rng(1)
    assert np.isinf(bootstrap.draw_medians(several(*[(5, math.inf)] * 3), 100, rng)).all()
    assert bootstrap.draw_medians(several((7, 7)), 100, rng) == pytest.approx(7)


def test_an_architecture_more_leaves_the_draws_of_the_others_as_they_were():
    costs = {"a": several((1, 2), (2, 3)), "b": several((3, 4))}
    alone = bootstrap.draw_costs({"a": costs["a"]}, 100, 0)[:, 0]
    assert (bootstrap.draw_costs(costs, 100, 0)[:, 0] == alone).all()


def test_ten_thousand_draws_over_25_architectures_and_5_seeds():
    rng = np.random.default_rng(0)
    costs = {f"net{a}": several(*((c - 1, c) for c in 20 + 5 * rng.random(5))) for a in range(25)}
    drawn = bootstrap.draw_costs(costs, 10_000, 0)
    found, _ = bootstrap.halving_percentile(np.arange(25.0), drawn)
    assert drawn.shape == (10_000, 25)
    assert found is not None


def test_a_censored_reference_gives_factors_that_are_at_least():
    runs = [Made("alexnet", [0.3] * 30, seed=s, outcome="budget_exhausted", forward_macs=8_000_000) for s in range(3)]
    runs += [Made("net1", curve_reaching(10), published=day(30), seed=s) for s in range(3)]
    trials = [trial(m) for m in runs]
    group = Group(trials[0].dataset, Target.from_dict(TARGET), 1, trials)
    rungs, _, _ = ladder(group)
    found = with_intervals(rungs, group.target, "paper_pflop", draw_all(rungs, group.target, "paper_pflop", 500, 0))
    assert found["reference_censored"]
    assert found["reduction_factor"] == pytest.approx(30 * 8 / 10)


def test_a_reference_that_misses_in_some_draws_leaves_its_side_of_the_intervals_open():
    """Two of three AlexNet seeds reach: a quarter of the resamples has a censored median, more than one tail."""
    runs = [Made("alexnet", curve_reaching(20), seed=s, forward_macs=8_000_000) for s in range(2)]
    runs.append(Made("alexnet", [0.3] * 30, seed=2, outcome="budget_exhausted", forward_macs=8_000_000))
    runs += [Made("net1", curve_reaching(10), published=day(30), seed=s) for s in range(3)]
    trials = [trial(m) for m in runs]
    group = Group(trials[0].dataset, Target.from_dict(TARGET), 1, trials)
    rungs, _, _ = ladder(group)
    drawn = draw_all(rungs, group.target, "paper_pflop", 2000, 0)
    found = with_intervals(rungs, group.target, "paper_pflop", drawn)
    assert not found["reference_censored"]
    assert found["reference_censored_share"] == pytest.approx(7 / 27, abs=0.03)
    assert found["reference_open"]
    assert found["reduction_interval"][1] is None
    assert found["halving_interval"][0] == 0
    assert found["reduction_interval"][0] > 10
    assert found["halving_interval"][1] >= found["halving_months"]
