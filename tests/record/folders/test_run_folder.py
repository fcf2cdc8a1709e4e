import errno
import json
import os
from pathlib import Path

import pytest

from harness.record import files
from harness.record.curve import Evaluation, append, keep_until, monotone_defects, read_curve
from harness.record.errors import HarnessError, RecordError
from harness.record.folders.folder import CONFIG, CURVE, PROVENANCE, RUN, is_finished, read_run, read_runs, seal
from harness.record.folders.writer import RunWriter
from harness.record.ledger import Ledger
from harness.record.protocol import PROTOCOL_VERSION, digest


def row(step: int, correct: int = 5) -> Evaluation:
    return Evaluation(
        step=step, epoch=step / 10, images=step * 8, train_forward_macs=step * 100, train_backward_macs=step * 190,
        evaluation_macs=step * 10, lost_macs=0, correct_top1=correct, correct_top5=8, total=10, loss=1.0, lr=0.1,
        train_seconds=1.0 * step, eval_seconds=0.1 * step, data_wait_seconds=0.0,
    )  # fmt: skip


SUMMARY = {
    "protocol_version": PROTOCOL_VERSION, "kind": "measured", "run_id": "abc", "outcome": "budget_exhausted",
    "model": "m", "title": "M", "published": "2015-01-01", "fidelity": {}, "recipe": "small", "seed": 0,
    "dataset": {"name": "d", "fingerprint": "f", "subset": False}, "target": None, "planned_epochs": 1,
    "evaluations_per_epoch": 1, "batch_size": 8, "bill": {}, "totals": {}, "diverged_at_step": None, "hardware": {},
}  # fmt: skip


def written(folder: Path) -> Path:
    writer = RunWriter(folder)
    writer.open(config="seed: 0\n", segment={"commit": None}, overrides=["seed=0"])
    writer.append(row(10))
    writer.append(row(20, correct=6))
    writer.note_macs(6000)
    writer.state("running")
    writer.finish(SUMMARY)
    return folder


def test_a_record_is_read_back_whole_and_leaves_nothing_transient(tmp_path: Path) -> None:
    folder = written(tmp_path / "run")
    assert sorted(p.name for p in folder.iterdir()) == sorted([CONFIG, PROVENANCE, CURVE, RUN])
    run = read_run(folder)
    assert [e.step for e in run.curve] == [10, 20]
    assert run.curve[-1].train_macs == 20 * 290
    assert run.target is None
    assert [r.path for r in read_runs(tmp_path)] == [folder]


@pytest.mark.parametrize("name", [CONFIG, PROVENANCE, CURVE])
def test_an_edited_file_is_noticed(tmp_path: Path, name: str) -> None:
    folder = written(tmp_path)
    with open(folder / name, "a") as file:
        file.write(" ")
    with pytest.raises(RecordError, match=f"{name}: hash mismatch"):
        read_run(folder)


@pytest.mark.parametrize("name", [CONFIG, PROVENANCE, CURVE])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    folder = written(tmp_path)
    (folder / name).unlink()
    with pytest.raises(RecordError, match=f"{name}: missing"):
        read_run(folder)


def test_an_edited_summary_is_noticed(tmp_path: Path) -> None:
    folder = written(tmp_path)
    summary = json.loads((folder / RUN).read_text())
    summary["seed"] = 7
    (folder / RUN).write_text(json.dumps(summary))
    with pytest.raises(RecordError, match="hash mismatch"):
        read_run(folder)


def test_a_truncated_summary_is_named(tmp_path: Path) -> None:
    folder = written(tmp_path)
    text = (folder / RUN).read_text()
    (folder / RUN).write_text(text[: len(text) // 2])
    with pytest.raises(RecordError, match="truncated"):
        read_run(folder)


def test_a_truncated_curve_is_named_by_line(tmp_path: Path) -> None:
    folder = written(tmp_path)
    path = folder / CURVE
    path.write_text(path.read_text()[:-20])
    with pytest.raises(RecordError, match="line 2 is truncated"):
        read_curve(path)


def test_another_protocol_version_is_refused(tmp_path: Path) -> None:
    folder = written(tmp_path)
    summary = json.loads((folder / RUN).read_text())
    summary["protocol_version"] = 99
    summary.pop("self_sha256")
    summary["self_sha256"] = digest(summary)
    (folder / RUN).write_text(json.dumps(summary))
    with pytest.raises(RecordError, match="protocol version 99"):
        read_run(folder)


def test_unfinished_empty_and_absent_folders_say_so(tmp_path: Path) -> None:
    writer = RunWriter(tmp_path / "run")
    writer.open(config="a: 1\n", segment={}, overrides=[])
    writer.close()
    assert not is_finished(tmp_path / "run")
    with pytest.raises(RecordError, match="has not finished"):
        read_run(tmp_path / "run")
    with pytest.raises(RecordError, match="no finished run"):
        read_runs(tmp_path)
    with pytest.raises(RecordError, match="no such folder"):
        read_runs(tmp_path / "absent")


def test_a_summary_without_all_keys_is_not_sealed(tmp_path: Path) -> None:
    writer = RunWriter(tmp_path)
    writer.open(config="a: 1\n", segment={}, overrides=[])
    with pytest.raises(ValueError, match="lacks"):
        writer.finish({"seed": 1})
    assert not is_finished(tmp_path)


def test_a_full_disk_leaves_the_previous_file_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    files.write_atomic(path, "before")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(HarnessError, match="No space left"):
        files.write_atomic(path, "after")
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_leaves_the_curve_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / CURVE
    append(path, row(10))

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(HarnessError, match="No space left"):
        append(path, row(20))
    monkeypatch.undo()
    assert [e.step for e in read_curve(path)] == [10]


def test_cutting_back_keeps_what_the_checkpoint_knew_and_drops_torn_lines(tmp_path: Path) -> None:
    path = tmp_path / CURVE
    for step in (10, 20, 30):
        append(path, row(step))
    with open(path, "a") as file:
        file.write('{"step": 40, "torn')
    keep_until(path, 20)
    assert [e.step for e in read_curve(path)] == [10, 20]
    keep_until(tmp_path / "absent", 20)


def test_the_journal_survives_and_segments_accumulate(tmp_path: Path) -> None:
    for number in (1, 2):
        writer = RunWriter(tmp_path)
        writer.open(config="a: 1\n", segment={"number": number}, overrides=[])
        assert writer.noted_macs() == (0 if number == 1 else 10**25)
        writer.note_macs(10**25)
        writer.close()
    assert [s["number"] for s in json.loads((tmp_path / PROVENANCE).read_text())["segments"]] == [1, 2]


def test_a_curve_that_cannot_be_a_ledgers_is_named() -> None:
    assert monotone_defects([row(10), row(20)]) == []
    assert monotone_defects([row(20), row(10)])
    assert monotone_defects([row(10), row(10)]) == ["evaluation 2: step (not rising) falls"]
    assert monotone_defects([row(10, correct=9)]) == ["evaluation 1: counts 9, 8 of 10"]


def test_the_ledger_bills_integers_by_line() -> None:
    ledger = Ledger()
    ledger.bill_training(3, forward_macs=100, backward_macs=190)
    ledger.bill_evaluation(2, evaluation_macs=90)
    ledger.lost_macs += 5
    assert ledger.as_dict() == {
        "train_forward_macs": 300, "train_backward_macs": 570, "evaluation_macs": 180, "lost_macs": 5,
    }  # fmt: skip
    assert (ledger.train_macs, ledger.done_macs) == (870, 1050)


def test_seal_refuses_a_folder_without_its_files(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        seal(tmp_path, SUMMARY)
