"""Two processes train one run: the same ledger, the same curve up to rounding, exact evaluation, exact resume."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from harness.record.curve import TIMING_FIELDS
from harness.record.errors import EXIT_BAD_INPUT, EXIT_ERROR, EXIT_INTERRUPTED
from harness.record.folders.folder import STATE, Run, read_run, read_runs
from tests.measure import faults
from tests.measure.faults import EVALUATION_IMAGES, SMALL, STATEFUL, Fault, Order
from tests.ports import free_ports, meeting

LEDGER = ("train_forward_macs", "train_backward_macs", "evaluation_macs", "lost_macs")


def train(
    root: Path,
    words: list[str],
    *,
    port: int | None = None,
    attempt: str = "run",
    fault: tuple[int, Fault] | None = None,
) -> list[int]:
    """Exit codes of one process, or of two that meet at `port`; `fault` strikes one rank."""
    orders = []
    for rank, environment in enumerate([{}] if port is None else meeting(port)):
        strikes = fault[1] if fault is not None and fault[0] == rank else None
        orders.append(Order([*words, f"out={root / 'runs'}"], root / attempt, strikes, environment))
    return faults.perform_together(orders)


def folder_of(root: Path) -> Path:
    (folder,) = (root / "runs" / "fake" / "net").iterdir()
    return folder


def untimed(root: Path) -> list[dict[str, float]]:
    rows = [json.loads(line) for line in (folder_of(root) / "curve.jsonl").read_text().splitlines()]
    return [{k: v for k, v in row.items() if k not in TIMING_FIELDS} for row in rows]


def record(root: Path) -> Run:
    return read_run(folder_of(root))


@pytest.mark.parametrize("more", [[], ["recipe.accumulation_steps=2", "recipe.gradient_clip_norm=1", "data.classes=9"]])
def test_one_and_two_processes_give_one_curve(tmp_path: Path, free_port: int, more: list[str]) -> None:
    """A net without normalisation and dropout, whose result does not depend on who computes which image."""
    assert train(tmp_path / "one", [*SMALL, *more]) == [0]
    assert train(tmp_path / "two", [*SMALL, *more], port=free_port) == [0, 0]
    one, two = record(tmp_path / "one"), record(tmp_path / "two")
    assert one.path.name == two.path.name, "the number of processes entered the run's identity"
    assert two.summary["hardware"]["world_size"] == 2
    assert {k: one.summary["totals"][k] for k in LEDGER} == {k: two.summary["totals"][k] for k in LEDGER}
    for alone, together in zip(untimed(tmp_path / "one"), untimed(tmp_path / "two"), strict=True):
        assert together.pop("loss") == pytest.approx(alone.pop("loss"), rel=1e-5)
        assert together == alone
    assert one.curve[-1].total == (81 if more else EVALUATION_IMAGES)  # 81 images do not divide by two
    assert one.curve[-1].correct_top1 > one.curve[-1].total / 5  # it learns, so equal is not both stuck
    weights = [torch.load(tmp_path / name / "run" / "weights0.pt") for name in ("one", "two")]
    for name, tensor in weights[0].items():
        torch.testing.assert_close(weights[1][name], tensor, rtol=1e-4, atol=1e-6)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two ranks that nothing disturbs."""
    root = tmp_path_factory.mktemp("whole")
    assert train(root, STATEFUL, port=free_ports(1)[0]) == [0, 0]
    return root


def digests(root: Path) -> list[str]:
    """What each rank holds at its end."""
    return [(root / "run" / f"weights{rank}").read_text() for rank in (0, 1)]


def test_all_ranks_hold_the_same_weights(whole: Path) -> None:
    weights = [torch.load(whole / "run" / f"weights{rank}.pt") for rank in (0, 1)]
    for name, tensor in weights[0].items():
        if "running" not in name:  # BatchNorm's statistics are rank 0's, given to the others when they are used
            assert torch.equal(weights[1][name], tensor), name


@pytest.mark.parametrize("rank", [0, 1])
def test_a_signal_to_one_rank_stops_both_and_both_resume_exactly(
    whole: Path, tmp_path: Path, free_port: int, rank: int
) -> None:
    told = (whole / "run" / f"trace{rank}").read_text().splitlines()
    tenth = [i for i, event in enumerate(told) if event == "step begins"][9]
    fault = (rank, Fault(tenth, faults.sigusr2))
    assert train(tmp_path, STATEFUL, port=free_port, attempt="stopped", fault=fault) == [EXIT_INTERRUPTED] * 2
    state = json.loads((folder_of(tmp_path) / STATE).read_text())
    assert (state["state"], state["step"]) == ("interrupted", 10)
    assert train(tmp_path, STATEFUL, port=free_port) == [0, 0]
    assert untimed(tmp_path) == untimed(whole)
    assert digests(tmp_path) == digests(whole)


@pytest.mark.parametrize("rank", [0, 1])
def test_one_rank_killed_hangs_nobody(whole: Path, tmp_path: Path, free_port: int, rank: int) -> None:
    fault = (rank, Fault(150 if rank == 0 else 46, faults.sigkill))  # rank 1 writes nothing, so it has fewer events
    codes = train(tmp_path, STATEFUL, port=free_port, attempt="killed", fault=fault)
    assert codes[rank] == -9
    assert codes[1 - rank] == EXIT_ERROR
    assert train(tmp_path, STATEFUL, port=free_port) == [0, 0]
    assert digests(tmp_path) == digests(whole)


def test_every_rank_hears_of_a_refusal(tmp_path: Path, free_port: int) -> None:
    holder = faults.start(Order([*SMALL, f"out={tmp_path / 'runs'}"], tmp_path / "holder", Fault(60, faults.sigstop)))
    told = tmp_path / "holder" / "trace0"
    try:
        while holder.poll() is None and not (told.exists() and len(told.read_text().splitlines()) > 60):
            time.sleep(0.01)
        assert train(tmp_path, SMALL, port=free_port) == [EXIT_ERROR] * 2
        for rank in (0, 1):
            assert f"process {holder.pid} on " in (tmp_path / "run" / f"stderr{rank}").read_text()
    finally:
        holder.kill()
        holder.wait()


def test_torchrun(tmp_path: Path, free_port: int) -> None:
    words = ["data=fake", "target=none", "model=squeezenet1_1", "budget.epochs=1", "device=cpu", "threads=1"]
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", f"--master-port={free_port}"]
    command += ["-m", "harness", "train", *words, f"out={tmp_path}"]
    done = subprocess.run(command, cwd=Path(__file__).parents[3], capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    (run,) = read_runs(tmp_path)
    assert run.summary["hardware"]["world_size"] == 2
    assert [evaluation.total for evaluation in run.curve] == [EVALUATION_IMAGES]


def test_sync_batchnorm_is_for_gpus(tmp_path: Path, free_port: int) -> None:
    assert train(tmp_path, [*STATEFUL, "sync_batchnorm=true"], port=free_port) == [EXIT_BAD_INPUT] * 2
