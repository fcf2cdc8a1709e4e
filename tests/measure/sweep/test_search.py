"""A real search on the digits: its records, its resumption after a kill, and what it says."""

import json
import signal
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from harness import cli
from harness.record.curve import TIMING_FIELDS
from harness.record.errors import EXIT_INTERRUPTED
from harness.record.folders.folder import CURVE, find_run_folders, is_finished, read_run
from tests import forked

SMALL = [
    *("data=digits", "model=alexnet", "model.name=net", "model.min_resolution=16", "data.resolution=16"),
    *("device=cpu", "threads=1", "recipe.lr=0.01", "target.metric=top1", "target.value=0.93", "budget.epochs=6"),
]
"""A network that trains in a millisecond a step: most runs end above 93 % after three epochs, few after one."""

ASKED = ["--seeds", "2", "--runs", "8", "--json"]

PROGRAM = """
import os, sys
from harness import cli, models
from harness.measure.training import loop
from tests.measure.faults import Net

number, at = int(sys.argv[1]), int(sys.argv[2])
models.ZOO["net"] = Net
inner, steps = loop.optimise_step, [0]

def step(*args, **kwargs):
    steps[0] += 1
    if steps[0] == at:
        os.kill(os.getpid(), number)
    return inner(*args, **kwargs)

loop.optimise_step = step
sys.exit(cli.main(sys.argv[3:]))
"""
"""`harness search`, to which a signal comes at its optimiser step number `at`, over all its runs (0: never)."""


def searched(out: Path, *words: str, signal_number: int = 0, at: int = 0) -> CompletedProcess[str]:
    command = ["-c", PROGRAM, str(signal_number), str(at), "search", *SMALL, f"out={out}", *words]
    return forked.run(command, timeout=500)


