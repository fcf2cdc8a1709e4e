"""Sweeps as people submit them: from the command line, through the launcher and by hand."""

import json
import os
import re
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from subprocess import PIPE

import pytest
from cluster import Cluster

from harness.measure.config.compose import compose
from harness.measure.sweep.expand import words_of
from harness.record.folders.folder import CHECKPOINT, LOCK, find_run_folders, is_finished, read_runs
from harness.record.folders.lock import read_holder
from harness.record.folders.survey import survey
from harness.record.folders.sweep import SUBMISSIONS, read_manifests
from tests.forked import Forked, run

pytestmark = pytest.mark.slurm

REPOSITORY = Path(__file__).parents[2]
RUN = ["data=fake", "model=squeezenet1_1", "threads=1", "model.resources.cpus_per_gpu=1"]
RUN += ["model.resources.memory_gb=1"]
NO_GPU = ["model.resources.gpus=0"]
SLURM = ["hydra/launcher=slurm", "hydra.launcher.minutes=30"]


@dataclass
class Sweep:
    """A command that was started, and the root of its run folders."""

    root: Path
    command: Forked

    def end(self) -> tuple[int, str]:
        """Exit code and stderr."""
        _, said = self.command.communicate(timeout=240)
        return self.command.wait(), said


@pytest.fixture(scope="module")
def sweeps(cluster: Cluster) -> Iterator[dict[str, Sweep]]:
    """All of them at once: most of the time is starting Python on few cores."""
    started: dict[str, Sweep] = {}

    def start(name: str, *words: str) -> None:
        root = cluster.root / "sweeps" / name
        command = ["-m", "harness", "train", *words, *RUN, *SLURM, f"out={root}"]
        started[name] = Sweep(root, Forked(command, env=cluster.environment, stderr=PIPE, stdout=PIPE))

    start("four", "-m", "seed=0,1,2,3", "budget.epochs=1", *NO_GPU)
    start("lost", "-m", "seed=0,1", "target=none", "budget.epochs=100000", *NO_GPU)
    start("raises", "-m", "seed=0", "+model.kwargs.nonsense=1", *NO_GPU)
    two_nodes = ["model.resources.gpus=2", "hydra.launcher.gpus_per_node=1", "device=cpu", "precision=fp32"]
    start("two_nodes", "-m", "seed=0", "budget.epochs=2", "--detach", *two_nodes)
    yield started
    for sweep in started.values():
        sweep.command.kill()
        sweep.command.wait()


@pytest.fixture(scope="module")
def by_hand(cluster: Cluster) -> tuple[Path, str]:
    """The script of slurm/, submitted as its header says, for the second of two lines and with two processes."""
    root = cluster.root / "sweeps" / "by_hand"
    root.mkdir(parents=True)
    lines = root / "lines.txt"
    lines.write_text("seed=0 budget.epochs=1\nseed=7 budget.epochs=1 'recipe.lr=0.01'\n")
    small = ["--array=2-2", "--ntasks=2", "--cpus-per-task=1", "--mem=2G", "--parsable", f"--output={root}/%A_%a.log"]
    script = [str(REPOSITORY / "slurm" / "ladder.sh"), str(lines), *RUN, "device=cpu", f"out={root}"]
    cluster.environment["PYTHON"] = sys.executable
    job = cluster.call("sbatch", *small, *script, cwd=REPOSITORY).strip()
    return root, f"{job}_2"


def test_a_detached_submission_returns_while_its_job_waits_or_runs(sweeps: dict[str, Sweep], cluster: Cluster) -> None:
    code, said = sweeps["two_nodes"].end()
    assert code == 0
    assert "submitted 1 run as job" in said
    (line,) = survey(sweeps["two_nodes"].root)
    assert line.state in ("waiting", "running")


