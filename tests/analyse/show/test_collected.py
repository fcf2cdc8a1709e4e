"""The pages of the published ImageNet curves follow from what is committed, and say what the numbers say."""

import json
import shutil
from pathlib import Path

import pytest

from harness.analyse.show import collected
from harness.analyse.show.figures.collected import collected_trend
from harness.analyse.show.replay import replay
from harness.analyse.show.words import number
from harness.paths import ROOT
from harness.record.units import paper_pflop
from results import imagenet_trend

FOLDER = ROOT / "results" / "imagenet_curves"
DOCUMENT = json.loads((FOLDER / "collection.json").read_text(encoding="utf-8"))


def test_every_page_and_figure_comes_again_byte_for_byte(tmp_path: Path) -> None:
    for png in FOLDER.glob("*.png"):  # one that looks the same is left as it is: see `save` of the canvas
        shutil.copy(png, tmp_path)
    imagenet_trend.main(tmp_path)
    made = {path.name for path in tmp_path.iterdir()}
    figures = ("trend", "trend_top1_56", "trend_top5", "thresholds", "three_trends")
    assert {"TABLE.md", "collection.json", *(f"{name}.svg" for name in figures)} <= made
    for name in sorted(made):
        assert (tmp_path / name).read_bytes() == (FOLDER / name).read_bytes(), f"make results renews {name}"


@pytest.mark.parametrize(
    ("metric", "level", "model", "epochs", "forward_macs"),
    [  # epochs read off the logs by hand, MACs of torchvision's weights metadata
        ("top1", 0.56522, "alexnet", 90, 714_188_480),
        ("top1", 0.56522, "vgg16", 13, 15_470_264_320),
        ("top1", 0.56522, "resnet18", 31, 1_814_073_344),
        ("top5", 0.791, "vgg16", 11, 15_470_264_320),
        ("top5", 0.791, "mobilenet_v2", 12, 300_774_272),
    ],
)
def test_a_cost_worked_out_by_hand(metric: str, level: float, model: str, epochs: int, forward_macs: int) -> None:
    row = next(r for r in collected.view_of(DOCUMENT, metric, level)["rows"] if r["model"] == model)
    assert row["epochs"] == epochs
    assert row["cost"] == pytest.approx(paper_pflop(epochs * 1_281_167 * forward_macs))


def test_no_network_is_drawn_over_the_frontier() -> None:
    picture = collected_trend(collected.view_of(DOCUMENT, "top1", 0.56), replay())
    marks = [line.get_marker() for line in picture.figure.axes[0].lines if line.get_markersize() == 7]
    assert {"s", "o"} <= set(marks)
    assert max(at for at, mark in enumerate(marks) if mark == "s") < marks.index("o")


def test_findings_quote_the_document() -> None:
    text = "\n".join(collected.findings(DOCUMENT))
    for level in (0.56522, 0.56):
        factor = collected.view_of(DOCUMENT, "top1", level)["trend"]["reduction_factor"]
        assert f"{number(factor)}x" in text
    assert "ResNet-50 15 to 43" in text
    spread = {r["model"]: (r["low"], r["high"]) for r in DOCUMENT["recipes"]}
    assert (spread["resnet18"], spread["resnet50"]) == ((31, 71), (15, 43))


def test_a_digitised_crossing_carries_its_error() -> None:
    assert [a["epochs"]["top1 56.4"] for a in DOCUMENT["alexnet"]] == [79, 77]  # read off the logs by hand
    rows = {row["curve"]: row for view in DOCUMENT["views"] for row in view["rows"] if row["digitised"]}
    assert rows
    own = DOCUMENT["alexnet"]
    assert all(a["pflop_interval"]["top1 56.522"][1] is None for a in own)  # 56.53 and 56.58, give or take 0.06
    for a in own:
        low, high = (end / a["pflop_an_epoch"] for end in a["pflop_interval"]["top5 79.1"])
        assert low < a["epochs"]["top5 79.1"] <= high
