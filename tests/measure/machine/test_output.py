"""What is printed decides nothing: readers that are gone, full disks, lost terminals. Real processes, real pipes."""

import json
import os
import pty
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness.paths import ROOT
from harness.record.errors import EXIT_DIVERGED, EXIT_DONE, EXIT_ERROR, EXIT_INTERRUPTED
from harness.record.folders.folder import CHECKPOINT, STATE, find_run_folders, read_runs
from tests import forked
from tests.forked import Forked
from tests.measure import faults
from tests.measure.faults import SMALL, Fault, Order

RUN = ["data=fake", "model=squeezenet1_1", "target=none", "device=cpu", "precision=fp32", "threads=1"]
HARNESS = f"{sys.executable} -m harness"
PATIENCE_SECONDS = 240


def pipeline(line: str, tmp_path: Path) -> int:
    """The exit code of the first command of a shell's pipeline."""
    codes = tmp_path / "codes"
    script = f'{line}\necho "${{PIPESTATUS[@]}}" > {codes}'
    subprocess.run(["bash", "-c", script], cwd=ROOT, stdout=subprocess.DEVNULL, timeout=PATIENCE_SECONDS, check=True)
    return int(codes.read_text().split()[0])


READERS = {
    "a reader of one line": "head -1",
    "a tee that dies": "head -1; kill -9 $$",
    "no reader": "true",
}


def read_by(reader: str, *words: str) -> int:
    """The exit code of `harness WORDS 2>&1 | READER`."""
    reading, writing = os.pipe()
    with subprocess.Popen(["bash", "-c", READERS[reader]], stdin=reading, stdout=subprocess.DEVNULL):
        os.close(reading)
        process = Forked(["-m", "harness", *words], stdout=writing, stderr=writing)
        os.close(writing)
        return process.wait(PATIENCE_SECONDS)


def sealed_after_three_epochs(root: Path) -> bool:
    (run,) = read_runs(root)
    return [look.epoch for look in run.curve] == [1, 2, 3]


@pytest.mark.parametrize("reader", READERS)
def test_a_run_is_sealed_whoever_reads(tmp_path: Path, reader: str) -> None:
    assert read_by(reader, "train", *RUN, "budget.epochs=3", f"out={tmp_path}/runs") == EXIT_DONE
    assert sealed_after_three_epochs(tmp_path / "runs")


def test_a_run_is_sealed_on_a_full_disk(tmp_path: Path) -> None:
    words = [*RUN, "budget.epochs=3", f"out={tmp_path}/runs"]
    with open("/dev/full", "w") as full:
        process = Forked(["-m", "harness", "train", *words], stdout=full, stderr=full)
    assert process.wait(PATIENCE_SECONDS) == EXIT_DONE
    assert sealed_after_three_epochs(tmp_path / "runs")


def test_a_run_is_sealed_that_was_started_with_closed_descriptors(tmp_path: Path) -> None:
    """The files that it opens take their numbers, from its first import on."""
    words = " ".join([*RUN, "budget.epochs=3", f"out={tmp_path}/runs"])
    assert pipeline(f"{HARNESS} train {words} >&- 2>&-", tmp_path) == EXIT_DONE
    assert sealed_after_three_epochs(tmp_path / "runs")


@pytest.mark.parametrize("parallel", [1, 2])
def test_a_sweep_goes_on_whoever_reads(tmp_path: Path, parallel: int) -> None:
    words = [*RUN, "seed=0,1", "budget.epochs=1", f"hydra.launcher.parallel={parallel}", f"out={tmp_path}/runs"]
    assert read_by("a reader of one line", "train", "-m", *words) == EXIT_DONE
    assert sorted(run.seed for run in read_runs(tmp_path / "runs")) == [0, 1]


def test_a_search_goes_on_whoever_reads(tmp_path: Path) -> None:
    level = ["target.metric=top1", "target.value=0.99", "--seeds", "1", "--runs", "2"]
    assert read_by("no reader", "search", *RUN, *level, "budget.epochs=2", f"out={tmp_path}/runs") == EXIT_DONE
    assert [run.outcome for run in read_runs(tmp_path / "runs")] == ["budget_exhausted"] * 2


