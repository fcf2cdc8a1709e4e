"""Several runs at once on this machine, as real processes: kept apart, told of signals, started again."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.measure.config.compose import compose, run_folder
from harness.measure.sweep import forecast
from harness.measure.sweep import local as local_module
from harness.measure.sweep.job import Job
from harness.measure.sweep.local import LocalConfig, processes_at_once, shares
from harness.measure.sweep.parallel import longest_first
from harness.paths import ROOT
from harness.record.curve import TIMING_FIELDS
from harness.record.errors import EXIT_DONE, EXIT_ERROR, EXIT_INTERRUPTED, BadInput
from harness.record.folders.folder import CHECKPOINT, CURVE, LOCK, STATE, is_finished, read_run
from harness.record.folders.lock import read_holder
from harness.record.folders.sweep import LOGS
from tests.forked import PIPE, Forked

RUN = ["data=fake", "model=squeezenet1_1", "target=none", "device=cpu", "precision=fp32"]
PATIENCE_SECONDS = 240
_begun: list[Forked] = []


@pytest.fixture(autouse=True)
def nothing_runs_on() -> Iterator[None]:
    """A sweep that a failed test leaves is killed, and its runs end with it."""
    yield
    while _begun:
        if (sweep := _begun.pop()).poll() is None:
            for pid in descendants(sweep.pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)  # one that a test has stopped would not hear of its parent's end
            sweep.kill()


def start(out: Path, *words: str) -> Forked:
    """`harness train -m` in a process of its own; those that it starts are fresh ones."""
    command = ["-m", "harness", "train", "-m", *RUN, f"out={out}", *words]
    _begun.append(Forked(command, stdout=PIPE, stderr=PIPE))
    return _begun[-1]


def end(process: Forked) -> tuple[int, str]:
    """Its exit code and stderr."""
    _, said = process.communicate(timeout=PATIENCE_SECONDS)
    return process.returncode, said


def folder(out: Path, *words: str) -> Path:
    return run_folder(compose([*RUN, f"out={out}", *words]))


def wait_until(condition: Callable[[], bool], process: Forked) -> None:
    """Poll what another process does; fails where that ends before."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.02)  # between two looks at another program; no result depends on it


def descendants(pid: int) -> list[int]:
    """The processes below this one, parents first."""
    children = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return [one for child in children for one in (child, *descendants(child))]


def curve(path: Path) -> list[dict[str, object]]:
    rows = [json.loads(line) for line in (path / CURVE).read_text().splitlines()]
    return [{key: value for key, value in row.items() if key not in TIMING_FIELDS} for row in rows]


def test_interrupted_and_resumed_in_parallel_is_as_one_after_the_other(tmp_path: Path) -> None:
    """Ctrl-C reaches every run, each saves; the same sweep again ends as one that ran serially, nothing done twice."""
    words = ["seed=0,1,2", "budget.epochs=6", "threads=1"]
    seeds = [f"seed={seed}" for seed in range(3)]
    parallel, serial = tmp_path / "parallel", tmp_path / "serial"
    folders = [folder(parallel, *words[1:], seed) for seed in seeds]
    begun = start(parallel, *words, "hydra.launcher.parallel=2", "hydra.launcher.order=given")
    wait_until(lambda: any((path / CHECKPOINT).exists() for path in folders[:2]), begun)
    faster, slower = sorted(folders[:2], key=lambda path: not (path / CHECKPOINT).exists())
    holder = read_holder(faster / LOCK)
    assert holder is not None
    os.kill(holder.pid, signal.SIGSTOP)  # a loaded machine may else let one run end before the other begins
    wait_until((slower / CHECKPOINT).exists, begun)
    os.kill(holder.pid, signal.SIGCONT)
    begun.send_signal(signal.SIGINT)
    code, said = end(begun)
    assert code == EXIT_INTERRUPTED, said
    for path in folders[:2]:
        assert json.loads((path / STATE).read_bytes())["state"] == "interrupted"
        assert not (path / LOCK).exists()
    assert not folders[2].exists()  # nothing is begun after a signal
    code, said = end(start(parallel, *words, "hydra.launcher.parallel=2"))
    assert code == EXIT_DONE, said
    assert end(start(serial, *words))[0] == EXIT_DONE
    for path, seed in zip(folders, seeds, strict=True):
        assert curve(path) == curve(folder(serial, *words[1:], seed))
        assert read_run(path).summary["totals"]["lost_macs"] == 0
    assert {log.stem for log in (parallel / LOGS).glob("*.log")} == {path.name for path in folders}
    code, said = end(start(parallel, *words, "hydra.launcher.parallel=2"))
    assert code == EXIT_DONE
    assert said.count("finished already") == 3


