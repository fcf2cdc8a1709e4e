import json

import pytest

from harness import cli
from harness.analyse.evidence.groups import Level
from harness.analyse.show.aggregate import build
from harness.record.folder import read_runs
from tests.analyse.synthetic import Made, curve_reaching, ladder, write_run, write_runs

HEADER = "run,model,published,epoch,top1,top5,forward_macs\n"
CSV = HEADER + "".join(
    f"a,foreign,2016-01-31,{epoch},{0.2 * epoch},{min(1.0, 0.25 * epoch)},2000000\n" for epoch in (1, 2, 3)
)


def put(tmp_path, text: str = CSV):
    path = tmp_path / "curves.csv"
    path.write_text(text)
    return path


def imported(tmp_path, *arguments: str, text: str = CSV) -> int:
    command = ["import-curves", str(put(tmp_path, text)), "--out", str(tmp_path / "runs"), "--source", "a paper"]
    return cli.main([*command, *arguments])


def test_a_foreign_curve_becomes_a_sound_record_marked_imported(tmp_path):
    assert imported(tmp_path) == 0
    (run,) = read_runs(tmp_path / "runs")
    assert run.summary["kind"] == "imported"
    assert run.curve[1].correct_top1 == 20_000  # 0.4 of 50,000
    assert run.curve[1].train_forward_macs == 2 * 1_281_167 * 2_000_000
    assert json.loads((run.path / "provenance.json").read_text())["imported_from"]["source"] == "a paper"
    assert cli.main(["check", str(tmp_path / "runs"), "--no-recount"]) == 0


def test_importing_twice_writes_once(tmp_path, capsys):
    imported(tmp_path)
    assert imported(tmp_path) == 0
    assert "there already" in capsys.readouterr().out


def test_it_stands_in_the_table_of_the_data_it_is_said_to_be_on(tmp_path):
    write_runs(tmp_path / "runs", ladder())
    like = write_run(tmp_path / "like", Made("alexnet", curve_reaching(3)))
    assert imported(tmp_path, "--like", str(like)) == 0
    (group,) = build(tmp_path / "runs", draws=100)["groups"]
    row = next(r for r in group["rows"] if r["model"] == "foreign")
    assert (row["kind"], row["epochs"]) == ("imported", 3)
    assert all(h["model"] != "foreign" for h in group["hardware"]), "an unknown clock is not 0 seconds"


def test_images_instead_of_epochs(tmp_path):
    text = CSV.replace("epoch", "images").replace(",1,", ",1000,").replace(",2,", ",2000,").replace(",3,", ",3000,")
    assert imported(tmp_path, "--train-images", "1000", text=text) == 0
    assert [row.epoch for row in read_runs(tmp_path / "runs")[0].curve] == [1, 2, 3]
    (group,) = build(tmp_path / "runs", Level("top5", 0.5), draws=100)["groups"]
    assert group["rows"][0]["epochs"] == 2


def test_a_quoted_comma_and_an_empty_optional_field_are_fine(tmp_path):
    text = CSV.replace("forward_macs\n", "forward_macs,title,seed\n").replace("2000000\n", '2000000,"R-50, v1.5",\n')
    assert imported(tmp_path, text=text) == 0
    (run,) = read_runs(tmp_path / "runs")
    assert (run.summary["title"], run.seed) == ("R-50, v1.5", 0)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "lacks"),
        (HEADER, "no line"),
        (HEADER.replace("top5,", ""), "lacks top5"),
        (CSV.replace("0.4,", "40,"), "did you mean 0.4"),
        (CSV.replace("0.4,0.5", "0.4,"), "line 3: top5"),
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
def test_an_unusable_line_is_named_and_nothing_is_written(tmp_path, capsys, text, words):
    assert imported(tmp_path, text=text) == 2
    message = capsys.readouterr().err
    assert words in message
    assert len(message.splitlines()) == 1
    assert not (tmp_path / "runs").exists()
