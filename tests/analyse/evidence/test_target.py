from pathlib import Path
from typing import Any

import pytest
import yaml

from harness import cli
from harness.analyse.evidence.target import read_target
from harness.analyse.show.aggregate import build
from harness.measure.config.compose import compose
from harness.measure.config.level import target_of
from harness.record.errors import BadInput
from tests.analyse.synthetic import Made, write_runs


def full(seed: int, final: float, **other: object) -> Made:
    return Made("alexnet", [0.2, 0.9, final], seed=seed, target=None, outcome="budget_exhausted", **other)


def test_the_level_is_the_median_of_the_final_not_the_best_accuracies(tmp_path: Path) -> None:
    write_runs(tmp_path / "runs", [full(0, 0.61), full(1, 0.55), full(2, 0.58), Made("net1", [0.99], target=None)])
    out = tmp_path / "conf" / "synthetic.yaml"
    assert cli.main(["target", str(tmp_path / "runs"), "--out", str(out)]) == 0
    data = yaml.safe_load(out.read_text())
    assert sorted(data) == ["metric", "source", "split", "value"]
    assert data["value"] == 0.58
    assert all(f"{value:.6f}" in data["source"] for value in (0.61, 0.55, 0.58))
    assert read_target(out).value == 0.58


def test_runs_that_stopped_at_a_target_do_not_count(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_runs(tmp_path, [Made("alexnet", [0.5])])
    assert cli.main(["target", str(tmp_path), "--out", str(tmp_path / "t.yaml")]) == 2
    assert "target=none" in capsys.readouterr().err
    assert not (tmp_path / "t.yaml").exists()


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"fingerprint": "f" * 64}, "ffff"),
        ({"planned_epochs": 90}, "90 epochs"),
        ({"learning_rate": 0.2}, "64 px, lr 0.2"),
    ],
)
def test_mixed_data_or_plans_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], other: dict[str, Any], said: str
) -> None:
    write_runs(tmp_path, [full(0, 0.5), full(1, 0.5, **other)])
    assert cli.main(["target", str(tmp_path), "--out", str(tmp_path / "t.yaml")]) == 2
    assert said in capsys.readouterr().err


def test_one_seed_counts_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_runs(tmp_path, [full(0, 0.5), full(0, 0.6)])
    assert cli.main(["target", str(tmp_path), "--out", str(tmp_path / "t.yaml")]) == 2
    assert "a seed occurs twice" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["value: 0.5\n", "[", "metric: top1\nvalue: 56.5\nsplit: validation\nsource: x\n"])
def test_a_file_that_is_no_target_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "t.yaml").write_text(text)
    with pytest.raises(BadInput):
        read_target(tmp_path / "t.yaml")


def test_calibration_runs_set_the_level_at_their_lowest_final(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    finals = (0.61, 0.55, 0.58)
    runs = [full(seed, final, kind="calibration") for seed, final in enumerate(finals)]
    write_runs(tmp_path / "runs", [*runs, full(7, 0.3)])  # a full schedule that is no calibration run has no say
    out = tmp_path / "level.yaml"
    assert cli.main(["target", str(tmp_path / "runs"), "--out", str(out)]) == 0
    text = out.read_text()
    assert yaml.safe_load(text)["value"] == 0.55
    assert "with probability 3/4" in text
    assert "finals 55.00 to 61.00 %, standard deviation 3.00 points" in text
    assert "lowest of 3 calibration runs" in yaml.safe_load(text)["source"]
    assert "3 calibration runs: with 9" in capsys.readouterr().err


def test_one_calibration_run_sets_no_level(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_runs(tmp_path, [full(0, 0.6, kind="calibration")])
    assert cli.main(["target", str(tmp_path), "--out", str(tmp_path / "t.yaml")]) == 2
    assert "train it with more seeds" in capsys.readouterr().err
    assert not (tmp_path / "t.yaml").exists()


def calibration(seed: int, final: float, **other: object) -> Made:
    return full(seed, final, kind="calibration", **other)


def written(tmp_path: Path, runs: list[Made], *arguments: str) -> tuple[Path, dict[str, Any]]:
    write_runs(tmp_path / "runs", runs)
    out = tmp_path / "conf" / "synthetic.yaml"
    assert cli.main(["target", str(tmp_path / "runs"), "--out", str(out), *arguments]) == 0
    return out, yaml.safe_load(out.read_text())


def test_nine_calibration_runs_are_enough(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written(tmp_path, [calibration(seed, 0.5 + 0.01 * seed) for seed in range(9)])
    said = capsys.readouterr()
    assert "probability 9/10 = 0.90" in said.out
    assert said.err == ""


def test_both_metrics_in_one_file_that_train_takes(tmp_path: Path) -> None:
    out, data = written(tmp_path, [calibration(0, 0.6), calibration(1, 0.4)], "--metric", "both")
    assert (data["metric"], data["value"], data["also"]) == ("top1", 0.4, {"top1": None, "top5": 0.7})
    target = target_of(compose(["data=digits", f"target={out}"]))
    assert target.levels == (("top1", 0.4), ("top5", 0.7))
    assert read_target(out).metric == "top1"


# of 0.8 and 0.9 binary fractions know no exact difference to 0.1: a look at exactly the level must reach it
@pytest.mark.parametrize(
    ("kind", "finals", "words", "note"),
    [
        (
            "calibration",
            (0.9, 0.8),
            "below the lowest of 2; a further seed ends at or above it with probability at least",
            "with 9",
        ),
        ("measured", (0.8, 0.3, 0.9), "below the median of 3; finals", "nothing says how many further runs reach it"),
    ],
)
def test_a_margin_lowers_the_level_and_is_said(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    kind: str,
    finals: tuple[float, ...],
    words: str,
    note: str,
) -> None:
    runs = [full(seed, final, kind=kind) for seed, final in enumerate(finals)]
    _, data = written(tmp_path, runs, "--margin", "10")
    said = capsys.readouterr()
    assert data["value"] == 0.7
    assert f"top1: 70.00 %, 10 points {words}" in said.out
    assert "of alexnet's final top1 less a margin of 10 points, recipe" in data["source"]
    assert note in said.err


def test_a_full_schedule_crosses_its_own_level_less_a_margin(tmp_path: Path) -> None:
    runs = [Made("alexnet", [0.2, 0.5, 0.58, 0.6], target=None, outcome="budget_exhausted")]
    for margin, epochs in (("0", None), ("2", 3), ("10", 2)):
        out, _ = written(tmp_path / margin, runs, "--margin", margin)
        row = build(tmp_path / margin / "runs", read_target(out), draws=50)["groups"][0]["rows"][0]
        assert (row["reached"], row["epochs"]) == (int(epochs is not None), epochs)


@pytest.mark.parametrize(
    ("margin", "said"),
    [
        ("60", "leaves no level below a final top1 of 60.00 %: give a smaller --margin"),
        ("-1", "from 0 to below 100"),
        ("100", "from 0 to below 100"),
        ("much", "much: it must be points"),
        ("nan", "from 0 to below 100"),
        ("1/0", "from 0 to below 100"),
    ],
)
def test_a_margin_that_cannot_be_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], margin: str, said: str
) -> None:
    write_runs(tmp_path, [full(0, 0.6)])
    try:
        code = cli.main(["target", str(tmp_path), f"--margin={margin}", "--out", str(tmp_path / "t.yaml")])
    except SystemExit as stop:  # argparse's own
        code = int(stop.code or 0)
    assert code == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "t.yaml").exists()


