"""A run stopped anywhere and started again ends as one never stopped: weights, curve and training bill, bit for bit."""

import json
import random
import re
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from harness.measure.bill.count import bill
from harness.record.curve import TIMING_FIELDS
from harness.record.errors import EXIT_ERROR, EXIT_INTERRUPTED
from harness.record.folders.folder import LOCK, STATE, read_run
from tests.measure import faults
from tests.measure.faults import (
    EVALUATION_IMAGES,
    STATEFUL,
    STEPS_PER_EPOCH,
    TRAIN_IMAGES,
    Fault,
    Order,
    perform_and_wait,
)

KILLS = 20


@dataclass(frozen=True)
class Reference:
    """The uninterrupted run: its events with the step each belongs to, and what it left."""

    events: list[str]
    step_of: list[int]
    result: tuple[object, ...]


def order(root: Path, attempt: str, *, fault: Fault | None = None, extra: tuple[str, ...] = ()) -> Order:
    return Order([*STATEFUL, f"out={root / 'runs'}", *extra], notes=root / attempt, fault=fault)


def folder_of(root: Path) -> Path:
    (folder,) = (root / "runs" / "fake" / "net").iterdir()
    return folder


def left(root: Path, attempt: str) -> tuple[object, ...]:
    """What must not depend on interruptions: weights and all other state, the curve, the totals."""
    made = read_run(folder_of(root))
    rows = [json.loads(line) for line in (folder_of(root) / "curve.jsonl").read_text().splitlines()]
    untimed = [{k: v for k, v in row.items() if k not in (*TIMING_FIELDS, "lost_macs")} for row in rows]
    totals = {k: v for k, v in made.summary["totals"].items() if k not in (*TIMING_FIELDS, "lost_macs")}
    return (root / attempt / "weights0").read_text(), untimed, totals, made.outcome


def events(root: Path, attempt: str) -> list[str]:
    return (root / attempt / "trace0").read_text().splitlines()


def lost_macs(told: list[str], first_step: int = 0) -> int:
    """What a killed process had journalled since its last whole checkpoint, by hand from its trace."""
    per_image = bill(faults.Net(10, norm=True, dropout=0.3), resolution=16)
    lost, step, doing = 0, first_step, ""
    for event in told:
        if event in ("step ends", "evaluation ends"):
            doing = event.split()[0]
        elif event == "journal ends" and doing == "evaluation":
            lost += EVALUATION_IMAGES * per_image.evaluation_macs
        elif event == "journal ends":
            step += 1
            images = TRAIN_IMAGES - 7 * 32 if step % STEPS_PER_EPOCH == 0 else 32
            lost += images * per_image.spent_macs
        elif event == "replacing checkpoint.pt ends":
            lost = 0
    return lost


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Reference:
    root = tmp_path_factory.mktemp("reference")
    assert perform_and_wait(order(root, "whole")) == 0
    told = events(root, "whole")
    assert told.count("step ends") == faults.EPOCHS * STEPS_PER_EPOCH
    step, step_of = 0, []
    for event in told:
        step += event == "step begins"
        step_of.append(step)
    assert read_run(folder_of(root)).summary["totals"]["lost_macs"] == 0
    return Reference(told, step_of, left(root, "whole"))