def test_runs_that_fail_take_no_other_with_them_and_are_named_with_the_reason(tmp_path: Path) -> None:
    """One of four is killed by SIGKILL, one cannot write its curve; the others end, in turn, beside the endless one."""
    folders = {epochs: folder(tmp_path, f"budget.epochs={epochs}") for epochs in (1, 2, 3, 100_000)}
    (folders[2] / CURVE).mkdir(parents=True)
    sweep = start(tmp_path, "budget.epochs=1,2,3,100000", "hydra.launcher.parallel=2", "--json")
    wait_until((folders[100_000] / CHECKPOINT).exists, sweep)
    holder = read_holder(folders[100_000] / LOCK)
    assert holder is not None
    assert holder.pid != sweep.pid
    os.kill(holder.pid, signal.SIGSTOP)  # it would train as long as the others take to start
    wait_until(lambda: is_finished(folders[1]) and is_finished(folders[3]), sweep)
    os.kill(holder.pid, signal.SIGKILL)
    out, said = sweep.communicate(timeout=PATIENCE_SECONDS)
    assert sweep.returncode == EXIT_ERROR
    assert "2 of 4 runs failed" in said
    (killed,) = [line for line in said.splitlines()[-2:] if "budget.epochs=100000: " in line]
    assert "budget.epochs=100000: killed by SIGKILL (out of memory?)" in killed
    (failed,) = [line for line in said.splitlines() if "budget.epochs=2: " in line]
    assert "IsADirectoryError" in failed
    assert "see " in failed
    assert sorted(summary["planned_epochs"] for summary in json.loads(out)) == [1, 3]
    assert not is_finished(folders[2])


def test_the_runs_of_a_killed_sweep_save(tmp_path: Path) -> None:
    """SIGKILL to the process that watches: nobody passes it on, and still no run trains on unwatched or is lost."""
    sweep = start(tmp_path, "seed=0,1", "budget.epochs=100000", "hydra.launcher.parallel=2")
    folders = [folder(tmp_path, f"seed={seed}", "budget.epochs=100000") for seed in (0, 1)]
    wait_until(lambda: all((path / CHECKPOINT).exists() for path in folders), sweep)
    sweep.kill()
    sweep.communicate()
    deadline = time.monotonic() + PATIENCE_SECONDS
    while any(json.loads((path / STATE).read_bytes())["state"] != "interrupted" for path in folders):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_signal_to_every_process_of_a_sweep_is_as_one_to_the_first(tmp_path: Path) -> None:
    """So Slurm ends a job: each run gets it twice, from Slurm and from its parent."""
    sweep = start(tmp_path, "seed=0,1,2", "budget.epochs=100000", "hydra.launcher.parallel=2")
    folders = [folder(tmp_path, f"seed={seed}", "budget.epochs=100000") for seed in range(3)]
    wait_until(lambda: sum((path / CHECKPOINT).exists() for path in folders) == 2, sweep)
    below = descendants(sweep.pid)
    assert {holder.pid for path in folders if (holder := read_holder(path / LOCK))} <= set(below)
    for pid in [sweep.pid, *below]:
        os.kill(pid, signal.SIGTERM)
    code, said = end(sweep)
    assert code == EXIT_INTERRUPTED, said
    assert "failed" not in said
    states = [json.loads((path / STATE).read_bytes())["state"] for path in folders if path.exists()]
    assert states == ["interrupted"] * 2
    deadline = time.monotonic() + PATIENCE_SECONDS
    while any(Path(f"/proc/{pid}").exists() for pid in below):
        assert time.monotonic() < deadline
        time.sleep(0.05)  # between two looks at other processes; no result depends on it