def test_a_killed_run_is_reported_not_waited_for(sweeps: dict[str, Sweep], cluster: Cluster) -> None:
    sweep = sweeps["lost"]

    def under_way() -> dict[str, Path]:
        known = {one.job: sweep.root / one.folder for one in read_manifests(sweep.root).values()}
        return {job: folder for job, folder in known.items() if (folder / CHECKPOINT).exists()}

    cluster.wait_until(lambda: len(under_way()) == 2, "both runs to be under way")
    killed, cancelled = sorted(under_way())
    assert {line.state for line in survey(sweep.root)} == {"running"}
    holder = read_holder(under_way()[killed] / LOCK)
    assert holder is not None
    os.kill(holder.pid, signal.SIGKILL)
    cluster.call("scancel", cancelled)
    code, said = sweep.end()
    assert code == 1
    assert said.count("no record") == 2
    assert cluster.state(killed) == "FAILED"
    told = {line.job: (line.state, line.note) for line in survey(sweep.root)}
    assert told[cancelled] == ("interrupted", "start it again and it resumes")
    assert told[killed][0] == "failed"
    assert "Killed" in told[killed][1]


def test_a_run_that_raises_is_failed_with_its_traceback(sweeps: dict[str, Sweep], cluster: Cluster) -> None:
    sweep = sweeps["raises"]
    assert sweep.end()[0] == 1
    ((folder, one),) = read_manifests(sweep.root).items()
    assert cluster.state(one.job) == "FAILED"
    log = (sweep.root / SUBMISSIONS / f"{one.job}_0_log.err").read_text()
    assert "Traceback" in log
    assert "nonsense" in log
    done = run(["-m", "harness", "status", sweep.root], timeout=120)
    assert "nonsense" in done.stdout
    assert "1 failed" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 100
    assert not is_finished(sweep.root / folder)


def test_four_runs_are_one_array_four_records_and_one_table(sweeps: dict[str, Sweep], cluster: Cluster) -> None:
    sweep = sweeps["four"]
    code, said = sweep.end()
    assert code == 0, said
    jobs = [one.job for one in read_manifests(sweep.root).values()]
    assert {job.split("_")[0] for job in jobs} == {jobs[0].split("_")[0]}
    assert sorted(job.split("_")[1] for job in jobs) == ["0", "1", "2", "3"]
    assert [cluster.state(job) for job in jobs] == ["COMPLETED"] * 4
    assert sorted(run.seed for run in read_runs(sweep.root)) == [0, 1, 2, 3]
    rows = json.loads(run(["-m", "harness", "status", sweep.root, "--json"], timeout=120).stdout)
    assert [(row["state"], row["epoch"], row["note"]) for row in rows] == [("censored", 1.0, "budget exhausted")] * 4
    table = run(["-m", "harness", "aggregate", sweep.root], timeout=120).stdout
    assert re.search(r"squeezenet1_1\W.* 0/4 ", table), table


def test_one_process_per_gpu_on_two_nodes(sweeps: dict[str, Sweep], cluster: Cluster) -> None:
    sweep = sweeps["two_nodes"]
    ((folder, one),) = read_manifests(sweep.root).items()
    cluster.wait_for(one.job, "COMPLETED", "FAILED")
    assert cluster.state(one.job) == "COMPLETED", (sweep.root / SUBMISSIONS / f"{one.job}_0_log.err").read_text()
    assert cluster.field(one.job, "NumNodes") == "2"
    (run,) = read_runs(sweep.root / folder)
    assert run.summary["hardware"]["world_size"] == 2
    assert run.summary["totals"]["images"] == 2 * run.summary["dataset"]["train_images"]
    assert {evaluation.total for evaluation in run.curve} == {run.summary["dataset"]["evaluation_images"]}


def test_the_script_for_sbatch_by_hand(by_hand: tuple[Path, str], cluster: Cluster) -> None:
    root, job = by_hand
    cluster.wait_for(job, "COMPLETED", "FAILED")
    assert cluster.state(job) == "COMPLETED", "\n".join(log.read_text() for log in root.glob("*.log"))
    (run,) = read_runs(root)
    assert (run.seed, run.summary["hardware"]["world_size"]) == (7, 2)
    assert len(find_run_folders(root)) == 1


def test_the_ladder_by_hand_is_the_experiment() -> None:
    lines = [line.split() for line in (REPOSITORY / "slurm" / "ladder.txt").read_text().splitlines()]
    jobs, _ = words_of(["recipe=paper2020", "target=paper_top5", "+experiment=remeasure"], multirun=True)
    assert sorted(sorted(line) for line in lines) == sorted(
        sorted(set(job) - {"+experiment=remeasure"}) for job in jobs
    )
    assert len(lines) == 16 * 3
    compose(lines[0])
