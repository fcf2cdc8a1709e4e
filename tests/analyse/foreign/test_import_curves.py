import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness import cli
from harness.analyse.evidence.runs.groups import Level
from harness.analyse.evidence.runs.run import read_records
from harness.analyse.show.aggregate import build
from harness.measure.mirror.journal import evaluation_row
from harness.record.curve import WATCHED
from harness.record.folders.folder import read_runs, seal
from tests.analyse.synthetic import Made, curve_reaching, ladder, write_run, write_runs

HEADER = "run,model,published,epoch,top1,top5,forward_macs\n"
CSV = HEADER + "".join(
    f"a,foreign,2016-01-31,{epoch},{0.2 * epoch},{min(1.0, 0.25 * epoch)},2000000\n" for epoch in (1, 2, 3)
)


def put(tmp_path: Path, text: str = CSV) -> Path:
    path = tmp_path / "curves.csv"
    path.write_text(text)
    return path


def imported(tmp_path: Path, *arguments: str, text: str = CSV) -> int:
    command = ["import-curves", str(put(tmp_path, text)), "--out", str(tmp_path / "runs"), "--source", "a paper"]
    return cli.main([*command, *arguments])


def test_a_foreign_curve_becomes_a_sound_record_marked_imported(tmp_path: Path) -> None:
    assert imported(tmp_path) == 0
    (run,) = read_runs(tmp_path / "runs")
    assert run.summary["kind"] == "imported"
    assert run.curve[1].correct_top1 == 20_000  # 0.4 of 50,000
    assert run.curve[1].train_forward_macs == 2 * 1_281_167 * 2_000_000
    assert json.loads((run.path / "provenance.json").read_text())["imported_from"]["source"] == "a paper"
    assert cli.main(["check", str(tmp_path / "runs"), "--no-recount"]) == 0


def test_what_nobody_knows_is_absent_not_0(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert imported(tmp_path) == 0
    (run,) = read_runs(tmp_path / "runs")
    lines = [json.loads(line) for line in (run.path / "curve.jsonl").read_text().splitlines()]
    assert lines
    assert not any(set(WATCHED) & line.keys() for line in lines)
    assert all(getattr(row, name) is None for row in run.curve for name in WATCHED)
    (trial,) = read_records(tmp_path / "runs").runs
    assert np.isnan(trial.clock("train_seconds")).all()
    assert set(evaluation_row(run.curve[0])).isdisjoint({"lr", "train_loss", "seconds/train", "images_per_second"})
    for command in (["check", "--no-recount"], ["status"], ["aggregate", "--metric", "top1", "--value", "0.5"]):
        assert cli.main([*command, str(tmp_path / "runs")]) == 0, capsys.readouterr()
    assert "nan" not in (tmp_path / "runs" / "trend.json").read_text().lower()


def test_importing_twice_writes_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    imported(tmp_path)
    assert imported(tmp_path) == 0
    assert "there already" in capsys.readouterr().out


def test_it_stands_in_the_table_of_the_data_it_is_said_to_be_on(tmp_path: Path) -> None:
    write_runs(tmp_path / "runs", ladder())
    like = write_run(tmp_path / "like", Made("alexnet", curve_reaching(3)))
    assert imported(tmp_path, "--like", str(like)) == 0
    (group,) = build(tmp_path / "runs", draws=100)["groups"]
    row = next(r for r in group["rows"] if r["model"] == "foreign")
    assert (row["kind"], row["epochs"]) == ("imported", 3)
    assert all(h["model"] != "foreign" for h in group["hardware"]), "an unknown clock is not 0 seconds"


def test_images_instead_of_epochs(tmp_path: Path) -> None:
    text = CSV.replace("epoch", "images").replace(",1,", ",1000,").replace(",2,", ",2000,").replace(",3,", ",3000,")
    assert imported(tmp_path, "--train-images", "1000", text=text) == 0
    assert [row.epoch for row in read_runs(tmp_path / "runs")[0].curve] == [1, 2, 3]
    (group,) = build(tmp_path / "runs", Level("top5", 0.5), draws=100)["groups"]
    assert group["rows"][0]["epochs"] == 2


def test_a_quoted_comma_and_an_empty_optional_field_are_fine(tmp_path: Path) -> None:
    text = CSV.replace("forward_macs\n", "forward_macs,title,seed\n").replace("2000000\n", '2000000,"R-50, v1.5",\n')
    assert imported(tmp_path, text=text) == 0
    (run,) = read_runs(tmp_path / "runs")
    assert (run.summary["title"], run.seed) == ("R-50, v1.5", 0)


def refused(folder: Path, capsys: pytest.CaptureFixture[str], text: str) -> str:
    """The one line with which a table is refused."""
    assert imported(folder, text=text) == 2
    (message,) = capsys.readouterr().err.splitlines()
    return message


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "lacks"),
        (HEADER, "no line"),
        (HEADER.replace("top1,", ""), "lacks top1"),
        (CSV.replace("0.4,", "40,"), "did you mean 0.4"),
        (CSV.replace("0.4,0.5", ",0.5"), "line 3: top1 is missing"),
        (CSV.replace("2016-01-31", "31.1.2016"), "YYYY-MM-DD"),
        (CSV.replace("foreign", "ResNet-50, v1.5"), "line 2: more fields than the header names; quote"),
        (HEADER + "a,foreign\n", "line 2: fewer fields than the header names"),
        (CSV.replace("0.4,0.5,2000000", "0.4,0.5"), "line 3: fewer fields than the header names"),
        (CSV.replace("31,3,", "31,2,"), "does not rise"),
        (CSV.replace("2000000", "-1"), "forward_macs"),
        (CSV.replace("0.4,0.5", "0.6,0.5"), "top1 is above top5"),
        (CSV.replace("a,foreign,2016-01-31,2", "a,other,2016-01-31,2"), "more than one model"),
    ],
)
def test_an_unusable_line_is_named_and_nothing_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, words: str
) -> None:
    assert words in refused(tmp_path, capsys, text)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (CSV.replace("foreign", "../../../evil"), "model is '../../../evil'"),
        (CSV.replace("foreign", "/tmp/evil"), "model is '/tmp/evil'"),
        (CSV.replace("foreign", ""), "model is ''"),
        (CSV.replace("foreign", ".."), "model is '..'"),
        (CSV.replace("foreign", "a/b/c"), "at most one slash"),
        (CSV.replace("2016-01-31", "20160131"), "line 2: published is '20160131': write YYYY-MM-DD"),
        (CSV.replace("2016-01-31", "2016-W04-7"), "YYYY-MM-DD"),
        (CSV.replace("2016-01-31", "2015-1-5"), "YYYY-MM-DD"),
        (CSV.replace("2016-01-31", "2016-02-30"), "published is '2016-02-30'"),
        (CSV.replace("2016-01-31", "2999-01-01"), "in the future"),
        (CSV.replace("2000000", "1.81"), "not GMAC or MMAC"),
        (CSV.replace("2000000", "714"), "line 2: forward_macs is 714"),
        (CSV.replace("macs\n", "macs,seed\n").replace("2000000\n", f"2000000,{2**64}\n"), "below 2^64"),
        (CSV.replace("macs\n", "macs,seed\n").replace("2000000\n", "2000000,1.5\n"), "not a whole number"),
    ],
)
def test_a_name_a_date_a_unit_and_a_seed_are_checked_before_anything_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, words: str
) -> None:
    assert words in refused(tmp_path, capsys, text)
    assert [path.name for path in tmp_path.iterdir()] == ["curves.csv"]


