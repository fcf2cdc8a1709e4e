"""A world of processes is one run, or nothing is written; and whoever waits for the others can be talked to."""

import os
import signal
import socket
import stat
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from PIL import Image

from harness.measure.data.keyed import epoch_order
from harness.measure.machine.device import own_device
from harness.measure.machine.rendezvous import choose_interface, meeting_name
from harness.measure.machine.signals import StopFlag
from harness.record import files
from harness.record.errors import EXIT_BAD_INPUT, EXIT_ERROR, EXIT_INTERRUPTED, BadInput
from harness.record.folders.folder import read_runs
from harness.record.folders.survey import survey
from tests import forked
from tests.measure import faults
from tests.measure.faults import SMALL, STATEFUL, Fault, Order
from tests.ports import free_ports, meeting

FOLDER = [*(word for word in SMALL if word != "data=fake"), "data=imagenet", "data.workers=0"]
"""A run on images in a folder."""


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lists of a folder's images do not lie in the user's cache afterwards."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def rank_of(rank: int, port: int, words: list[str], notes: Path, fault: Fault | None = None) -> Order:
    return Order(words, notes, fault, meeting(port)[rank])


def together(port: int, root: Path, *words: list[str], fault: Fault | None = None) -> tuple[list[int], list[str]]:
    """Exit codes and stderr of two ranks with words of their own; `fault` strikes rank 0."""
    orders = [rank_of(rank, port, words[rank], root, fault if rank == 0 else None) for rank in (0, 1)]
    codes = faults.perform_together(orders)
    return codes, [(root / f"stderr{rank}").read_text() for rank in (0, 1)]


@pytest.mark.parametrize(
    ("own", "word"), [("seed=1", "run"), ("recipe.lr=0.01", "run"), ("data.root=/elsewhere", None)], ids=str
)
def test_ranks_of_different_runs_write_nothing(tmp_path: Path, free_port: int, own: str, word: str | None) -> None:
    words = [*SMALL, f"out={tmp_path / 'runs'}"]
    codes, said = together(free_port, tmp_path / "notes", words, [*words, own])
    if word is None:  # where the data lie is no part of a run
        assert codes == [0, 0]
        return
    assert codes == [EXIT_BAD_INPUT] * 2
    for text in said:
        assert f"differ in their {word}: process 0 has " in text
        assert "Traceback" not in text
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("more", [1, 40])
def test_ranks_that_see_other_images_write_nothing(tmp_path: Path, free_port: int, more: int) -> None:
    """One node's copy of the data set is not the other's: 20 images a class against 21, and against 60."""
    words = []
    for rank, count in enumerate((20, 20 + more)):
        for blue, split in enumerate(("train", "val")):
            for name in ("a", "b"):
                (tmp_path / f"data{rank}" / split / name).mkdir(parents=True)
                for number in range(count):
                    image = Image.new("RGB", (16, 16), (number, rank, blue))
                    image.save(tmp_path / f"data{rank}" / split / name / f"{number}.png")
        words.append([*FOLDER, f"data.root={tmp_path / f'data{rank}'}", f"out={tmp_path / 'runs'}"])
    codes, said = together(free_port, tmp_path / "notes", *words)
    assert codes == [EXIT_BAD_INPUT] * 2
    for text in said:
        assert "differ in their data set: process 0 has " in text
        assert "Traceback" not in text
    assert not list((tmp_path / "runs").rglob("*.json"))


def test_ranks_that_see_other_checkpoints_refuse(tmp_path: Path, free_port: int) -> None:
    """Rank 1 cannot see the folder in which rank 0 finds a checkpoint: a file system that is not shared."""
    here, elsewhere = ([*STATEFUL, f"out={tmp_path / name}"] for name in ("runs", "other"))
    killed, _ = together(free_port, tmp_path / "killed", here, here, fault=Fault(150, faults.sigkill))
    assert killed[0] == -9
    (curve,) = (tmp_path / "runs").rglob("curve.jsonl")
    before = {path.name: path.read_bytes() for path in curve.parent.iterdir() if path.name != "lock"}
    codes, said = together(free_port, tmp_path / "apart", here, elsewhere)
    assert codes == [EXIT_BAD_INPUT] * 2
    for text in said:
        assert "differ in their checkpoint: process 0 has step " in text
        assert "process 1 has none" in text
    assert {path.name: path.read_bytes() for path in curve.parent.iterdir() if path.name != "lock"} == before
    codes, _ = together(free_port, tmp_path / "resumed", here, here)
    assert codes == [0, 0]


def test_one_that_waits_alone_gives_up_after_the_stated_time(tmp_path: Path, free_port: int) -> None:
    words = [*SMALL, f"out={tmp_path / 'runs'}", "join_seconds=1"]
    for rank in (0, 1):
        order = rank_of(rank, free_port, words, tmp_path / "notes")
        assert faults.perform_and_wait(order) == EXIT_BAD_INPUT
        said = (tmp_path / "notes" / f"stderr{rank}").read_text()
        assert f"process {rank} of 2 waited 1 s for process {1 - rank} at 127.0.0.1:{free_port}" in said
        assert "raise join_seconds" in said


