"""Broken records among sound ones: named, and an end by default; left out and listed everywhere on request."""

import base64
import csv
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from harness import cli
from harness.record.folders.folder import CONFIG, CURVE, PROVENANCE, RUN
from tests.analyse.synthetic import Made, curve_reaching, day, ladder, write_run, write_runs

DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "cut": (lambda folder: (folder / RUN).write_bytes((folder / RUN).read_bytes()[:200]), "truncated or unreadable"),
    "emptied": (lambda folder: (folder / CURVE).write_bytes(b""), "hash mismatch"),
    "no config": (lambda folder: (folder / CONFIG).unlink(), "missing or unreadable"),
    "no provenance": (lambda folder: (folder / PROVENANCE).unlink(), "missing or unreadable"),
    "other json": (lambda folder: (folder / RUN).write_text("[]"), "not a run record"),
}


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """A ladder, and of each damage one record."""
    root = write_runs(tmp_path / "runs", ladder(seeds=2))
    for number, (damage, _) in enumerate(DAMAGES.values()):
        damage(write_run(root, Made(f"broken{number}", curve_reaching(3), published=day(30))))
    return root


def names_of(root: Path) -> list[str]:
    return [folder.relative_to(root).as_posix() for folder in sorted(root.glob("broken*/*"))]


@pytest.mark.parametrize(("damage", "words"), DAMAGES.values(), ids=DAMAGES.keys())
@pytest.mark.parametrize("verb", ["aggregate", "report"])
def test_by_default_it_is_named_and_nothing_is_written(
    verb: str, damage: Callable[[Path], object], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = write_runs(tmp_path / "runs", ladder(seeds=1))
    folder = write_run(root, Made("broken", curve_reaching(3), published=day(30)))
    damage(folder)
    assert cli.main([verb, str(root), "--out", str(tmp_path / "out")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert str(folder) in line
    assert words in line
    assert "--skip-broken" in line
    assert not (tmp_path / "out").exists()


def test_aggregate_goes_on_and_every_output_lists_them(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert cli.main(["aggregate", str(runs), "--skip-broken", "--no-figures", "--draws", "50", "--out", str(out)]) == 0
    names = names_of(runs)
    assert len(names) == len(DAMAGES)
    document = json.loads((out / "trend.json").read_text())
    assert document["runs_finished"] == len(ladder(seeds=2))
    assert [each["record"] for each in document["left_out"]] == names
    for each, (_, words) in zip(document["left_out"], DAMAGES.values(), strict=True):
        assert words in each["defect"]
        assert str(runs) not in each["defect"]
    for text in (capsys.readouterr().out, (out / "TABLE.md").read_text()):
        assert f"{len(names)} broken records left out (--skip-broken)" in text
        assert all(f"* {name}:" in text for name in names)
    rows = list(csv.DictReader((out / "table.csv").open(newline="")))
    assert {row["records_left_out"] for row in rows} == {"; ".join(names)}


def test_the_document_on_stdout_lists_them(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["aggregate", str(runs), "--skip-broken", "--json", "--draws", "50"]) == 0
    assert [each["record"] for each in json.loads(capsys.readouterr().out)["left_out"]] == names_of(runs)


@pytest.mark.usefixtures("empty_figures")
def test_the_page_lists_them(runs: Path, tmp_path: Path) -> None:
    out = tmp_path / "report.html"
    assert cli.main(["report", str(runs), "--skip-broken", "--draws", "50", "--out", str(out)]) == 0
    html = out.read_text()
    assert f"{len(DAMAGES)} broken records left out (--skip-broken)" in html
    assert all(f"<li>{name}:" in html for name in names_of(runs))
    (table,) = re.findall(r'download="table.csv" href="data:[^;]+;base64,([^"]+)"', html)
    assert "records_left_out" in base64.b64decode(table).decode().splitlines()[0]


def test_sound_records_alone_say_nothing_of_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs, out = write_runs(tmp_path / "runs", ladder(seeds=1)), tmp_path / "out"
    given = ["aggregate", str(runs), "--no-figures", "--draws", "50", "--out"]
    assert cli.main([*given, str(out)]) == 0
    assert cli.main([*given, str(tmp_path / "same"), "--skip-broken"]) == 0
    assert "broken" not in capsys.readouterr().out
    for file in out.iterdir():
        assert file.read_bytes() == (tmp_path / "same" / file.name).read_bytes()
        assert b"left_out" not in file.read_bytes()


def test_broken_ones_alone_are_an_error_also_on_request(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (write_run(tmp_path / "runs", Made("alexnet", curve_reaching(3))) / CURVE).write_bytes(b"")
    assert cli.main(["aggregate", str(tmp_path / "runs"), "--skip-broken"]) == 2
    assert "no finished run that can be read, 1 broken" in capsys.readouterr().err
