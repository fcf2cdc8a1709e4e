"""What `harness status` says of a run, from its folder and from the queue."""

import json
from pathlib import Path

import pytest

from harness import cli
from harness.record.errors import RecordError
from harness.record.folders import survey as survey_module
from harness.record.folders.folder import CONFIG, STATE
from harness.record.folders.lock import RunLock
from harness.record.folders.survey import survey
from harness.record.folders.sweep import SUBMISSIONS, Queued, Submission, logs_of, telling_line, write_manifest
from tests.analyse.synthetic import Made, write_run

FACTS = {"model": "net", "seed": 3, "epoch": 1.5, "planned_epochs": 4, "top1": 0.25, "train_forward_macs": 10**15}


def begin(root: Path, name: str, state: str, error: str | None = None) -> Path:
    """An unfinished run's folder."""
    folder = root / "digits" / "net" / name
    folder.mkdir(parents=True)
    (folder / CONFIG).write_text("")
    (folder / STATE).write_text(json.dumps({"state": state, "error": error, **FACTS}))
    return folder


def submitted(root: Path, *names: str) -> None:
    (root / SUBMISSIONS).mkdir()
    runs = [Submission(f"12_{i}", f"digits/net/{name}", "net", i, []) for i, name in enumerate(names)]
    write_manifest(root, runs)


def states(root: Path) -> dict[str, tuple[str, str]]:
    return {Path(line.folder).name: (line.state, line.note) for line in survey(root)}


def test_without_a_cluster_folders_tell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(survey_module, "queue", lambda *_: pytest.fail("squeue was asked though nothing was submitted"))
    begin(tmp_path, "failed", "failed", "ValueError: no")
    begin(tmp_path, "stopped", "interrupted")
    begin(tmp_path, "dead", "running")
    with RunLock(begin(tmp_path, "alive", "running")):
        assert states(tmp_path) == {
            "failed": ("failed", "ValueError: no"),
            "stopped": ("interrupted", "start it again and it resumes"),
            "dead": ("failed", "killed; start it again and it resumes"),
            "alive": ("running", ""),
        }


def test_the_queue_tells_of_runs_that_have_no_folder_yet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begin(tmp_path, "again", "interrupted")
    submitted(tmp_path, "again", "queued", "gone", "never")
    (tmp_path / SUBMISSIONS / "12_2_0_log.err").write_text("harness: no such folder\n")
    live = {
        "12_0": Queued("PENDING", "Resources"),
        "12_1": Queued("CONFIGURING"),
        "12_3": Queued("PENDING", "DependencyNeverSatisfied"),
    }
    monkeypatch.setattr(survey_module, "queue", lambda _users: live)
    assert states(tmp_path) == {
        "again": ("waiting", "pending: Resources"),
        "queued": ("waiting", "configuring"),
        "gone": ("failed", "harness: no such folder"),
        "never": ("failed", "DependencyNeverSatisfied: it never starts; scancel 12_3 and submit again"),
    }
    assert [line.job for line in survey(tmp_path / "digits")] == ["12_0", "12_2", "12_3", "12_1"]  # below the root, too
    monkeypatch.setattr(survey_module, "queue", lambda _users: None)
    assert states(tmp_path)["queued"] == ("waiting", "squeue does not answer")


def test_finished_runs_are_read_from_their_records(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_run(tmp_path, Made("resnet18", [0.1, 0.6], seed=2))
    write_run(tmp_path, Made("vgg11", [0.1], outcome="diverged"))
    write_run(tmp_path, Made("alexnet", [0.5], outcome="budget_exhausted", target=None))
    assert cli.main(["status", str(tmp_path), "--json"]) == 0
    full, reached, diverged = json.loads(capsys.readouterr().out)
    assert (full["state"], full["note"]) == ("complete", "full schedule, no target")
    assert (reached["model"], reached["seed"], reached["state"], reached["top1"]) == ("resnet18", 2, "reached", 0.6)
    assert reached["train_forward_macs"] > 0
    assert (diverged["state"], diverged["note"]) == ("censored", "diverged")


def test_the_table_fits_into_100_columns_however_long_the_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    begin(tmp_path, "failed", "failed", "ValueError: " + "very [red]long[/red] " * 20)
    assert cli.main(["status", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 100
    assert "[red]" in out  # an error is text, never markup
    assert "1.5/4" in out
    assert "1 run: 1 failed" in out


def test_a_folder_without_runs_is_bad_input(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="no run in it"):
        survey(tmp_path)


@pytest.mark.parametrize(
    ("log", "words"),
    [
        (
            "epoch 1\nTraceback (most recent call last):\n  x\nValueError: no\nsrun: error: n1: task 0: Exited 1\n",
            "ValueError: no",
        ),
        (
            "harness: data.root=/x: no such folder\nsrun: error: n1: task 0: Exited with exit code 2\n",
            "harness: data.root=/x: no such folder",
        ),
        ("epoch 1\nsrun: error: n1: task 0: Killed\n", "srun: error: n1: task 0: Killed"),
        (
            "slurmstepd: error: *** STEP 5.0 ON n1 CANCELLED AT 1 DUE TO TIME LIMIT ***\nsrun: Job step aborted\n",
            "slurmstepd: error: *** STEP 5.0 ON n1 CANCELLED AT 1 DUE TO TIME LIMIT ***",
        ),
        ("epoch 1  loss 2.1\n", None),
    ],
)
def test_the_telling_line_says_why(tmp_path: Path, log: str, words: str | None) -> None:
    (tmp_path / SUBMISSIONS).mkdir()
    (tmp_path / SUBMISSIONS / "5_0_0_log.err").write_text(log)
    (tmp_path / SUBMISSIONS / "5_01_0_log.err").write_text("ValueError: another job's\n")
    assert telling_line(*logs_of(tmp_path, "5_0")) == words
