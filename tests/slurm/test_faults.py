"""What a cluster does to running jobs, done to real ones: each ends as an undisturbed run of the same config.

All jobs run at once, because most of their time is waiting for Slurm. Each is frozen in the middle of an epoch before
its fault, so that the fault always meets a running loop.
"""

import json
import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from cluster import Cluster

from harness import models
from harness.measure.bill.count import bill
from harness.measure.config.compose import compose, compose_node
from harness.measure.sweep import slurm
from harness.measure.sweep.job import Job
from harness.measure.sweep.slurm import pinned, slurm_config, submit
from harness.paths import ROOT
from harness.record.curve import TIMING_FIELDS
from harness.record.folders.folder import CURVE, JOURNAL, LOCK, Run, read_run
from harness.record.folders.lock import read_holder
from harness.record.folders.survey import Status, survey
from harness.record.folders.sweep import Submission
from tests import forked

pytestmark = pytest.mark.slurm

RUN = [
    "data=fake", "target=none", "model=squeezenet1_1", "recipe.batch_size=8", "budget.epochs=6", "threads=1",
    "model.resources.gpus=0", "model.resources.cpus_per_gpu=1", "model.resources.memory_gb=1",
]  # fmt: skip
STEPS_PER_EPOCH = 30


@dataclass
class Case:
    """A submitted run, its root of run folders and its process while it is frozen."""

    root: Path
    folder: Path
    job: str
    pid: int = 0

    @property
    def line(self) -> Status:
        """What `harness status` says of it."""
        (line,) = [line for line in survey(self.root) if line.folder == str(self.folder)]
        return line

    @property
    def record(self) -> Run:
        return read_run(self.folder)


class Laboratory:
    """Submits runs as the launcher does, freezes them and disturbs them."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster

    def submit(
        self, name: str, *words: str, launcher: tuple[str, ...] = (), seeds: tuple[int, ...] = (0,)
    ) -> list[Case]:
        """One array (or job), in a root of its own."""
        root = self.cluster.root / "runs" / name
        named = [[*RUN, *words, f"seed={seed}", f"out={root}"] for seed in seeds]
        runs = [pinned(Job(overrides, compose(overrides))) for overrides in named]
        node = compose_node(["hydra/launcher=slurm", "hydra.launcher.minutes=30", *launcher], with_hydra=True)
        submissions: list[Submission] = submit(runs, slurm_config(node.hydra.launcher))
        return [Case(root, root / one.folder, one.job) for one in submissions]

    def freeze(self, cases: list[Case], count: int) -> None:
        """Stop each run's process in the middle of its second epoch, until `count` are; `cases` may still grow."""
        per_step = 8 * bill(models.build("squeezenet1_1", classes=10), resolution=32).spent_macs

        def all_frozen() -> bool:
            for case in list(cases):
                if not case.pid and _journalled(case.folder) > 1.3 * STEPS_PER_EPOCH * per_step:
                    holder = read_holder(case.folder / LOCK)
                    assert holder is not None
                    assert holder.job == case.job
                    os.kill(holder.pid, signal.SIGSTOP)
                    case.pid = holder.pid
            return sum(case.pid > 0 for case in list(cases)) == count

        self.cluster.wait_until(all_frozen, "all runs to be in their second epoch")

    def thaw(self, case: Case, *pending: signal.Signals) -> None:
        """Let it go on once one of these signals is waiting for it (or has already woken it)."""

        def told() -> bool:
            status = _process_status(case.pid)
            waiting = int(status.get("ShdPnd", "0"), 16)
            return status.get("State", "")[:1] != "T" or any(waiting & 1 << (number - 1) for number in pending)

        self.cluster.wait_until(told, f"a signal for {case.folder}")
        if Path(f"/proc/{case.pid}").exists():
            os.kill(case.pid, signal.SIGCONT)


def _journalled(folder: Path) -> int:
    try:
        return int.from_bytes((folder / JOURNAL).read_bytes(), "little")
    except FileNotFoundError:
        return 0


def _process_status(pid: int) -> dict[str, str]:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return {}
    return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}


# node_down first, while both nodes it may use are free. time_limit is no part of it: its minute must not pass frozen.
CASES = ("node_down", "reference", "requeue", "grace", "no_grace", "cancelled", "killed", "array")


@pytest.fixture(scope="module", autouse=True)
def elements_start_at_once(cluster: Cluster) -> Iterator[None]:
    """Each stands for a process forked from a server: half of its time would be imports. test_sweeps.py forks none."""
    words, needed = forked.command()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(slurm, "PYTHON", f"{slurm.PYTHON} {words.partition(' ')[2]}")
        patch.setenv("PYTHONPATH", str(ROOT))
        for name, value in needed.items():
            patch.setenv(name, value)
        yield


