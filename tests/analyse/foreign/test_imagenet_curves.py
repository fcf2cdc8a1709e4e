"""The published ImageNet curves, where they are at hand: IMAGENET_CURVES names the folder that holds index.csv."""

import csv
from pathlib import Path

import pytest

from harness import cli
from harness.paths import ROOT
from harness.record.folders.folder import read_runs
from results import imagenet_crossings

FOLDER = ROOT / "results" / "imagenet_curves"


CURVES = imagenet_crossings.curves_folder()
at_hand = pytest.mark.skipif(CURVES is None, reason="IMAGENET_CURVES names no folder with the published curves")


def table(path: Path) -> list[dict[str, str]]:
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def first_epochs(metric: str, level: str) -> dict[str, float]:
    """By file, from the committed table."""
    files = {row["curve"]: row["file"] for row in table(FOLDER / "sources.csv")}
    rows = [row for row in table(FOLDER / "crossings.csv") if (row["metric"], row["level"]) == (metric, level)]
    return {files[row["curve"]]: float(row["first_epoch"]) for row in rows}


@at_hand
@pytest.mark.parametrize(
    ("metric", "level", "column"),
    [("top1", "0.56522", "first_epoch_top1_ge_56522"), ("top5", "0.791", "first_epoch_top5_ge_791")],
)
def test_first_crossings_of_all_89_are_the_indexs_own(metric: str, level: str, column: str) -> None:
    index = table(CURVES / "index.csv")
    assert len(index) == 89
    assert first_epochs(metric, level) == {row["file"]: float(row[column]) for row in index if row[column]}


@at_hand
def test_the_committed_files_are_what_the_curves_give() -> None:
    for name, text in imagenet_crossings.derived(CURVES).items():
        assert (FOLDER / name).read_text(encoding="utf-8") == text, (
            f"python -m results.imagenet_crossings renews {name}"
        )


@at_hand
def test_all_89_come_in_with_one_command_and_pass_the_audit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["import-curves", str(CURVES / "index.csv"), "--out", str(tmp_path), "--source", "public logs"]
    command += ["--macs", str(FOLDER / "macs.csv")]
    for name in ("curves.csv", "networks.csv"):
        command += ["--join", str(FOLDER / name)]
    assert cli.main(command) == 0
    assert cli.main(["check", str(tmp_path), "--no-recount", "--curves", str(CURVES)]) == 0
    assert "89 records, 0 defects" in capsys.readouterr().err
    runs = {run.model: run for run in read_runs(tmp_path)}
    assert all(row.correct_top5 is None for row in runs["shufflenet_v2_x1_0"].curve)
    assert cli.main(["aggregate", str(tmp_path), "--metric", "top5", "--value", "0.791", "--json"]) == 0


@pytest.mark.parametrize(
    ("curve", "top1", "top5"),
    [  # read off the logs by hand
        ("alexnet__kmu-jungsy_Study_EfficientPyTorch_torchvision_90ep_multigpu_DIGITISED.csv", 90, 72),
        ("alexnet__kmu-jungsy_Study_EfficientPyTorch_torchvision_90ep_singlegpu_DIGITISED.csv", 90, 73),
        ("mobilenet_v2__dmlc_web-data_gluon.csv", 14, 12),
        ("resnet18__dmlc_web-data_gluon_v1_step150ep.csv", 31, 31),
        ("vgg16__dmlc_web-data_gluon.csv", 13, 11),
        ("shufflenet_v2_x1_0__implus_PytorchInsight_1x.csv", 69, None),
    ],
)
def test_rows_checked_by_hand(curve: str, top1: int, top5: int | None) -> None:
    assert first_epochs("top1", "0.56522")[curve] == top1
    assert first_epochs("top5", "0.791").get(curve) == top5


def test_no_curve_and_no_record_of_one_is_committed() -> None:
    files = [path.name for path in FOLDER.rglob("*.csv")]
    assert sorted(files) == ["crossings.csv", "curves.csv", "macs.csv", "networks.csv", "sources.csv"]
    assert not list(FOLDER.rglob("curve.jsonl"))
