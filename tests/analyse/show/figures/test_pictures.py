"""Figures as files: what can be read in them, and that they are the same when drawn again."""

import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from harness.analyse.show import aggregate
from harness.analyse.show.figures.canvas import NARROW, WIDE, Picture, new, save
from harness.analyse.show.figures.curves import held
from harness.analyse.show.figures.gallery import pictures
from harness.analyse.show.figures.thresholds import thresholds
from harness.analyse.show.figures.trend import SIDE_YEARS, side_by_side
from harness.analyse.trend.thresholds import levels_of
from harness.paths import ROOT
from tests.analyse.synthetic import Made, curve_reaching, day, ladder, write_run, write_runs


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    """The committed ladder as it was analysed."""
    return json.loads((ROOT / "results" / "fashion_mnist_protocol1" / "trend.json").read_text())


@pytest.fixture(scope="module")
def drawn(document: dict[str, Any]) -> dict[str, Picture]:
    """All its figures."""
    return pictures(document["groups"][0], document["published"])


@pytest.fixture(scope="module")
def svgs(drawn: dict[str, Picture]) -> dict[str, str]:
    """The same, as files."""
    return {name: picture.svg() for name, picture in drawn.items()}


def words_of(svg: str) -> str:
    """All text of a figure that a reader can select."""
    return " ".join("".join(e.itertext()) for e in ElementTree.fromstring(svg).iter() if e.tag.endswith("}text"))


def test_text_is_text_and_keeps_its_digits(drawn: dict[str, Picture], svgs: dict[str, str]) -> None:
    """Bars name 0.0941 GMAC: shortening the places of marks must not shorten what is written."""
    assert "ShuffleNet v2 1x" in words_of(svgs["trend"])
    for text in (svgs["split"], drawn["split"].inline("p")):
        assert "0.0941" in words_of(text)


def test_every_mark_of_the_trend_tells_its_row(document: dict[str, Any], svgs: dict[str, str]) -> None:
    titles = [e.text or "" for e in ElementTree.fromstring(svgs["trend"]).iter() if e.tag.endswith("}title")]
    rows = [r for r in document["groups"][0]["rows"] if r["in_trend"]]
    assert sorted(t.splitlines()[0] for t in titles) == sorted(
        f"{r['title']}, published {r['published']}" for r in rows
    )


def test_a_figure_carries_its_caption_with_n_unit_and_rule(drawn: dict[str, Picture], svgs: dict[str, str]) -> None:
    for name, picture in drawn.items():
        (caption,) = [e.text for e in ElementTree.fromstring(svgs[name]) if e.tag.endswith("}desc")]
        assert caption == picture.caption
    trend = drawn["trend"].caption
    assert "n = 3 to 8" in trend
    assert "PFLOP (3 x forward MACs x images / 10^15" in trend


def test_ids_on_one_page_are_unique(document: dict[str, Any]) -> None:
    drawn = pictures(document["groups"][0], document["published"], NARROW)
    ids = [i for name, picture in drawn.items() for i in re.findall(r'\bid="([^"]*)"', picture.inline(name))]
    assert len(ids) == len(set(ids))


def test_drawn_again_the_bytes_are_the_same(
    document: dict[str, Any], drawn: dict[str, Picture], svgs: dict[str, str]
) -> None:
    again = pictures(document["groups"][0], document["published"])
    assert sorted(svgs) == ["clock", "compared", "curves", "split", "thresholds", "trend"]
    assert {name: picture.svg() for name, picture in again.items()} == svgs
    assert again["trend"].png() == drawn["trend"].png()


def test_a_png_is_written_again_only_where_it_looks_different(tmp_path: Path) -> None:
    """Two processors drew a figure one level apart in 15 pixels, and `make results` changed a committed file."""
    picture = Picture(new(2, 1))
    _, png = save(picture, tmp_path, "trend")
    drawn = png.read_bytes()
    with Image.open(png) as image:
        pixels = np.asarray(image).copy()
    pixels[5, 5, 0] = 254  # paper is 255
    Image.fromarray(pixels).save(png)
    kept = png.read_bytes()
    assert kept != drawn
    save(picture, tmp_path, "trend")
    assert png.read_bytes() == kept
    pixels[5, 5, 0] = 253
    for other in (lambda: Image.fromarray(pixels).save(png), lambda: png.write_bytes(b"no picture"), png.unlink):
        other()
        save(picture, tmp_path, "trend")
        assert png.read_bytes() == drawn


