"""What `harness power` says against what happens: planted numbers, tested over and over by code of this file."""

import json
import math
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from harness import cli
from harness.analyse.trend.power import (
    Question,
    answers,
    factor_power,
    halving_power,
    least,
    sd_with_images,
    t_power,
)
from tests.analyse.planted import Scenario, plant
from tests.analyse.synthetic import Made, curve_reaching, day, ladder, write_runs

TRIES = 4_000


@pytest.mark.parametrize(("ratio", "sd", "architectures"), [(1.25, 0.15, 2), (1.1, 0.05, 6), (1.5, 0.3, 3)])
def test_seeds_that_are_asked_for_tell_two_costs_apart_as_often_as_said(
    ratio: float, sd: float, architectures: int
) -> None:
    seeds = least(lambda n: factor_power(ratio, sd, n, architectures), 0.8, 2)
    assert seeds is not None
    rng = np.random.default_rng(1)
    runs = sd * rng.standard_normal((TRIES, architectures, seeds))
    runs[:, 1] += math.log(ratio)
    gap = runs[:, 1].mean(axis=1) - runs[:, 0].mean(axis=1)
    freedom = architectures * (seeds - 1)
    pooled = np.sqrt(runs.var(axis=2, ddof=1).mean(axis=1))
    told = np.abs(gap) > stats.t.ppf(0.975, freedom) * pooled * np.sqrt(2 / seeds)
    assert told.mean() == pytest.approx(factor_power(ratio, sd, seeds, architectures), abs=0.03)
    assert told.mean() > 0.77
    assert seeds == 2 or factor_power(ratio, sd, seeds - 1, architectures) < 0.8


@pytest.mark.parametrize(("two", "scatter"), [((16.0, 24.0), 0.5), ((12.0, 16.0), 0.3), ((20.0, 10.0), 1.5)])
def test_architectures_that_are_asked_for_tell_two_halving_times_apart_as_often_as_said(
    two: tuple[float, float], scatter: float
) -> None:
    span = 84.0
    points = least(lambda n: halving_power(two, scatter, span, n), 0.8, 3)
    assert points is not None
    rng = np.random.default_rng(2)
    told = 0
    dates = np.linspace(0, span, points)
    for _ in range(2_000):
        fitted = stats.linregress(dates, -dates / two[0] + scatter * rng.standard_normal(points))
        told += abs(fitted.slope + 1 / two[1]) > stats.t.ppf(0.975, points - 2) * fitted.stderr
    assert told / 2_000 == pytest.approx(halving_power(two, scatter, span, points), abs=0.035)
    assert points == 3 or halving_power(two, scatter, span, points - 1) < 0.8


def test_fewer_evaluation_images_raise_the_spread_as_the_formula_says() -> None:
    """Runs whose accuracy rises with the logarithm of what they spent, each seen through images of its own."""
    rng = np.random.default_rng(3)
    level, slope, own, now = 0.7, 6.0, 0.08, 2_000
    spent = np.exp(np.linspace(-2, 2, 8_001))

    def spread(images: int) -> float:
        costs = []
        for _ in range(3_000):
            truth = level + (np.log(spent) - own * rng.standard_normal()) / slope
            error = rng.binomial(images, level) / images - level
            costs.append(spent[np.argmax(truth + error >= level)])
        return float(np.std(np.log(costs)))

    measured = spread(now)
    for images in (400, 8_000):
        assert sd_with_images(measured, slope, level, images, now) == pytest.approx(spread(images), rel=0.05)
    assert sd_with_images(0.01, slope, level, math.inf, 100) is None, "images cannot explain more than all of it"


def test_power_is_that_of_scipys_noncentral_t_and_keeps_its_bounds() -> None:
    for effect, freedom in ((0.0, 4), (1.0, 3), (2.8, 12), (4.9, 40)):
        at = stats.t.ppf(0.975, freedom)
        expected = stats.nct.sf(at, freedom, effect) + stats.nct.cdf(-at, freedom, effect)
        assert t_power(effect, freedom) == pytest.approx(expected, abs=1e-6)
    assert t_power(0.0, 9) == pytest.approx(0.05)
    rising = [t_power(effect, 6) for effect in np.linspace(0, 80, 200)]
    assert all(0 <= a <= b + 1e-9 <= 1 + 2e-9 for a, b in pairwise(rising))
    assert all(0 <= factor_power(1.25, 0.1, n, 5) <= 1 for n in (2, 3, 10, 1_000, 10_000))


def test_what_a_planted_ladder_measured_is_found_again() -> None:
    rng = np.random.default_rng(4)
    found = [answers(plant(Scenario(seeds=5, noise=0.2, scatter=0.5), rng).group, Question()) for _ in range(12)]
    assert np.mean([p["costs"]["sd_log_cost"] for p in found]) == pytest.approx(0.2, rel=0.1)
    assert max(p["costs"]["freedom"] for p in found) == 8 * 4
    lines = [line for p in found for line in p["halving"]["lines"] if line["over"] == "all architectures"]
    whole = math.sqrt(0.5**2 + (0.2 / math.log(2)) ** 2 / 5)
    assert np.sqrt(np.mean([line["scatter_doublings"] ** 2 for line in lines])) == pytest.approx(whole, rel=0.2)
    assert all(line["scatter_without_seeds"] < line["scatter_doublings"] for line in lines)
    assert all(line["architectures_endless_seeds"] <= line["architectures"] for line in lines)
    slopes = [p["costs"]["slope_ln_cost"] for p in found]
    assert np.mean(slopes) == pytest.approx(1 / 0.35, rel=0.1)


