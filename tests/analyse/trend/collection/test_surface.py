"""The fit without a threshold, on planted data: the generator is written apart from the fit."""

import numpy as np
import pytest

from harness.analyse.trend.collection.surface import Point, fit_surface

SLOPE, GAIN = 0.35, 0.021  # logits a doubling and a month: a halving every 16.7 months


def planted(rng: np.random.Generator, *, scatter: float, networks: int = 40) -> list[Point]:
    """Networks of 2012 to 2022, of other sizes, one or two curves each; a network is better or worse than its year."""
    points = []
    for number in range(networks):
        month = rng.uniform(5, 125)
        start = rng.uniform(0, 6)
        own = rng.normal(0, scatter)
        for curve in range(1 + number % 2):
            for compute in start + np.arange(1, 9):
                value = -4 + SLOPE * compute + GAIN * month + own + rng.normal(0, scatter / 4)
                points.append(Point(f"n{number}", f"n{number}/{curve}", 1 / (1 + np.exp(-value)), compute, month))
    return points


def test_a_surface_without_scatter_comes_back() -> None:
    found = fit_surface(planted(np.random.default_rng(0), scatter=0.0), draws=50)
    assert found is not None
    assert found["logit_per_doubling"] == pytest.approx(SLOPE)
    assert found["halving_months"] == pytest.approx(SLOPE / GAIN)
    assert found["halving_interval"] == pytest.approx([SLOPE / GAIN] * 2)


def test_the_interval_covers_the_planted_truth() -> None:
    truth, covered, centres = GAIN / SLOPE, 0, []
    for seed in range(200):
        found = fit_surface(planted(np.random.default_rng(seed), scatter=0.5), draws=400, seed=seed)
        low, high = found["doublings_interval"]
        covered += low <= truth <= high
        centres.append(found["doublings_a_month"])
    assert 0.90 <= covered / 200 <= 0.99
    assert np.mean(centres) == pytest.approx(truth, rel=0.05)


def test_a_network_with_many_curves_weighs_as_one_with_one() -> None:
    points = planted(np.random.default_rng(3), scatter=0.5)
    copies = [
        Point(p.network, f"{p.curve} again {n}", *list(vars(p).values())[2:]) for p in points[:8] for n in range(9)
    ]
    assert fit_surface(points + copies, draws=10)["halving_months"] == pytest.approx(
        fit_surface(points, draws=10)["halving_months"]
    )


def test_too_little_gives_no_fit() -> None:
    few = planted(np.random.default_rng(1), scatter=0.1, networks=3)
    assert fit_surface(few) is None
    assert fit_surface([Point(f"n{n}", f"n{n}", 0.5, float(n), 3.0) for n in range(9)]) is None