def test_a_miss_is_drawn_once_as_an_open_triangle_above_its_bound(tmp_path: Path) -> None:
    runs = write_runs(tmp_path, ladder())
    write_run(runs, Made("late", [0.3] * 9, published=day(20), outcome="budget_exhausted"))
    made = aggregate.build(runs, draws=100)
    figure = pictures(made["groups"][0], made["published"])["trend"].figure
    (axes,) = figure.axes
    (triangle,) = [line for line in axes.lines if line.get_marker() == "^"]
    assert triangle.get_markerfacecolor() == "none"
    (bound,) = triangle.get_xydata()
    figure.draw_without_rendering()
    assert triangle.get_transform().transform(bound)[1] > axes.transData.transform(bound)[1]


def test_architectures_of_one_date_stand_side_by_side_the_cheapest_at_the_date(tmp_path: Path) -> None:
    """Three ResNets of one day had one bar: nobody saw whose interval it was."""
    alike = [Made(f"alike{n}", curve_reaching(5 + n), day(40), seed=s) for n in range(3) for s in range(2)]
    missed = Made("missed", [0.3] * 9, day(40), outcome="budget_exhausted")
    document = aggregate.build(write_runs(tmp_path, [*ladder(), *alike, missed]), draws=50)
    group = document["groups"][0]
    places = side_by_side([row for row in group["rows"] if row["in_trend"]])
    assert places["alike0"] < places["alike1"] < places["alike2"] < places["missed"]
    assert places["alike0"] == pytest.approx(2012 + (5 + 40) / 12, abs=0.01)
    assert places["missed"] - places["alike0"] <= SIDE_YEARS
    (axes,) = pictures(group, document["published"])["trend"].figure.axes
    assert axes.get_ylabel() == "training cost to 50 % top-1, PFLOP"


def test_thresholds_start_ten_points_above_chance(document: dict[str, Any]) -> None:
    group = document["groups"][0]
    assert min(t["level"] for t in levels_of(group, "top1")) >= 0.2
    assert min(t["level"] for t in levels_of(group, "top5")) >= 0.6
    picture = thresholds(group)
    assert picture is not None
    assert len(picture.figure.axes) == 3
    assert "79.1" not in words_of(picture.svg())


def test_the_share_of_runs_counts_every_run(tmp_path: Path) -> None:
    runs = write_runs(tmp_path, [*ladder(seeds=2), Made("late", [0.3] * 9, day(20), outcome="budget_exhausted")])
    levels = aggregate.build(runs, draws=100)["groups"][0]["thresholds"]
    at_target = next(t for t in levels if t["metric"] == "top1" and t["level"] == 0.5)
    assert (at_target["runs_reached"], at_target["runs"]) == (10, 11)


def test_a_level_is_held_only_once_the_next_evaluation_confirms_it() -> None:
    assert held([0.1, 0.6, 0.2, 0.5, 0.55, 0.7]) == [0.1, 0.2, 0.2, 0.5, 0.55, 0.55]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("width", [WIDE, NARROW])
@pytest.mark.parametrize(
    "made",
    [
        Made("a_network_of_a_very_long_name_indeed", curve_reaching(5)),
        Made("net", curve_reaching(5), title="W" * 70),
        Made("net", [0.5]),  # one cost alone
        Made("net", [0.3], outcome="budget_exhausted"),
    ],
    ids=["long name", "wide name", "one look", "one look, missed"],
)
def test_a_ladder_of_one_row_draws_without_a_warning(made: Made, width: float, tmp_path: Path) -> None:
    document = aggregate.build(write_runs(tmp_path, [made]), draws=50)
    drawn = pictures(document["groups"][0], document["published"], width)
    assert {"trend", "split", "curves", "clock"} <= set(drawn)
    assert all(picture.png() for picture in drawn.values())
    low, high = drawn["trend"].figure.axes[0].get_ylim()
    assert high > 2 * low
