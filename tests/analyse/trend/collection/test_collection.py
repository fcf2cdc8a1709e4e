"""The trend over curves that nobody planned together, on curves planted by hand."""

from dataclasses import replace

import pytest

from harness.analyse.foreign.derived import Crossed, Published
from harness.analyse.trend.collection.document import ends_of, points_of
from harness.analyse.trend.collection.levels import at_level

LEVEL = ("top1", 0.5)


def curve(name: str, published: str, cost: float | None, confirmed: bool = True, spent: float = 1000.0) -> Published:
    crossed = {}
    if cost is not None:
        later = (11, cost * 1.1) if confirmed else (None, None)
        crossed[LEVEL] = Crossed(10, cost, cost * 0.9, cost * 1.2, *later)
    model = name.partition("/")[0]
    facts = {"title": model.title(), "family": "", "averaged": False, "digitised": False, "remark": "", "repo": "a/b"}
    return Published(
        curve=name,
        model=model,
        published=published,
        metrics=("top1",),
        last_epoch=90,
        spent_pflop=spent,
        forward_macs=10**9,
        crossed=crossed,
        **facts,
    )


CURVES = [
    curve("alexnet/a", "2012-06-01", 800.0, confirmed=False),
    curve("alexnet/b", "2012-06-01", 960.0),
    curve("vgg/a", "2014-06-01", 3000.0),
    curve("mobile/a", "2016-06-01", 400.0),
    curve("mobile/b", "2016-06-01", 200.0),
    curve("late/a", "2018-06-01", None),
    curve("later/a", "2020-06-01", 50.0),
]


def test_each_network_stands_at_its_cheapest_and_the_line_goes_through_the_cheapest_so_far() -> None:
    found = at_level(CURVES, *LEVEL)
    rows = {row["model"]: row for row in found["rows"]}
    assert {model: (row["cost"], row["looked"], row["reached"]) for model, row in rows.items()} == {
        "alexnet": (800.0, 2, 2),
        "vgg": (3000.0, 1, 1),
        "mobile": (200.0, 2, 2),
        "late": (None, 1, 0),
        "later": (50.0, 1, 1),
    }
    assert found["trend"]["frontier"] == ["alexnet", "mobile", "later"]
    assert found["trend"]["reduction_factor"] == 16
    assert found["trend"]["halving_months"] == pytest.approx(24, rel=1e-3)  # a factor of 4 in four years
    assert rows["mobile"]["cost_interval"] == [180.0, 240.0]
    assert rows["late"]["cost_above"] == 1000.0


def test_a_crossing_that_no_look_confirms_is_none_and_a_missing_reference_is_a_bound() -> None:
    confirmed = at_level(CURVES, *LEVEL, rule="confirmed")
    assert confirmed["rows"][0]["cost"] == pytest.approx(1056)
    alone = at_level([CURVES[0], *CURVES[2:]], *LEVEL, rule="confirmed")
    assert alone["trend"]["reference_censored"]
    assert alone["trend"]["reference_cost"] == 1000.0
    assert alone["trend"]["reduction_factor"] == pytest.approx(1000 / 55)


def test_nobody_reaches_it() -> None:
    assert at_level(CURVES, "top1", 0.9)["trend"]["reason"] == "no network reaches it"
    assert at_level(CURVES, "top5", 0.5)["rows"] == []


def test_the_highest_level_of_a_curve_is_its_highest_whole_percent() -> None:
    """A curve that ends at 56.522 % stands at 56 in the fit without a threshold, not nowhere."""
    at = {
        ("top1", level): Crossed(10, 100 * level, 90 * level, 100 * level, None, None)
        for level in (0.55, 0.56, 0.56522)
    }
    own = replace(curve("alexnet/a", "2012-06-01", None), crossed=at)
    assert [point.accuracy for point in points_of([own])] == [0.55, 0.56]
    assert [point.accuracy for point in ends_of(points_of([own]))] == [0.56]