def records(out: Path) -> dict[str, list[dict[str, Any]]]:
    """The curve of every record by its place, without what the clock and a kill say."""
    found = {}
    for folder in find_run_folders(out):
        assert is_finished(folder)
        rows = [json.loads(line) for line in (folder / CURVE).read_text().splitlines()]
        apart = (*TIMING_FIELDS, "lost_macs")
        timeless = [{key: value for key, value in row.items() if key not in apart} for row in rows]
        found[str(folder.relative_to(out))] = timeless
    return found


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A search that nothing disturbed: its records and its answer."""
    out = tmp_path_factory.mktemp("whole")
    done = searched(out, *ASKED)
    assert done.returncode == 0, done.stderr
    return out, json.loads(done.stdout)


def test_its_runs_are_ordinary_records_judged_by_one_look_at_their_plans_end(
    whole: tuple[Path, dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    out, document = whole
    runs = {run.summary["run_id"]: run for run in map(read_run, find_run_folders(out))}
    assert len(runs) == len(document["runs"]) == 8
    assert [row["seed"] for row in document["runs"]] == list(range(8))
    for row in document["runs"]:
        run = runs[row["run_id"]]
        assert (run.summary["kind"], run.target, run.outcome) == ("search", None, "budget_exhausted")
        assert run.summary["search"]["level"]["value"] == 0.93
        assert run.summary["planned_epochs"] == row["planned_epochs"] == run.curve[-1].epoch
        assert row["succeeded"] == (run.curve[-1].correct_top1 / run.curve[-1].total >= 0.93)
        assert run.path.relative_to(out).parts[:3] == ("digits", "search", "top1_0.93")
    assert {row["succeeded"] for row in document["runs"]} == {True, False}, "the level tells plans apart"
    assert document["runs"][0]["planned_epochs"] == 6, "the longest plan comes first"
    spent = sum(run.summary["totals"]["train_forward_macs"] for run in runs.values())
    assert document["search_ledger"]["train_forward_macs"] == spent > 0
    assert sum(row["runs"] for row in document["tried"]) == 8
    assert cli.main(["aggregate", str(out), "--json"]) == 0
    (group,) = json.loads(capsys.readouterr().out)["groups"]
    (shown,) = group["searches"]
    assert (shown["case"], shown["tried"]) == (document["case"], document["tried"])
    for name in ("e90_epochs", "e90_paper_pflop"):
        assert shown[name] == (None if document[name] is None else pytest.approx(document[name]))
    ends = zip(shown["interval_epochs"], document["interval_epochs"], strict=True)
    assert all(a == (None if b is None else pytest.approx(b)) for a, b in ends)
    assert (group["rows"], group["target"]["value"]) == ([], 0.93)


@pytest.mark.parametrize(
    ("number", "code", "at"), [(signal.SIGKILL, -signal.SIGKILL, 700), (signal.SIGTERM, EXIT_INTERRUPTED, 150)]
)
def test_killed_in_the_middle_and_resumed_it_ends_as_one_never_killed(
    whole: tuple[Path, dict[str, Any]], tmp_path: Path, number: int, code: int, at: int
) -> None:
    out, document = whole
    broken = searched(tmp_path, *ASKED, signal_number=number, at=at)
    assert broken.returncode == code, broken.stderr
    assert broken.stdout == ""
    finished = [folder for folder in find_run_folders(tmp_path) if is_finished(folder)]
    assert len(finished) < 8
    if code == EXIT_INTERRUPTED:
        assert broken.stderr.endswith("harness: interrupted; the same command resumes the search\n")
    done = searched(tmp_path, *ASKED)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("skipped") == len(finished)
    answer = json.loads(done.stdout)
    lost = answer["search_ledger"].pop("lost_macs")
    assert (lost > 0) == (number == signal.SIGKILL), "work done twice stands on the ledger"
    ledger = {line: macs for line, macs in document["search_ledger"].items() if line != "lost_macs"}
    assert answer == document | {"search_ledger": ledger}
    assert records(tmp_path) == records(out)


def test_several_at_once_give_what_one_after_the_other_gives(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["search", "data=fake", "model=squeezenet1_1", "budget.epochs=2", "device=cpu", "precision=fp32"]
    words += ["threads=1", "target.metric=top5", "target.value=0.55", "--seeds", "2", "--runs", "4", "--json"]
    assert cli.main([*words, f"out={tmp_path / 'one'}"]) == 0
    alone = json.loads(capsys.readouterr().out)
    command = ["-m", "harness", *words, f"out={tmp_path / 'two'}", "hydra.launcher.parallel=2"]
    done = forked.run(command, timeout=500)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == alone
    assert records(tmp_path / "one") == records(tmp_path / "two")
    assert {run.summary["kind"] for run in map(read_run, find_run_folders(tmp_path / "two"))} == {"search"}


def test_it_says_its_answer_in_words(whole: tuple[Path, dict[str, Any]]) -> None:
    out, document = whole
    done = searched(out, *ASKED[:-1])
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == f"net: {document['words']}"
    for row in document["tried"]:
        assert f"  {row['planned_epochs']} epochs: {row['succeeded']} of {row['runs']} runs" in lines
    assert "top1 93.00% or above, one look at the plan's end" in done.stdout
    assert "all 8 runs are made" in done.stdout
    assert "no part of any cost to target" in lines[-1]
    assert done.stderr.count("skipped") == 8


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["target=none"], "needs a level"),
        (["hydra/launcher=slurm"], "runs where it is started"),
        (["--runs", "7"], "multiple of --seeds 3"),
        (["--min-epochs", "2"], "below budget.epochs"),
        (["hydra.run.dir=x"], "not obeyed here"),
        (["target.value=0.05"], "says nothing: guessing among 10 classes"),
    ],
)
def test_what_cannot_be_searched_is_one_line_and_nothing_is_written(
    words: list[str], says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["search", "model=shufflenet_v2_x1_0", "data=digits", "data.resolution=32", "budget.epochs=2"]
    level = [] if "target=none" in words else ["target.metric=top1", "target.value=0.5"]
    assert cli.main([*command, "threads=1", *level, f"out={tmp_path}", *words]) == 2
    assert says in capsys.readouterr().err.splitlines()[-1]
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
