"""A curve that was read off a plot: its error widens the intervals of its row in `harness aggregate`."""

import json
from pathlib import Path
from typing import Any

import pytest

from harness import cli

MACS, IMAGES = 2_000_000, 1_281_167
TOP1 = (30.0, 44.0, 48.5, 49.6, 50.2, 50.8, 51.5, 52.0)
"""At 50 %, confirmed by the next look: after 5 epochs as it stands, 4 with a point more, 7 with a point less."""

NEVER = (30.0, 44.0, 48.5, 49.6, 50.2, 50.8, 50.9, 50.7)
"""A point less, and it never gets there."""

BELOW = (30.0, 44.0, 48.5, 49.1, 49.2, 49.3, 49.4, 49.5)
"""Not as it stands; after 4 epochs with a point more."""


def pflop(epochs: int, macs: int = MACS) -> float:
    return 3 * macs * IMAGES * epochs / 1e15


def written(folder: Path, curves: dict[str, tuple[float, ...]], error: str, seeds: int = 1) -> Path:
    """A CSV of curves in percent, one a model and seed, all with one error in points."""
    lines = ["run,model,published,seed,epoch,top1_percent,forward_macs,error_top1_points"]
    for number, (model, accuracies) in enumerate(curves.items()):
        for seed in range(seeds):
            cells = f"{model}{seed},{model},201{2 + number}-06-01,{seed}"
            told = enumerate(accuracies, start=1)
            lines += [f"{cells},{epoch},{accuracy + seed / 1000},{MACS},{error}" for epoch, accuracy in told]
    path = folder / "curves.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def rows_of(
    tmp_path: Path, curves: dict[str, tuple[float, ...]], error: str, *, seeds: int = 1
) -> dict[str, dict[str, Any]]:
    path, runs, out = written(tmp_path, curves, error, seeds), tmp_path / "runs", tmp_path / "out"
    assert cli.main(["import-curves", str(path), "--out", str(runs), "--source", "figure 3"]) == 0
    judged = ["--metric", "top1", "--value", "0.5", "--draws", "500"]
    assert cli.main(["aggregate", str(runs), *judged, "--out", str(out)]) == 0
    (group,) = json.loads((out / "trend.json").read_text())["groups"]
    return {row["model"]: row for row in group["rows"]} | {"trend": group["trend"]}


@pytest.mark.parametrize("seeds", [1, 3])
def test_the_interval_spans_both_ends_of_the_error(tmp_path: Path, seeds: int) -> None:
    row = rows_of(tmp_path, {"net": TOP1}, "1", seeds=seeds)["net"]
    assert row["epochs"] == 5
    assert row["cost"] == pytest.approx(pflop(5))
    assert row["epochs_interval"] == [3, 7]  # after the look before the earliest, at the latest
    low, high = row["cost_interval"]
    assert low <= pflop(3) * 1.000001
    assert high >= pflop(7) * 0.999999
    assert row["interval_kind"] == "digitised"
    if seeds == 1:
        assert (low, high) == pytest.approx((pflop(3), pflop(7)))


def test_a_logged_curve_has_the_interval_of_its_looks(tmp_path: Path) -> None:
    row = rows_of(tmp_path, {"net": TOP1}, "")["net"]
    assert (row["epochs_interval"], row["interval_kind"]) == ([4, 5], "resolution")
    assert row["cost_interval"] == pytest.approx([pflop(4), pflop(5)])


def test_an_end_that_never_gets_there_is_open(tmp_path: Path) -> None:
    row = rows_of(tmp_path, {"net": NEVER}, "1")["net"]
    assert row["epochs_interval"] == [3, None]
    assert row["cost_interval"] == [pytest.approx(pflop(3)), None]


def test_a_miss_that_the_error_could_make_a_crossing_is_not_known_from_below(tmp_path: Path) -> None:
    row = rows_of(tmp_path, {"net": BELOW}, "1")["net"]
    assert row["cost"] is None
    assert row["cost_interval"] == [pytest.approx(pflop(3)), None]


def test_factors_and_the_trend_are_widened_too(tmp_path: Path) -> None:
    """A reference of 5 epochs, by its error 3 to 7, over a network of 2 to 4 epochs."""
    fast = (44.0, 49.5, 50.5, 51.2, 52.0)
    found = rows_of(tmp_path, {"first": TOP1, "net": fast}, "1")
    assert found["net"]["epochs_interval"] == [1, 4]
    assert found["net"]["factor"] == pytest.approx(5 / 3)
    assert found["net"]["factor_interval"] == pytest.approx([3 / 4, 7 / 1])
    low, high = found["trend"]["reduction_interval"]
    assert low < 4 / 3  # all that the looks alone allow is 4 / 3 to 5 / 2
    assert high > 5 / 2


def test_every_output_says_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows_of(tmp_path, {"first": TOP1, "net": TOP1}, "1")
    assert "~ read off a plot" in capsys.readouterr().out
    table = (tmp_path / "out" / "TABLE.md").read_text()
    assert "~ [" in table
    assert "* ~: a curve that was read off a plot" in table
    assert "digitised" in (tmp_path / "out" / "table.csv").read_text()
    assert "with the error of the plot" in (tmp_path / "out" / "trend.svg").read_text()
