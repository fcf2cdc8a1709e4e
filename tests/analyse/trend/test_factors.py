import json
import math
from pathlib import Path

import pytest

from harness import cli
from tests.analyse.synthetic import Made, curve_reaching, day, write_runs

EPOCHS = {("alexnet", "era"): 24, ("alexnet", "modern"): 12, ("net1", "era"): 9, ("net1", "modern"): 5}


def corners(tmp_path: Path, *, leave_out: tuple[str, str] | None = None, after: int = 0) -> Path:
    return write_runs(
        tmp_path,
        [
            Made(model, curve_reaching(epochs + seed, after=after), day(40 * (model == "net1")), seed, recipe=recipe)
            for (model, recipe), epochs in EPOCHS.items()
            for seed in range(3)
            if (model, recipe) != leave_out
        ],
    )


def split(tmp_path: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> dict:
    assert cli.main(["factors", str(tmp_path), "--json", "--draws", "500", *arguments]) == 0
    return json.loads(capsys.readouterr().out)["splits"][0]


def test_both_orders_and_the_shapley_mean_sum_to_the_whole(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = split(corners(tmp_path), capsys, "--start", "alexnet:era", "--end", "net1:modern")
    log2 = {name: part["log2"] for name, part in found["parts"].items()}
    assert log2["recipe_first"] + log2["architecture_last"] == pytest.approx(log2["whole"], abs=1e-12)
    assert log2["architecture_first"] + log2["recipe_last"] == pytest.approx(log2["whole"], abs=1e-12)
    assert log2["recipe_shapley"] + log2["architecture_shapley"] == pytest.approx(log2["whole"], abs=1e-12)
    # Means over three seeds: 25 and 13 epochs for AlexNet, 10 and 6 for net1.
    assert found["parts"]["whole"]["factor"] == pytest.approx(25 / 6)
    assert log2["recipe_shapley"] == pytest.approx((math.log2(25 / 13) + math.log2(10 / 6)) / 2)
    low, high = found["parts"]["recipe_shapley"]["interval"]
    assert low < found["parts"]["recipe_shapley"]["factor"] < high


def test_every_complete_pair_is_found_without_asking(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["factors", str(corners(tmp_path)), "--draws", "100"]) == 0
    printed = capsys.readouterr().out
    assert "alexnet:era -> net1:modern" in printed
    assert "alexnet:modern -> net1:era" in printed
    assert "n = 3" in printed


def test_a_missing_corner_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = corners(tmp_path, leave_out=("alexnet", "modern"))
    found = split(runs, capsys, "--start", "alexnet:era", "--end", "net1:modern")
    assert found["reason"] == "not run: model=alexnet recipe=modern"
    assert cli.main(["factors", str(runs)]) == 2
    assert "missing corners" in capsys.readouterr().err


def test_a_corner_that_missed_makes_bounds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = corners(tmp_path, leave_out=("net1", "era"))
    write_runs(runs, [Made("net1", [0.2] * 30, published=day(40), recipe="era", outcome="budget_exhausted")])
    found = split(runs, capsys, "--start", "alexnet:era", "--end", "net1:modern")
    assert "no run reached the target: net1:era" in found["reason"]
    bounds = {name: part["bound"] for name, part in found["parts"].items()}
    assert (bounds["whole"], bounds["recipe_first"], bounds["architecture_last"]) == (None, None, None)
    assert (bounds["architecture_first"], bounds["architecture_shapley"]) == ("at most", "at most")
    assert (bounds["recipe_last"], bounds["recipe_shapley"]) == ("at least", "at least")
    assert found["parts"]["recipe_last"]["factor"] == pytest.approx(30 / 6)
    assert found["parts"]["recipe_last"]["interval"][1] is None
    assert found["parts"]["architecture_first"]["interval"][0] is None
    assert cli.main(["factors", str(runs), "--draws", "100"]) == 0
    assert "≥ 5.00x" in capsys.readouterr().out


def test_a_reference_that_is_unfit_says_so_beside_the_factor(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Three calibration runs whose finals spread by four points: four epochs more of some six to nine."""
    runs = corners(tmp_path, after=6)
    write_runs(
        runs,
        [
            Made("alexnet", [0.1, f], seed=100 + s, target=None, kind="calibration", outcome="budget_exhausted")
            for s, f in enumerate((0.46, 0.5, 0.54))
        ],
    )
    assert split(runs, capsys)["fitness"]["fit"] is False
    assert cli.main(["factors", str(runs), "--draws", "100"]) == 0
    said = capsys.readouterr().out
    assert said.count("unfit") == said.count(" -> ") > 0  # beside each; a heading may be broken into lines
    assert cli.main(["factors", str(corners(tmp_path / "unknown")), "--draws", "100"]) == 0
    assert "unfit" not in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["--start", "a:b"], ["--start", "alexnet", "--end", "net1:era"]])
def test_unusable_points_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    assert cli.main(["factors", str(corners(tmp_path)), *arguments]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
