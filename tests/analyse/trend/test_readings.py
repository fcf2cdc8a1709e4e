"""The same costs read otherwise: the study's rule, misses at their bounds, all architectures."""

from html import unescape
from pathlib import Path

import pytest

from harness.analyse.page.page import page
from harness.analyse.page.sources import read_sources
from harness.analyse.show import aggregate, pages
from harness.analyse.trend.headline import hull, line_interval
from tests.analyse.synthetic import TARGET, Made, curve_reaching, day, ladder, write_runs

CONFIRMED = {**TARGET, "confirm": 2}


def built(tmp_path: Path, runs: list[Made]) -> dict:
    return aggregate.build(write_runs(tmp_path, runs), draws=200)


def trend(document: dict) -> dict:
    (group,) = document["groups"]
    return group["trend"]


@pytest.mark.usefixtures("empty_figures")
def test_the_studys_rule_is_the_whole_plan_over_the_median_first_crossing(tmp_path: Path) -> None:
    """AlexNet crosses at 20 of 30 planned epochs; net1's first looks at the level do not hold."""
    runs = [
        Made("alexnet", curve_reaching(20, after=1), seed=s, target=CONFIRMED, forward_macs=4 * 10**6) for s in (0, 1)
    ]
    for seed, epochs in enumerate((4, 5, 6)):
        false_start = [*curve_reaching(epochs), 0.3, 0.4, 0.5, 0.5]
        runs.append(Made("net1", false_start, day(30), seed, target=CONFIRMED))
    document = built(tmp_path, runs)
    found = trend(document)
    assert found["study_rule"]["reduction_factor"] == pytest.approx(4 * 30 / 5)
    assert found["reduction_factor"] == pytest.approx(4 * 20 / 8)  # expected, confirmed: (7 + 8 + 9) / 3
    assert found["study_rule"]["cheapest"] == "net1"
    for text in (pages.terminal(document), pages.markdown(document), page(document, read_sources(tmp_path))):
        row = unescape(text).partition("factor, the study's rule")[2]
        assert "24.0x" in row[:80]


def test_a_median_that_misses_is_no_cost_by_the_studys_rule(tmp_path: Path) -> None:
    runs = [Made("alexnet", curve_reaching(20), seed=s) for s in (0, 1)]
    runs += [Made("net1", curve_reaching(2), day(30), 0)]
    runs += [Made("net1", [0.3] * 30, day(30), s, outcome="budget_exhausted") for s in (1, 2)]
    assert trend(built(tmp_path, runs))["study_rule"]["reduction_factor"] is None


def test_a_miss_stands_at_its_bound_in_a_second_line_and_the_hull_holds_both(tmp_path: Path) -> None:
    """On the line of 16 months, the last network missed after an eighth of what the line allows."""
    cheap = Made("late", [0.3] * 30, day(5 * 16), forward_macs=100, outcome="budget_exhausted")
    found = trend(built(tmp_path, [*ladder(), cheap]))
    assert found["halving_months"] == pytest.approx(16, abs=0.02)
    bounds = found["bounds"]
    assert (bounds["missed"], bounds["frontier"][-1]) == (["late"], "late")
    assert bounds["halving_months"] < 16
    assert bounds["hull"] == [bounds["halving_months"], found["halving_months"]]
    low, _ = bounds["hull_interval"]
    assert low == min(bounds["halving_interval_ols"][0], found["halving_interval_ols"][0])


def test_where_nothing_missed_there_is_no_second_line(tmp_path: Path) -> None:
    document = built(tmp_path, ladder())
    assert trend(document)["bounds"] is None
    assert "with and without them" not in pages.markdown(document)


def test_an_open_end_leaves_the_hull_open() -> None:
    assert hull([[1.0, 2.0], [0.5, 1.5]]) == [0.5, 2.0]
    assert hull([[1.0, None], [0.5, 1.5]]) == [0.5, None]
    assert hull([[1.0, 2.0], None]) is None


def test_all_architectures_have_a_line_of_their_own_beside_the_frontiers(tmp_path: Path) -> None:
    """Each network of the frontier has a twin at its date of twice the cost: the line is the same, its place is not."""
    twins = [Made(f"{m.model}b", m.accuracies, m.published, m.seed, 2 * m.forward_macs) for m in ladder()]
    missed = Made("late", [0.3] * 30, day(20), outcome="budget_exhausted")
    (group,) = built(tmp_path, [*ladder(), *twins, missed])["groups"]
    (item,) = [i for i in group["sensitivity"] if i["change"] == "all architectures, not only the cheapest so far"]
    assert item["halving_months"] == pytest.approx(16, abs=0.05)
    assert item["reduction_factor"] is None
    low, high = item["halving_interval_ols"]
    assert low < 15
    assert high > 17
    assert item["note"] == "not reached, and left out: 1 of 11 architectures"


def test_where_a_run_missed_the_line_is_known_no_better_than_least_squares_and_seeds_together() -> None:
    found = {"halving_interval_ols": [12.0, 20.0]}
    assert line_interval(found, [10.0, 19.0], missed=False)["halving_interval_line"] == [12, 20]
    together = line_interval(found, [10.0, 19.0], missed=True)
    assert together == {"halving_interval_line": [10, 20], "line_interval_kind": "hull"}
    assert line_interval(found, [None, 25.0], missed=True)["halving_interval_line"] == [None, 25]