def test_one_slash_is_part_of_the_name_and_other_scripts_are_letters(tmp_path: Path) -> None:
    assert imported(tmp_path, text=CSV.replace("foreign", "timm/r\u00e9seau-18")) == 0
    (run,) = read_runs(tmp_path / "runs")
    assert run.model == "timm_r\u00e9seau-18"
    assert run.path.parent.parent == tmp_path / "runs" / "imagenet"


def test_a_data_set_chooses_no_folder_either(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert imported(tmp_path, "--dataset", "../evil") == 2
    assert "--dataset is '../evil'" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["curves.csv"]


def test_large_seeds_stay_apart(tmp_path: Path) -> None:
    seeds = (2**53, 2**53 + 1)  # equal as floats
    text = HEADER.replace("macs\n", "macs,seed\n")
    text += "".join(f"{seed},net,2016-01-31,1,0.5,0.6,2000000,{seed}\n" for seed in seeds)
    assert imported(tmp_path, text=text) == 0
    assert sorted(run.seed for run in read_runs(tmp_path / "runs")) == list(seeds)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"model": "../evil"}, "model is '../evil'"),
        ({"published": "soon"}, "published is 'soon'"),
        ({"published": "2999-01-01"}, "in the future"),
    ],
)
def test_a_sealed_record_of_a_stranger_is_checked_when_it_is_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], change: dict[str, Any], words: str
) -> None:
    path = write_run(tmp_path / "runs", Made("alexnet", curve_reaching(3)))
    summary = {k: v for k, v in json.loads((path / "run.json").read_text()).items() if k != "self_sha256"}
    seal(path, summary | change)  # its hashes are right
    for verb in (["aggregate"], ["check", "--no-recount"]):
        assert cli.main([*verb, str(tmp_path / "runs")]) != 0
        shown = capsys.readouterr()
        assert words in shown.out + shown.err


def test_two_dates_of_one_architecture_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_runs(tmp_path, [Made("alexnet", [0.6]), Made("alexnet", [0.6], seed=1, published="2013-01-01")])
    assert cli.main(["aggregate", str(tmp_path)]) == 2
    assert "alexnet has 2 publication dates (2012-06-01 in " in capsys.readouterr().err
