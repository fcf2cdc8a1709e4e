"""What waits, for whoever looks; what never starts; sweeps larger than an array; sbatch's own words."""

import os
import shutil
from pathlib import Path
from subprocess import PIPE

import pytest
from cluster import Cluster

from harness.measure.config.compose import compose, compose_node
from harness.measure.sweep.job import Job
from harness.measure.sweep.slurm import max_array_size, pinned, slurm_config, submit
from harness.record.errors import BadInput
from harness.record.folders.survey import survey
from harness.record.folders.sweep import Submission, read_manifests
from tests.forked import Forked, run

pytestmark = pytest.mark.slurm

REPOSITORY = Path(__file__).parents[2]
RUN = ["data=fake", "model=squeezenet1_1", "target=none", "model.resources.gpus=0", "threads=1"]
RUN += ["model.resources.cpus_per_gpu=1", "model.resources.memory_gb=1"]
SLURM = ["hydra/launcher=slurm", "hydra.launcher.minutes=30"]
NOBODY = 65534


def hand_over(root: Path, count: int, *words: str) -> list[Submission]:
    """Submit runs as the launcher does."""
    named = [[*RUN, f"seed={seed}", f"out={root}"] for seed in range(count)]
    runs = [pinned(Job(overrides, compose(overrides))) for overrides in named]
    return submit(runs, slurm_config(compose_node([*SLURM, *words], with_hydra=True).hydra.launcher))


def as_nobody(root: Path) -> list[str]:
    """What another user's `harness status` says: state and note of every run."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
        told = "\n".join(f"{line.state}, {line.note}" for line in survey(root))
        os.write(writing, told.encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as answer:
        told = answer.read()
    assert os.waitpid(child, 0)[1] == 0
    return told.splitlines()


def test_a_colleague_sees_what_waits_and_why_and_submits_nothing_twice(cluster: Cluster) -> None:
    root = cluster.root / "queue" / "held"
    (one,) = hand_over(root, 1, "+hydra.launcher.extra.hold=true")
    try:
        assert as_nobody(root) == ["waiting, pending: JobHeldUser"]
        assert [line.note for line in survey(root)] == ["pending: JobHeldUser"]
        assert hand_over(root, 1) == []
    finally:
        cluster.call("scancel", one.job)


def test_waiting_ends_with_a_line_where_a_dependency_has_failed(cluster: Cluster) -> None:
    root = cluster.root / "queue" / "dependent"
    root.mkdir(parents=True)
    failing = cluster.call("sbatch", "--parsable", "--wrap=false", "--output=/dev/null").strip()
    cluster.wait_for(failing, "FAILED")
    words = [*SLURM, f"+hydra.launcher.extra.dependency=afterok:{failing}", *RUN, f"out={root}"]
    ended = run(["-m", "harness", "train", *words], env=cluster.environment, timeout=240)
    (job,) = [one.job for one in read_manifests(root).values()]
    try:
        assert f"harness: job {job} never starts" in ended.stderr
        assert ended.returncode == 1
        ((state, note),) = [(line.state, line.note) for line in survey(root)]
        assert (state, note.partition(":")[0]) == ("failed", "DependencyNeverSatisfied")
    finally:
        cluster.call("scancel", job)


def test_a_sweep_larger_than_an_array_is_several(cluster: Cluster) -> None:
    size = max_array_size()
    assert size == 5
    submitted = hand_over(cluster.root / "queue" / "large", size + 2, "+hydra.launcher.extra.hold=true")
    arrays = [one.job.partition("_")[0] for one in submitted]
    try:
        assert sorted(arrays.count(array) for array in set(arrays)) == [2, size]
        assert len({one.folder for one in submitted}) == size + 2
        assert hand_over(cluster.root / "queue" / "large", size + 2) == []
    finally:
        cluster.call("scancel", *set(arrays))


def test_two_submissions_at_once_are_one(cluster: Cluster, tmp_path: Path) -> None:
    """Two people start one sweep in one moment: sbatch takes its time here, so each comes while the other is at it."""
    root, slow = cluster.root / "queue" / "twice", tmp_path / "sbatch"
    real = shutil.which("sbatch", path=cluster.environment["PATH"])
    slow.write_text(f'#!/bin/sh\ntouch {tmp_path}/asked.$$\nsleep 20\nexec {real} "$@"\n')
    slow.chmod(0o755)
    environment = {**cluster.environment, "PATH": f"{tmp_path}:{cluster.environment['PATH']}"}
    words = [*SLURM, "+hydra.launcher.extra.hold=true", *RUN, "seed=0,1", f"out={root}", "-m", "--detach"]
    both = [Forked(["-m", "harness", "train", *words], env=environment, stderr=PIPE) for _ in range(2)]
    ended = [(process.communicate(timeout=480)[1], process.wait()) for process in both]
    jobs = {one.job for one in read_manifests(root).values()}
    try:
        assert [code for _, code in ended] == [0, 0], ended
        assert sorted(said.count("2 runs: 0 finished, 2 in the queue, 0 to submit") for said, _ in ended) == [0, 1]
        assert len(list(tmp_path.glob("asked.*"))) == 1
        assert len(jobs) == 2
    finally:
        cluster.call("scancel", *jobs)


def test_what_sbatch_refuses_is_told_with_its_reason(cluster: Cluster) -> None:
    with pytest.raises(BadInput, match=r"sbatch refused: .*[Ii]nvalid partition") as refused:
        hand_over(cluster.root / "queue" / "refused", 1, "hydra.launcher.partition=low,nowhere")
    assert "\n" not in str(refused.value)


def test_two_partitions_reach_sbatch_as_written(cluster: Cluster) -> None:
    root = cluster.root / "queue" / "partitions"
    words = ["hydra.launcher.partition='low,main'", "+hydra.launcher.extra.hold=true"]
    (one,) = hand_over(root, 1, *words)
    try:
        assert cluster.field(one.job, "Partition") == "low,main"
    finally:
        cluster.call("scancel", one.job)