# one standard deviation of 0.5 and 0.6 is 7.07 points: the levels are 42.9, 50 and 57.1 %
@pytest.mark.parametrize(
    ("curve", "outcome", "said"),
    [
        ([0.1, 0.2, 0.9, 0.9], "budget_exhausted", "down +0 % (1 answer), up +0 % (1 answer); at most 15 %: the refer"),
        ([0.1, 0.45, 0.5, 0.5, 0.5, 0.6, 0.6], "budget_exhausted", "down -33 % (1 answer), up +100 % (1 answer)"),
        ([0.1, 0.45, 0.5, 0.5, 0.5, 0.6, 0.6], "budget_exhausted", "at most 15 %: REFERENCE UNFIT"),
        (
            [0.1, 0.2, 0.5, 0.5],
            "budget_exhausted",
            "down +0 % (1 answer), up without end (1 answer); at most 15 %: REF",
        ),
        ([0.1, 0.45, 0.5, 0.5], "reached", "down -33 % (1 answer), up not known (0 answer); at most 15 %: REFERENCE"),
        ([0.1, 0.2, 0.5, 0.5], "reached", "up not known (0 answer); at most 15 %: not known whether the reference is"),
        ([0.1, 0.2], "budget_exhausted", "fitness is not known: no other network's curves answer"),
    ],
)
def test_fitness_is_said_in_the_cost_of_the_median_network(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], curve: list[float], outcome: str, said: str
) -> None:
    calibrations = [calibration(0, 0.5), calibration(1, 0.6)]
    written(tmp_path, [*calibrations, Made("net1", curve, outcome=outcome)])
    assert said in capsys.readouterr().out


def test_a_target_file_keeps_its_rule_and_the_metrics_watched_beside(tmp_path: Path) -> None:
    out, _ = written(tmp_path, [calibration(0, 0.6), calibration(1, 0.4)], "--metric", "both")
    out.write_text(out.read_text() + "confirm: 3\npast_evaluations: 2\n")
    level = read_target(out)
    assert (level.metric, level.value, level.confirm, level.also) == ("top1", 0.4, 3, (("top5", 0.7),))
    runs = write_runs(
        tmp_path / "others", [Made("alexnet", [0.1, 0.5, 0.3, 0.5, 0.5, 0.5], outcome="budget_exhausted")]
    )
    groups = build(runs, level, draws=50)["groups"]
    assert [(g["target"]["metric"], g["target"]["confirm"]) for g in groups] == [("top1", 3), ("top5", 3)]
    assert [g["rows"][0]["epochs"] for g in groups] == [4, 4]  # the third of three looks in a row confirms the fourth
    out.write_text(out.read_text().replace("confirm: 3", "confirm: 0"))
    with pytest.raises(BadInput, match="confirm"):
        read_target(out)