@pytest.fixture(scope="module")
def cases(cluster: Cluster) -> dict[str, Case]:
    """Every case after its fault, at its end state in Slurm."""
    laboratory = Laboratory(cluster)
    nodes = dict.fromkeys((*CASES, "time_limit"), "nodelist=n1") | {"grace": "nodelist=n2", "no_grace": "nodelist=n2"}
    nodes |= {
        "node_down": "exclude='n1,n2'",
        "killed": "nodelist=n4",
        "array": "nodelist=n4",
    }  # n3, and when that is lost n4
    words: dict[str, tuple[str, ...]] = {
        "time_limit": ("hydra.launcher.minutes=1", "hydra.launcher.signal_seconds=20"),
        "grace": ("hydra.launcher.partition=low",),
        "no_grace": ("hydra.launcher.partition=low0",),
    }
    made: dict[str, Case] = {}
    disturbed: list[Case] = []
    with ThreadPoolExecutor(1) as watcher:  # a run may be over before the last one is submitted
        frozen = watcher.submit(laboratory.freeze, disturbed, len(CASES) - 1)
        for name in CASES:
            launcher = (f"+hydra.launcher.extra.{nodes[name]}", *words.get(name, ()))
            if name == "array":
                made["array_first"], made["array_last"] = laboratory.submit(name, launcher=launcher, seeds=(1, 0))
                disturbed.append(made["array_last"])
                continue
            (made[name],) = laboratory.submit(name, launcher=launcher)
            if name != "reference":
                disturbed.append(made[name])
        frozen.result()
    # Slurm may tell of the limit twenty seconds after the start: by then it must train, so it starts while others wait.
    launcher = (f"+hydra.launcher.extra.{nodes['time_limit']}", *words["time_limit"])
    (made["time_limit"],) = laboratory.submit("time_limit", launcher=launcher)
    laboratory.freeze([made["time_limit"]], 1)
    _disturb(cluster, laboratory, made)
    for name, case in made.items():
        ends = {"cancelled": ("CANCELLED",), "killed": ("FAILED",)}.get(name, ("COMPLETED",))
        cluster.wait_for(case.job, *ends)
    return made


def _disturb(cluster: Cluster, laboratory: Laboratory, made: dict[str, Case]) -> None:
    """One fault for each case. The waits in between are for the signals Slurm sends on its own account."""
    assert made["requeue"].line.state == "running"
    assert cluster.field(made["node_down"].job, "NodeList") == "n3"
    cluster.call("scontrol", "requeue", made["requeue"].job)
    cluster.call("scancel", made["cancelled"].job)
    cluster.call("scancel", "--signal=USR2", made["array_last"].job)
    cluster.call("sbatch", "--partition=high", "--nodelist=n2", "--exclusive", "--wrap=true", "--output=/dev/null")
    cluster.call("scontrol", "update", "NodeName=n3", "State=DOWN", "Reason=test")
    os.kill(made["killed"].pid, signal.SIGKILL)
    for name in ("requeue", "cancelled", "array_last", "grace", "no_grace", "node_down", "time_limit"):
        laboratory.thaw(made[name], signal.SIGTERM, signal.SIGUSR2)


def _result(run: Run) -> tuple[object, ...]:
    rows = [json.loads(line) for line in (run.path / CURVE).read_text().splitlines()]
    untimed = [{k: v for k, v in row.items() if k not in (*TIMING_FIELDS, "lost_macs")} for row in rows]
    totals = {k: v for k, v in run.summary["totals"].items() if k not in (*TIMING_FIELDS, "lost_macs")}
    return untimed, totals, run.outcome, run.summary["run_id"]


def _segments(case: Case) -> int:
    return len(json.loads((case.folder / "provenance.json").read_text())["segments"])


def test_the_cluster_comes_up(cluster: Cluster) -> None:
    assert len(cluster.call("sinfo", "--noheader", "--Node", "--partition=main").splitlines()) >= 2


@pytest.mark.parametrize("name", ["time_limit", "requeue", "grace", "no_grace", "node_down", "array_last"])
def test_a_disturbed_job_comes_back_and_ends_as_an_undisturbed_one(
    cases: dict[str, Case], cluster: Cluster, name: str
) -> None:
    case = cases[name]
    assert int(cluster.field(case.job, "Restarts")) >= 1
    assert _segments(case) >= 2, "it did not run twice"
    assert _result(case.record) == _result(cases["reference"].record)
    assert case.record.summary["totals"]["lost_macs"] == 0, "a stop that was announced must save in time"
    assert case.line.state == "complete"  # the whole plan, without a target


def test_the_last_element_of_an_array_does_not_requeue_the_array(cases: dict[str, Case], cluster: Cluster) -> None:
    assert cases["array_last"].job.endswith("_1")
    assert cluster.field(cases["array_first"].job, "Restarts") == "0"
    assert _segments(cases["array_first"]) == 1


def test_a_cancelled_job_stays_cancelled_and_resumes_when_submitted_again(
    cases: dict[str, Case], cluster: Cluster
) -> None:
    case = cases["cancelled"]
    assert cluster.state(case.job) == "CANCELLED"
    assert cluster.field(case.job, "Restarts") == "0"
    assert (case.line.state, case.line.note) == ("interrupted", "start it again and it resumes")


def test_a_killed_job_is_failed_and_resumes_when_submitted_again(cases: dict[str, Case], cluster: Cluster) -> None:
    case = cases["killed"]
    assert cluster.field(case.job, "ExitCode") != "0:0"
    assert case.line.state == "failed"
    assert "Killed" in case.line.note


def test_submitted_again_they_finish_and_a_finished_sweep_does_nothing(
    cases: dict[str, Case], cluster: Cluster
) -> None:
    laboratory = Laboratory(cluster)
    again = {name: laboratory.submit(name)[0] for name in ("cancelled", "killed")}
    assert laboratory.submit("cancelled") == [], "it is in the queue already"
    for name, case in again.items():
        cluster.wait_for(case.job, "COMPLETED")
        assert _result(case.record) == _result(cases["reference"].record)
        assert (case.record.summary["totals"]["lost_macs"] > 0) == (name == "killed")
        assert laboratory.submit(name) == [], "it has finished already"
