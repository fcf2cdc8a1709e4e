"""Finding one's rank, and the collectives on gloo."""

import os
from pathlib import Path
from typing import Any

import pytest
from torch import multiprocessing

from harness.measure.machine.distributed import (
    World,
    export_rendezvous,
    find_world,
    gather_objects,
    join,
    lose,
    sum_integers,
)
from harness.record.errors import BadInput

STEP = {"SLURM_STEP_NUM_TASKS": "4", "SLURM_PROCID": "3", "SLURM_LOCALID": "1", "SLURM_JOB_ID": "40017"}


def test_alone_nothing_is_set_up(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE", "SLURM_STEP_NUM_TASKS"):
        monkeypatch.delenv(name, raising=False)
    world = join("cpu")
    assert world == World(0, 1, 0)
    assert sum_integers([3, 2**62], world) == [3, 2**62]
    lose(world)


@pytest.mark.parametrize(
    ("environment", "world"),
    [
        ({"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1"}, World(5, 8, 1)),
        (STEP, World(3, 4, 1)),
        ({**STEP, "RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "0"}, World(0, 2, 0)),  # torchrun inside a step
        # A batch script has the job's numbers, but is one process.
        ({"SLURM_JOB_ID": "6", "SLURM_NTASKS": "4", "SLURM_PROCID": "0", "SLURM_LOCALID": "0"}, World()),
        ({"SLURM_STEP_NUM_TASKS": "1", "SLURM_PROCID": "0"}, World()),
    ],
)
def test_ranks_come_from_torchrun_or_srun(environment: dict[str, str], world: World) -> None:
    assert find_world(environment) == world


def test_half_an_environment_is_bad_input() -> None:
    with pytest.raises(BadInput, match="start it with srun or torchrun"):
        find_world({"SLURM_STEP_NUM_TASKS": "2"})


def test_the_rendezvous_of_a_step_on_one_node_needs_no_names() -> None:
    environment = {**STEP, "SLURM_STEP_NUM_NODES": "1"}
    export_rendezvous(environment, World(3, 4, 1))
    assert environment["MASTER_ADDR"] == "127.0.0.1"
    assert environment["MASTER_PORT"] == str(15_000 + 40_017 % 17_000)
    second = {**STEP, "SLURM_STEP_NUM_NODES": "1", "SLURM_STEP_ID": "1"}
    export_rendezvous(second, World(3, 4, 1))
    assert second["MASTER_PORT"] != environment["MASTER_PORT"]  # two steps of one job do not meet
    assert (environment["RANK"], environment["WORLD_SIZE"]) == ("3", "4")


def test_the_rendezvous_of_several_nodes_is_an_address_not_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scontrol = tmp_path / "scontrol"
    scontrol.write_text(
        "#!/bin/sh\n"
        'case "$*" in\n'
        "  'show hostnames n[1-2]') echo n1; echo n2;;\n"
        "  '-o show node n1') echo NodeName=n1 Arch=x86_64 NodeAddr=10.0.0.7 NodeHostName=n1;;\n"
        "  *) exit 1;;\n"
        "esac\n"
    )
    scontrol.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    environment = {**STEP, "SLURM_STEP_NUM_NODES": "2", "SLURM_STEP_NODELIST": "n[1-2]"}
    export_rendezvous(environment, World(3, 4, 1))
    assert environment["MASTER_ADDR"] == "10.0.0.7"


def _peer(rank: int, port: int, answers: Any) -> None:
    import os

    os.environ.update(RANK=str(rank), WORLD_SIZE="2", LOCAL_RANK=str(rank), MASTER_ADDR="127.0.0.1")
    os.environ["MASTER_PORT"] = str(port)
    world = join("cpu")
    sums = sum_integers([rank + 1, 2**53 * rank + 1 - rank], world)
    answers.put((rank, sums, gather_objects(f"r{rank}", world)))
    lose(world)


def test_two_processes_agree_exactly(free_port: int) -> None:
    context = multiprocessing.get_context("fork")  # this process has imported torch but never started its threads
    answers = context.SimpleQueue()
    peers = [context.Process(target=_peer, args=(rank, free_port, answers)) for rank in range(2)]
    for peer in peers:
        peer.start()
    try:
        got = sorted(answers.get() for _ in peers)
    finally:
        for peer in peers:
            peer.join(30)
            peer.kill()
    # 2^53 + 1 is the first integer that a float64 sum would lose.
    assert got == [(rank, [3, 2**53 + 1], ["r0", "r1"]) for rank in range(2)]