def test_two_trains_at_once_on_one_folder_leave_one_record(tmp_path: Path) -> None:
    both = [start(tmp_path, "seed=0", "budget.epochs=8", "threads=1") for _ in range(2)]
    ended = [end(process) for process in both]
    assert sorted(code for code, _ in ended) in ([EXIT_DONE, EXIT_DONE], [EXIT_DONE, EXIT_ERROR])
    for code, said in ended:
        assert code == EXIT_DONE or "is writing this run" in said
    record = read_run(folder(tmp_path, "seed=0", "budget.epochs=8"))
    assert [row.epoch for row in record.curve] == list(range(1, 9))
    assert record.summary["totals"]["lost_macs"] == 0


def test_the_machine_is_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {4, 5, 6, 7, 8})
    monkeypatch.setattr(local_module, "visible_gpus", list)
    assert [(share.cores, share.threads) for share in shares(2)] == [((4, 5), 2), ((6, 7), 2)]
    assert [share.cores for share in shares(6)] == [(4,), (5,), (6,), (7,), (8,), (4,)]
    assert {share.gpu for share in shares(2)} == {None}
    monkeypatch.setattr(local_module, "visible_gpus", lambda: ["GPU-a", "GPU-b"])
    assert [share.gpu for share in shares(3)] == ["GPU-a", "GPU-b", "GPU-a"]


def test_how_many_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    configs = [compose([*RUN])]
    assert processes_at_once(LocalConfig("local", "auto", "longest"), configs) == 1
    assert processes_at_once(LocalConfig("local", 3, "longest"), configs) == 3
    for wrong in (0, -1, "many", 1.5, True):
        with pytest.raises(BadInput, match=r"hydra\.launcher\.parallel"):
            processes_at_once(LocalConfig("local", wrong, "longest"), configs)
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert processes_at_once(LocalConfig("local", "auto", "longest"), configs) == 1
    with pytest.raises(BadInput, match="train one run together"):
        processes_at_once(LocalConfig("local", 2, "longest"), configs)


def test_the_longest_forecast_comes_first(tmp_path: Path) -> None:
    def job(*words: str) -> Job:
        overrides = [*RUN, f"out={tmp_path}", *words]
        return Job(overrides, compose(overrides))

    jobs = [job("budget.epochs=1"), job("budget.epochs=3"), job("model=resnet18", "budget.epochs=3")]
    assert longest_first(jobs) == [jobs[2], jobs[1], jobs[0]]
    lost = job("data=imagenet", "data.root=/none", "data.classes=5", "data.resolution=64")
    assert longest_first([jobs[0], lost]) == [jobs[0], lost]


def test_what_only_watches_loads_no_torchvision() -> None:
    """It would load for seconds before the first run begins, and keep the memory until the last one ends."""
    words = ["train", "-m", *RUN, "seed=0,1", "hydra.launcher.parallel=2"]
    code = (
        "import sys\n"
        "from harness.cli import main\n"
        "from harness.measure.sweep import parallel\n"
        "parallel.run_parallel = lambda *_: print(sorted({'torch', 'torchvision'} & sys.modules.keys())) or []\n"
        f"main({words})\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "['torch']\n", done.stderr


def test_seeds_alone_need_no_forecast(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would load the data first."""
    words = [[*RUN, f"seed={seed}"] for seed in (3, 1, 2)]
    jobs = [Job(overrides, compose(overrides)) for overrides in words]
    monkeypatch.setattr(forecast, "forecast", lambda _: pytest.fail("made a forecast"))
    assert longest_first(jobs) == jobs