def test_evaluation_images_are_as_many_as_the_formula_asks_for_and_no_answer_has_a_reason() -> None:
    """Planted seeds scatter by a fifth; 1,000 images add a fortieth of that variance, which more images could save."""
    group = plant(Scenario(seeds=5, noise=0.2), np.random.default_rng(6)).group
    known = answers(group, Question())["costs"]

    def power(ratio: float, images: float) -> float:
        sd = sd_with_images(known["sd_log_cost"], known["slope_ln_cost"], group.target.value, images, 1_000)
        assert sd is not None
        return factor_power(ratio, sd, known["seeds_now"], known["architectures"])

    ratios = np.linspace(1.01, 3, 5_000)
    between = next(r for r in ratios if power(r, 4_000) >= 0.8)
    assert power(between, 1_000) < 0.8 < power(between, math.inf)
    for ratio, bound in ((between, "at least"), (2.0, "at most")):
        found = answers(group, Question(factor=ratio))["costs"]["images"]
        assert (found["bound"], found["reason"]) == (bound, None)
        assert power(ratio, found["count"]) >= 0.8 > power(ratio, found["count"] - 1)
    assert "no number is enough" in answers(group, Question(factor=1.01))["costs"]["images"]["reason"]
    quiet = plant(Scenario(seeds=5, noise=0.01), np.random.default_rng(7)).group
    assert "more than the whole spread" in answers(quiet, Question(factor=1.001))["costs"]["images"]["reason"]


def test_a_harder_question_asks_for_more() -> None:
    group = plant(Scenario(seeds=3, noise=0.2, scatter=0.3), np.random.default_rng(5)).group
    easy, hard = (answers(group, Question(factor=r, halving=h)) for r, h in ((1.5, (8.0, 24.0)), (1.1, (16.0, 18.0))))
    assert easy["costs"]["seeds"] < hard["costs"]["seeds"]
    assert easy["halving"]["lines"][1]["architectures"] < hard["halving"]["lines"][1]["architectures"]
    surer = answers(group, replace(Question(), power=0.95))
    assert surer["costs"]["seeds"] > answers(group, Question())["costs"]["seeds"]


def test_the_verb_answers_in_words_and_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [replace(m, accuracies=curve_reaching(18 + 2 * m.seed + step % 2)) for step, m in enumerate(ladder(steps=5))]
    write_runs(tmp_path, runs)
    assert cli.main(["power", str(tmp_path), "--json", "--factor", "1.4", "--halving-months", "12", "18"]) == 0
    (found,) = json.loads(capsys.readouterr().out)["groups"]
    assert (found["costs"]["ratio"], found["halving"]["months"], found["power"]) == (1.4, [12, 18], 0.8)
    assert cli.main(["power", str(tmp_path), "--factor", "1.4", "--halving-months", "12", "18"]) == 0
    said = capsys.readouterr().out
    assert "1.40x apart" in said
    assert "Halving times of 12.0 and 18.0 months" in said
    assert f"{found['costs']['seeds']}" in said
    assert "evaluation images that it takes with 3 seeds each: " in said
    assert "over seeds from 10 degrees of freedom" in said
    assert "chance of 80%" in said
    assert max(map(len, said.splitlines()[2:])) <= 120


def test_records_too_few_to_say_get_one_clear_line_each(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_runs(tmp_path, [Made("alexnet", curve_reaching(9)), Made("net1", curve_reaching(5), day(20))])
    assert cli.main(["power", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert said.count("not known: no architecture has two runs that reached") == 1
    assert "run a second seed" in said
    assert said.count("a line's scatter needs three architectures that reached") == 2
    assert "nan" not in said
    assert "None" not in said


def test_runs_that_never_reach_are_too_few_as_well(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_runs(tmp_path, [Made("alexnet", [0.3] * 4, seed=seed, outcome="budget_exhausted") for seed in range(3)])
    assert cli.main(["power", str(tmp_path)]) == 0
    assert "there are 0" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--factor", "1"], "above 1"),
        (["--factor", "nan"], "above 1"),
        (["--halving-months", "16", "16"], "two different numbers"),
        (["--halving-months", "0", "16"], "above 0"),
        (["--power", "1"], "below 1"),
        (["--power", "0.01"], "above 0.05"),
    ],
)
def test_no_question_is_refused_in_one_line(
    words: list[str], says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["power", str(tmp_path), *words]) == 2
    said = capsys.readouterr().err
    assert says in said
    assert said.count("\n") == 1