def test_a_signal_ends_the_waiting(tmp_path: Path) -> None:
    """The process says for whom it waits after ten seconds; the signal comes then. Either rank, either signal."""
    waiting = []
    cases = [(rank, number) for rank in (0, 1) for number in (signal.SIGINT, signal.SIGTERM)]
    for (rank, number), port in zip(cases, free_ports(len(cases)), strict=True):
        notes = tmp_path / f"{number}"
        process = faults.start(rank_of(rank, port, [*SMALL, f"out={tmp_path / 'runs'}"], notes))
        waiting.append((process, rank, port, number, notes / f"stderr{rank}"))
    for process, rank, port, number, said in waiting:
        until = time.monotonic() + 300
        while time.monotonic() < until and not (said.exists() and "waits for" in said.read_text()):
            time.sleep(0.1)
        assert f"process {rank} of 2 waits for process {1 - rank} at 127.0.0.1:{port}" in said.read_text()
        process.send_signal(number)
        assert faults.finish(process, 300) == EXIT_INTERRUPTED
        assert "while waiting for" in said.read_text()
    assert not (tmp_path / "runs").exists()


def test_a_port_in_use_is_one_line(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert faults.perform_and_wait(rank_of(0, port, SMALL, tmp_path)) == EXIT_BAD_INPUT
    said = (tmp_path / "stderr0").read_text()
    assert f"127.0.0.1:{port}: cannot meet there" in said
    assert "set MASTER_PORT to a free one" in said


@pytest.mark.parametrize("name", ["MASTER_ADDR", "MASTER_PORT"])
def test_half_a_rendezvous_is_one_line(tmp_path: Path, free_port: int, name: str) -> None:
    order = rank_of(0, free_port, SMALL, tmp_path)
    assert faults.perform_and_wait(Order(SMALL, tmp_path, None, {**order.environment, name: ""})) == EXIT_BAD_INPUT
    assert f"{name} is not set" in (tmp_path / "stderr0").read_text()


def test_steps_and_restarts_have_meeting_places_of_their_own() -> None:
    step = {"SLURM_JOB_ID": "7", "SLURM_STEP_ID": "0"}
    others = [step | {"SLURM_STEP_ID": "1"}, step | {"SLURM_RESTART_COUNT": "1"}, {"TORCHELASTIC_RUN_ID": "a"}]
    assert len({meeting_name(each) for each in [step, *others]}) == 4
    torchrun = {"TORCHELASTIC_RUN_ID": "a", "TORCHELASTIC_RESTART_COUNT": "0"}  # started on two nodes by two steps
    assert meeting_name(step | torchrun) == meeting_name(step | {"SLURM_STEP_ID": "1"} | torchrun)


def test_gloo_listens_where_the_other_nodes_come_from() -> None:
    own = None
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe, suppress(OSError):  # no network: no such address
        probe.connect(("192.0.2.1", 9))
        own = probe.getsockname()[0]
    for address, expected in ((own, True), ("127.0.0.1", False)):
        environment = {"MASTER_ADDR": address or "127.0.0.1"}
        choose_interface(environment)
        chosen = environment.get("GLOO_SOCKET_IFNAME")
        assert (chosen in {name for _, name in socket.if_nameindex()} - {"lo"}) == (expected and own is not None)
    environment = {"MASTER_ADDR": "127.0.0.1", "GLOO_SOCKET_IFNAME": "ib0"}
    choose_interface(environment)
    assert environment["GLOO_SOCKET_IFNAME"] == "ib0"


@pytest.mark.parametrize("reader", [0, 1])
def test_a_file_that_one_rank_alone_finds_broken_is_told_in_the_record(
    tmp_path: Path, free_port: int, reader: int
) -> None:
    """Its reader leaves with the reason; the other, in the middle of an exchange, ends too and waits for nobody."""
    root = tmp_path / "data"
    for blue, split in enumerate(("train", "val")):
        for name in ("a", "b"):
            (root / split / name).mkdir(parents=True)
            for number in range(20):
                Image.new("RGB", (16, 16), (number, 0, blue)).save(root / split / name / f"{number}-{split}.png")
    words = [*FOLDER, f"data.root={root}", f"out={tmp_path / 'runs'}", "recipe.batch_size=8"]
    assert together(free_port, tmp_path / "first", words, words)[0] == [0, 0]  # leaves the list of files in the cache
    first = epoch_order(40, seed=1, epoch=0)[4 * reader]  # of this rank's half of the first batch
    broken = sorted((root / "train").rglob("*.png"))[first]
    broken.write_bytes(b"x" * broken.stat().st_size)
    codes, said = together(*free_ports(1), tmp_path / "second", [*words, "seed=1"], [*words, "seed=1"])
    assert codes[reader] == EXIT_BAD_INPUT
    assert codes[1 - reader] == EXIT_ERROR
    assert f"{broken} cannot be decoded" in said[reader]
    (line,) = [line for line in survey(tmp_path / "runs") if line.state == "failed"]
    assert f"{broken} cannot be decoded" in line.note


def test_a_sweep_under_torchrun_trains_all_its_runs(tmp_path: Path, free_port: int) -> None:
    words = ["data=fake", "target=none", "model=squeezenet1_1", "budget.epochs=1", "device=cpu", "threads=1"]
    harness, environment = forked.command("-m", "harness")
    command = ["-m", "torch.distributed.run", "--nproc-per-node=2", f"--master-port={free_port}", "--no-python"]
    command += [*harness.split(), "train", "-m", *words, "seed=0,1", f"out={tmp_path}"]
    done = forked.run(command, env=os.environ | environment, timeout=240)
    assert done.returncode == 0, done.stderr
    runs = read_runs(tmp_path)
    assert sorted(run.seed for run in runs) == [0, 1]
    assert {run.summary["hardware"]["world_size"] for run in runs} == {2}


@pytest.mark.parametrize(
    ("visible", "local_rank", "index"),
    [(4, 3, 3), (1, 3, 0), (2, 1, 1)],
    ids=["all GPUs of the node", "one GPU a task", "torchrun's choice"],
)
def test_the_device_for_each_way_a_site_binds(
    monkeypatch: pytest.MonkeyPatch, visible: int, local_rank: int, index: int
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: visible)
    assert own_device("cuda", local_rank) == torch.device("cuda", index)
    assert own_device("cpu", local_rank) == torch.device("cpu")


def test_more_processes_than_gpus_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(BadInput, match="--gpus-per-task=1"):
        own_device("cuda", 2)


def test_a_thread_takes_no_signals(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    heard: list[object] = []

    def install() -> None:
        try:
            heard.append(StopFlag().install())
        except ValueError as error:
            heard.append(error)

    thread = threading.Thread(target=install)
    thread.start()
    thread.join()
    assert isinstance(heard[0], StopFlag)
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_rename_is_brought_to_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed: list[str] = []
    flush = files.os.fsync

    def watched(descriptor: int) -> None:
        folder = stat.S_ISDIR(files.os.fstat(descriptor).st_mode)
        flushed.append("folder" if folder and (tmp_path / "a").exists() else "file")
        flush(descriptor)

    monkeypatch.setattr(files.os, "fsync", watched)
    files.write_atomic(tmp_path / "a", "text")
    assert flushed == ["file", "folder"]


def test_a_batchnorm_of_few_images_is_recorded_and_warned_of(tmp_path: Path, free_port: int) -> None:
    words = [*SMALL, "+model.kwargs.norm=true", "recipe.batch_size=16", f"out={tmp_path / 'runs'}"]
    codes, said = together(free_port, tmp_path / "notes", words, words)
    assert codes == [0, 0]
    assert "note: BatchNorm sees 8 images at a time, fewer than 16" in said[0]
    (run,) = read_runs(tmp_path / "runs")
    assert (run.summary["hardware"]["world_size"], run.summary["hardware"]["batchnorm_images"]) == (2, 8)


@pytest.mark.parametrize("short", [0, 1])
def test_out_of_memory_on_one_rank_is_so_for_the_run(tmp_path: Path, free_port: int, short: int) -> None:
    """Which rank met it decides nothing: the run stays open, says why, and trains on when started again."""
    words = [*SMALL, f"out={tmp_path / 'runs'}"]
    fault = Fault(40, faults.exhaust_memory)
    orders = [rank_of(rank, free_port, words, tmp_path, fault if rank == short else None) for rank in (0, 1)]
    codes = faults.perform_together(orders)
    assert codes == [EXIT_ERROR] * 2
    (line,) = survey(tmp_path / "runs")
    assert (line.state, line.note.partition(";")[0]) == ("failed", "out of memory")
    assert together(free_port, tmp_path / "again", words, words)[0] == [0, 0]


@pytest.mark.parametrize("waiting", [0, 1])
def test_a_second_sigterm_ends_one_that_waits_in_a_collective(tmp_path: Path, free_port: int, waiting: int) -> None:
    """The other is stopped by SIGSTOP, so that the sum over both never ends; the first signal alone waits for it."""
    words = [*SMALL, f"out={tmp_path / 'runs'}"]
    fault = Fault(40, faults.sigstop)
    orders = [rank_of(rank, free_port, words, tmp_path, fault if rank != waiting else None) for rank in (0, 1)]
    both = [faults.start(order) for order in orders]
    mine, other = both[waiting], both[1 - waiting]
    try:
        until = time.monotonic() + 120
        while time.monotonic() < until and not stopped(other.pid):
            time.sleep(0.1)
        assert stopped(other.pid)
        while time.monotonic() < until and mine.poll() is None:
            mine.terminate()
            time.sleep(1)
        assert faults.finish(mine, 1) == EXIT_INTERRUPTED
    finally:
        other.kill()
        other.wait()
    assert "SIGTERM again while waiting for other processes" in (tmp_path / f"stderr{waiting}").read_text()


def stopped(pid: int) -> bool:
    """Whether SIGSTOP holds a process."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
