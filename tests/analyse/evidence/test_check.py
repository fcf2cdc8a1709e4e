import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from harness import cli
from harness.analyse.evidence.check import check_record
from harness.record.curve import WATCHED
from harness.record.folders import folder
from harness.record.protocol import digest
from harness.verbs import check
from tests.analyse.synthetic import Made, curve_reaching, ladder, write_run, write_runs


def edit(path: Path, **changes: object) -> None:
    """Change run.json and seal it again, as a careless writer (not a forger) would."""
    summary = json.loads((path / "run.json").read_text()) | changes
    del summary["self_sha256"]
    (path / "run.json").write_text(json.dumps(summary | {"self_sha256": digest(summary)}))


def rewrite_curve(path: Path, old: str, new: str) -> None:
    """Change the curve and seal the record again."""
    text = (path / folder.CURVE).read_text()
    assert old in text
    (path / folder.CURVE).write_text(text.replace(old, new))
    summary = json.loads((path / "run.json").read_text())
    del summary["sha256"], summary["self_sha256"]
    folder.seal(path, summary)


@pytest.fixture
def record(tmp_path: Path) -> Path:
    return write_run(tmp_path, Made("alexnet", curve_reaching(5)))


def test_sound_records_pass(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [*ladder(), Made("late", [0.3] * 9, outcome="budget_exhausted"), Made("nan", [], outcome="diverged")]
    write_runs(tmp_path, [*runs, Made("alexnet", [0.6, 0.5], target=None, outcome="budget_exhausted", seed=9)])
    assert cli.main(["check", str(tmp_path), "--no-recount"]) == 0
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "18 records, 0 defects" in captured.err


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"outcome": "budget_exhausted"}, "outcome budget_exhausted"),
        ({"target": None}, "without a target"),
        ({"protocol_version": 99}, "protocol version 99"),
        ({"run_id": "0" * 12}, "run_id"),
        ({"kind": "guessed"}, "kind"),
        ({"seed": 5}, "seed"),
        ({"model": "resnet18"}, "model"),
        ({"dataset": {}}, "dataset lacks"),
        ({"hardware": None}, "misstates a field"),
        ({"evaluations_per_epoch": 4}, "evaluations_per_epoch"),
    ],
)
def test_inconsistent_summaries_are_found(record: Path, changes: dict[str, Any], words: str) -> None:
    edit(record, **changes)
    assert any(words in defect for defect in check_record(record, None))


def test_a_ledger_that_falls_or_does_not_add_up_is_found(record: Path) -> None:
    rewrite_curve(record, '"train_forward_macs": 3000000000', '"train_forward_macs": 1')
    assert any("train_forward_macs falls" in defect for defect in check_record(record, None))
    rewrite_curve(record, '"train_forward_macs": 1,', '"train_forward_macs": 3000000001,')
    assert any("images x MACs per image" in defect for defect in check_record(record, None))


def test_a_run_that_went_on_after_its_target_is_found(tmp_path: Path) -> None:
    path = write_run(tmp_path, Made("alexnet", curve_reaching(5, after=2)))
    assert any("the run went on" in defect for defect in check_record(path, None))


def test_hand_edited_files_and_truncation_are_found(record: Path) -> None:
    path = record / "provenance.json"
    path.write_text(path.read_text() + " ")
    assert "hash mismatch" in check_record(record, None)[0]
    (record / "run.json").write_text("{")
    assert "truncated" in check_record(record, None)[0]


def test_a_host_name_in_the_provenance_is_found(record: Path) -> None:
    (record / "provenance.json").write_text('{"segments": [], "hostname": "x"}')
    edit(record)
    summary = json.loads((record / "run.json").read_text())
    del summary["sha256"], summary["self_sha256"]
    folder.seal(record, summary)
    assert any("hostname" in defect for defect in check_record(record, None))


def test_the_recount_is_compared(record: Path) -> None:
    true = json.loads((record / "run.json").read_text())["bill"]
    assert check_record(record, lambda config, summary: true) == []
    wrong = check_record(record, lambda config, summary: true | {"forward_macs": 7})
    assert wrong == ["bill.forward_macs is 1000000, counted again 7"]


def test_defects_are_one_line_each_and_exit_1(tmp_path: Path, record: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edit(record, run_id="0" * 12)
    assert cli.main(["check", str(tmp_path), "--no-recount"]) == 1
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_an_audit_of_nothing_does_not_pass(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["check", str(tmp_path)]) == 2
    assert "no finished record" in capsys.readouterr().err


def test_without_torch_it_says_that_nothing_was_recounted(record: Path) -> None:
    absent = "import sys; sys.modules['torch'] = None; from harness.cli import main; sys.exit(main(sys.argv[1:]))"
    done = subprocess.run([sys.executable, "-c", absent, "check", str(record)], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == "1 record, 0 defects; MACs not counted again: torch cannot be imported here\n"


def test_a_real_model_is_counted_again() -> None:
    recount, how = check.find_recount()
    assert how == "MACs counted again"
    config = {"model": {"name": "shufflenet_v2_x1_0", "kwargs": {}}, "data": {"resolution": 224}}
    bill = recount(config, {"dataset": {"classes": 1000}})
    assert bill["forward_macs"] == pytest.approx(0.1449e9, rel=1e-3)


def test_a_measured_run_without_its_clocks_is_a_defect(record: Path) -> None:
    """An imported curve may lack them all; a run of our own knows them."""
    lines = [json.loads(line) for line in (record / folder.CURVE).read_text().splitlines()]
    (record / folder.CURVE).write_text(
        "".join(json.dumps({k: v for k, v in line.items() if k not in WATCHED}) + "\n" for line in lines)
    )
    summary = json.loads((record / "run.json").read_text())
    folder.seal(record, {k: v for k, v in summary.items() if not k.endswith("sha256")})
    assert check_record(record, None) == [f"evaluation 1 lacks {', '.join(WATCHED)}"]