def test_sigkill_at_random_steps(reference: Reference, tmp_path: Path) -> None:
    """At twenty steps of twenty-four, each time at a random event of the step: mid-step, mid-evaluation, mid-write."""
    choose = random.Random(5)
    for number, step in enumerate(choose.sample(range(1, faults.EPOCHS * STEPS_PER_EPOCH + 1), KILLS)):
        root = tmp_path / str(number)
        at = choose.choice([i for i, of in enumerate(reference.step_of) if of == step])
        what = f"killed at step {step}, {reference.events[at]} (event {at})"
        # a checkpoint at every step, none at all, at evaluations
        saves = {0: ("checkpoint_minutes=1e-9",), 1: ("checkpoint_at_evaluations=false",)}.get(number % 4, ())
        if saves:
            at = choose.randrange(len(reference.events) // (number % 4 + 1))
        assert perform_and_wait(order(root, "killed", fault=Fault(at, faults.sigkill), extra=saves)) == -9, what
        lost = lost_macs(events(root, "killed"))
        assert perform_and_wait(order(root, "resumed", extra=saves)) == 0, what
        attempt = "resumed" if (root / "resumed" / "weights0").exists() else "killed"  # sealed already, when killed
        assert left(root, attempt) == reference.result, what
        assert read_run(folder_of(root)).summary["totals"]["lost_macs"] == lost, what


def test_killed_again_and_again(reference: Reference, tmp_path: Path) -> None:
    choose = random.Random(6)
    lost = 0
    for attempt in range(4):
        at = choose.randrange(60, 75)  # past the attempt's first checkpoint, before its second
        assert perform_and_wait(order(tmp_path, f"killed{attempt}", fault=Fault(at, faults.sigkill))) == -9
        told = events(tmp_path, f"killed{attempt}")
        resumed = re.search(r"resumed at step (\d+)", (tmp_path / f"killed{attempt}" / "stderr0").read_text())
        assert (resumed is not None) == (attempt > 0)
        lost += lost_macs(told, first_step=int(resumed[1]) if resumed else 0)
    assert perform_and_wait(order(tmp_path, "last")) == 0
    assert left(tmp_path, "last") == reference.result
    assert read_run(folder_of(tmp_path)).summary["totals"]["lost_macs"] == lost > 0


@pytest.mark.parametrize("act", [faults.sigterm, faults.sigusr2, faults.sigint], ids=["TERM", "USR2", "INT"])
def test_a_stop_signal_saves_and_exits_75(reference: Reference, tmp_path: Path, act: Callable[[Path], None]) -> None:
    choose = random.Random(str(act))
    at = choose.choice([i for i, of in enumerate(reference.step_of) if 0 < of < faults.EPOCHS * STEPS_PER_EPOCH])
    assert perform_and_wait(order(tmp_path, "stopped", fault=Fault(at, act))) == EXIT_INTERRUPTED
    state = json.loads((folder_of(tmp_path) / STATE).read_text())
    assert (state["state"], state["error"]) == ("interrupted", None)
    assert not (folder_of(tmp_path) / LOCK).exists()
    assert perform_and_wait(order(tmp_path, "resumed")) == 0
    assert left(tmp_path, "resumed") == reference.result
    assert read_run(folder_of(tmp_path)).summary["totals"]["lost_macs"] == 0


def test_of_two_processes_on_one_run_one_trains(reference: Reference, tmp_path: Path) -> None:
    middle = reference.step_of.index(12)
    first = faults.start(order(tmp_path, "first", fault=Fault(middle, faults.sigstop)))
    told = tmp_path / "first" / "trace0"
    try:
        while first.poll() is None and not (told.exists() and len(told.read_text().splitlines()) > middle):
            time.sleep(0.01)
        assert perform_and_wait(order(tmp_path, "second")) == EXIT_ERROR
        assert f"process {first.pid} on " in (tmp_path / "second" / "stderr0").read_text()
        assert "step begins" not in events(tmp_path, "second")
    finally:
        faults.os.kill(first.pid, signal.SIGCONT)
    assert faults.finish(first) == 0
    assert left(tmp_path, "first") == reference.result


@pytest.mark.parametrize("name", ["checkpoint.pt", "state.json", "run.json"])
def test_a_full_disk_stops_the_run_and_the_last_checkpoint_resumes(
    reference: Reference, tmp_path: Path, name: str
) -> None:
    last = max(i for i, event in enumerate(reference.events) if event == f"replacing {name} ends")
    before = last - 8 if name == "run.json" else reference.step_of.index(19)
    full = Fault(before, partial(faults.fill_disk, name))
    assert perform_and_wait(order(tmp_path, "full", fault=full)) == EXIT_ERROR
    said = (tmp_path / "full" / "stderr0").read_text()
    assert re.search(rf"harness: cannot write \S+{name}: No space left on device; free some space", said)
    assert "Traceback" not in said
    assert perform_and_wait(order(tmp_path, "resumed")) == 0
    assert "resumed at step" in (tmp_path / "resumed" / "stderr0").read_text()
    assert left(tmp_path, "resumed") == reference.result


@pytest.fixture
def open_path() -> Iterator[Path]:
    """A scratch folder whose parents anybody may pass, unlike pytest's: the child below becomes another user."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


def test_a_folder_that_becomes_read_only_stops_the_run(reference: Reference, open_path: Path) -> None:
    forbidden = Fault(reference.step_of.index(10), faults.forbid_writing)
    assert perform_and_wait(order(open_path, "forbidden", fault=forbidden)) == EXIT_ERROR
    said = (open_path / "forbidden" / "stderr0").read_text()
    assert re.search(r"harness: cannot write \S+: Permission denied; free some space or set another out=", said)
    assert "Traceback" not in said
    folder_of(open_path).chmod(0o755)
    assert perform_and_wait(order(open_path, "resumed")) == 0
    assert left(open_path, "resumed") == reference.result


def test_a_damaged_checkpoint_is_one_line(reference: Reference, tmp_path: Path) -> None:
    assert perform_and_wait(order(tmp_path, "killed", fault=Fault(60, faults.sigkill))) == -9
    checkpoint = folder_of(tmp_path) / "checkpoint.pt"
    checkpoint.write_bytes(checkpoint.read_bytes()[:1000])
    assert perform_and_wait(order(tmp_path, "resumed")) == EXIT_ERROR
    assert "unreadable checkpoint" in (tmp_path / "resumed" / "stderr0").read_text()