def test_a_diverged_run_is_sealed_whoever_reads(tmp_path: Path) -> None:
    words = [*RUN, "recipe.lr=1e30", "budget.epochs=1", f"out={tmp_path}/runs"]
    assert read_by("no reader", "train", *words) == EXIT_DIVERGED
    assert [run.outcome for run in read_runs(tmp_path / "runs")] == ["diverged"]


FAILING = """
import os, sys, torch
from torch import nn
from harness import models
from harness.measure.config.compose import compose
from harness.measure.machine.signals import StopFlag
from harness.measure.run import run
from tests.measure.faults import SMALL

class Failing(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.layer, self.steps = nn.Linear(3 * 16 * 16, num_classes), 0
    def forward(self, images):
        self.steps += self.training and images.device.type == "cpu"
        if self.steps == 5:
            reading, writing = os.pipe()
            os.close(reading)
            os.dup2(writing, 2)  # from here on nobody reads what is said
            if sys.argv[2] == "out_of_memory":
                raise torch.OutOfMemoryError("of a device")
            return self.layer(images.flatten(1)) * float("nan")
        return self.layer(images.flatten(1))

models.ZOO["net"] = Failing
run(compose([*SMALL, f"out={sys.argv[1]}"]), overrides=[], stop=StopFlag())
"""


@pytest.mark.parametrize("outcome", ["diverged", "out_of_memory"])
def test_the_record_is_sealed_before_anything_is_said(tmp_path: Path, outcome: str) -> None:
    """Called from a program of its own, whose output nobody mends: it fails on the words, with the record sealed."""
    ended = forked.run(["-c", FAILING, str(tmp_path), outcome], timeout=PATIENCE_SECONDS)
    assert ended.returncode != EXIT_DONE
    if outcome == "out_of_memory":  # no outcome: the run stays open, and its state says why it ended
        (state,) = tmp_path.rglob("state.json")
        assert json.loads(state.read_text())["error"].startswith("out of memory")
    else:
        assert [run.outcome for run in read_runs(tmp_path)] == [outcome]


def test_an_aggregate_is_written_whoever_reads(tmp_path: Path) -> None:
    """A table of sixty lines through `head` left no file behind: the pipe broke before any was written."""
    words = ["aggregate", "results/runs/tiny_imagenet", "--draws=10", "--no-figures", f"--out={tmp_path}"]
    assert read_by("a reader of one line", *words) == EXIT_DONE
    assert {path.name for path in tmp_path.iterdir()} == {"TABLE.md", "table.csv", "trend.json"}


@pytest.mark.parametrize("verb", ["replay", "status results/runs/tiny_imagenet"])  # it prints, rich prints
def test_a_verb_whose_purpose_is_to_print_ends_with_its_reader(tmp_path: Path, verb: str) -> None:
    assert pipeline(f"{HARNESS} {verb} | true", tmp_path) == EXIT_DONE


@pytest.mark.parametrize("verb", ["replay", "status results/runs/tiny_imagenet", "count squeezenet1_1 --json"])
def test_an_answer_that_finds_no_room_is_told_in_one_line(verb: str) -> None:
    command = ["bash", "-c", f"{HARNESS} {verb} > /dev/full"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_SECONDS)
    told = "harness: [Errno 28] No space left on device: make room, and start it again\n"
    assert (ended.returncode, ended.stderr) == (EXIT_ERROR, told)


def test_lost_output_is_told_where_somebody_listens() -> None:
    code = "from harness.measure.machine.output import make_lasting\nmake_lasting()\n"
    code += "print('{}', flush=True)\nprint('{}', flush=True)"
    command = ["bash", "-c", f'{sys.executable} -c "$1" >/dev/full', "-", code]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_SECONDS)
    told = "harness: the rest of standard output is lost: No space left on device\n"
    assert (ended.returncode, ended.stderr) == (EXIT_DONE, told)


PAUSED = """
import os, sys
from harness.measure.machine import output

reading = int(sys.argv[1])
output.PATIENCE_SECONDS = 0.0
output.make_lasting()
print("x" * 1_000_000, flush=True)
os.read(reading, 1_000_000)
print("last", flush=True)
"""


def test_a_reader_that_only_pauses_misses_something_and_nothing_fails() -> None:
    """The pipe does not block: a write that finds it full meets EAGAIN, which is no reason to fall silent for good."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    command = [sys.executable, "-c", PAUSED, str(reading)]
    ended = subprocess.run(command, cwd=ROOT, stdout=writing, pass_fds=(reading,), timeout=PATIENCE_SECONDS)
    os.close(writing)
    with os.fdopen(reading, "rb") as rest:
        assert (ended.returncode, rest.read()[-5:]) == (EXIT_DONE, b"last\n")


class Terminal:
    """`harness train` in a session of its own, on a terminal that can go away."""

    def __init__(self, out: Path, *words: str, first: str = "") -> None:
        self.out = out
        self._end, theirs = pty.openpty()
        command = " ".join([HARNESS, "train", *RUN, f"out={out}", *words])
        shell = ["setsid", "--ctty", "sh", "-c", f"{first} exec {command}"]
        self.process = subprocess.Popen(shell, cwd=ROOT, stdin=theirs, stdout=theirs, stderr=theirs)
        os.close(theirs)
        os.set_blocking(self._end, False)

    def until_checkpoint(self) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not any((folder / CHECKPOINT).exists() for folder in find_run_folders(self.out)):
            self._drain()
            assert self.process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)  # between two looks at another program; no result depends on it

    def _drain(self) -> None:
        try:
            os.read(self._end, 1 << 20)
        except BlockingIOError:
            return

    def go_away(self) -> None:
        os.close(self._end)


def test_a_terminal_that_goes_away_saves_and_leaves(tmp_path: Path) -> None:
    terminal = Terminal(tmp_path, "budget.epochs=100000")
    terminal.until_checkpoint()
    terminal.go_away()
    assert terminal.process.wait(PATIENCE_SECONDS) == EXIT_INTERRUPTED
    (folder,) = find_run_folders(tmp_path)
    assert json.loads((folder / STATE).read_bytes())["state"] == "interrupted"


def test_under_nohup_it_trains_on_without_its_terminal(tmp_path: Path) -> None:
    terminal = Terminal(tmp_path, "budget.epochs=8", first="trap '' HUP;")
    terminal.until_checkpoint()
    terminal.go_away()
    assert terminal.process.wait(PATIENCE_SECONDS) == EXIT_DONE
    (run,) = read_runs(tmp_path)
    assert run.curve[-1].epoch == 8


def test_two_ctrl_c_in_a_moment_are_acknowledged_once_and_save(tmp_path: Path) -> None:
    order = Order([*SMALL, f"out={tmp_path / 'runs'}"], tmp_path / "notes", Fault(30, faults.two_sigints))
    assert faults.perform_and_wait(order) == EXIT_INTERRUPTED
    told = (tmp_path / "notes" / "stderr0").read_text()
    assert told.count("harness: Ctrl-C: saving after this step") == 1
    (folder,) = find_run_folders(tmp_path)
    assert json.loads((folder / STATE).read_bytes())["state"] == "interrupted"


def test_a_worker_that_breaks_its_pipe_is_no_success(tmp_path: Path) -> None:
    """A broken pipe that is not of our output: the run failed, and says so."""
    code = "import sys\nfrom harness import cli\nfrom harness.measure import run\n"
    code += "def broken(*_, **__): raise BrokenPipeError(32, 'Broken pipe')\nrun.build = broken\n"
    code += f"sys.exit(cli.main(['train', *{RUN!r}, 'out={tmp_path}']))"
    ended = forked.run(["-c", code], timeout=PATIENCE_SECONDS)
    assert ended.returncode == EXIT_ERROR
    assert "BrokenPipeError" in ended.stderr
