"""One writer per run folder: live, crashed, on another host, requeued."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from harness.record.errors import HarnessError, RunLocked
from harness.record.folders import lock as lock_module
from harness.record.folders.folder import LOCK
from harness.record.folders.lock import STALE_SECONDS, Holder, RunLock, seems_alive

HOLD = "import sys; from pathlib import Path; from harness.record.folders.lock import RunLock\n"
HOLD += "with RunLock(Path(sys.argv[1])):\n    print('held', flush=True)\n    sys.stdin.read()\n"


def hold(folder: Path) -> subprocess.Popen[str]:
    """Another process that has the lock when this returns; it lets go when its stdin closes."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def elsewhere(folder: Path, *, silence_seconds: float, job: str | None = None) -> None:
    """Leave the lock of a process of another host, last heard of `silence_seconds` ago."""
    path = folder / LOCK
    path.write_text(json.dumps(dataclasses.asdict(Holder("node7", "another-boot", 4711, job, 0, "token"))))
    then = path.stat().st_mtime - silence_seconds
    os.utime(path, (then, then))


def test_a_second_process_is_told_who_holds_the_run(tmp_path: Path) -> None:
    process = hold(tmp_path)
    try:
        with pytest.raises(RunLocked, match=f"process {process.pid} on "), RunLock(tmp_path):
            pass
        assert seems_alive(tmp_path)
    finally:
        process.communicate("")
    assert process.returncode == 0
    with RunLock(tmp_path):
        assert (tmp_path / LOCK).exists()
    assert list(tmp_path.iterdir()) == []


def test_a_holder_that_ends_at_this_moment_is_no_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The holder removes its file between our refused lock and the look at its last sign of life."""
    process = hold(tmp_path)
    refused = lock_module.fcntl.lockf

    def lockf(*arguments: int) -> None:
        (tmp_path / LOCK).unlink()
        refused(*arguments)

    monkeypatch.setattr(lock_module.fcntl, "lockf", lockf)
    try:
        with pytest.raises(RunLocked, match=f"process {process.pid} on "), RunLock(tmp_path):
            pass
    finally:
        process.communicate("")


def test_a_killed_holder_blocks_nobody(tmp_path: Path) -> None:
    process = hold(tmp_path)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert (tmp_path / LOCK).exists()
    with RunLock(tmp_path) as mine:
        mine.verify()


def test_a_live_holder_on_another_host_is_respected(tmp_path: Path) -> None:
    elsewhere(tmp_path, silence_seconds=STALE_SECONDS / 2)
    before = (tmp_path / LOCK).read_text()
    with pytest.raises(RunLocked, match="process 4711 on node7"), RunLock(tmp_path):
        pass
    assert (tmp_path / LOCK).read_text() == before


def test_a_silent_holder_on_another_host_is_replaced(tmp_path: Path) -> None:
    elsewhere(tmp_path, silence_seconds=STALE_SECONDS + 30)
    assert not seems_alive(tmp_path)
    with RunLock(tmp_path) as mine:
        mine.verify()


def test_a_dead_holder_whose_number_another_process_has_is_dead(tmp_path: Path) -> None:
    process = hold(tmp_path)
    try:
        lock = tmp_path / LOCK
        assert seems_alive(tmp_path)
        before = lock.stat().st_mtime - 3600  # the last sign of life of somebody who had this number before
        os.utime(lock, (before, before))
        assert not seems_alive(tmp_path)
    finally:
        process.communicate("")


def test_a_requeued_job_takes_its_own_lock_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "12")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "3")
    elsewhere(tmp_path, silence_seconds=0, job="12_3")
    with pytest.raises(RunLocked, match="Slurm job 12_3"), RunLock(tmp_path):
        pass  # another process of the same start of the job
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    elsewhere(tmp_path, silence_seconds=0, job="12_3")
    with RunLock(tmp_path) as mine:
        mine.verify()
    elsewhere(tmp_path, silence_seconds=0, job="12_4")
    with pytest.raises(RunLocked, match="Slurm job 12_4"), RunLock(tmp_path):
        pass


def test_a_file_system_without_locks_falls_back_to_the_heartbeat(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(lock_module.errno.ENOLCK, "No locks available")

    monkeypatch.setattr(lock_module.fcntl, "lockf", refuse)
    with RunLock(tmp_path), pytest.raises(RunLocked), RunLock(tmp_path):
        pass


def test_the_heartbeat_shows_life_and_whoever_was_replaced_notices(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock_module, "HEARTBEAT_SECONDS", 0.001)
    path = tmp_path / LOCK
    with RunLock(tmp_path) as mine:
        os.utime(path, (0, 0))
        while path.stat().st_mtime == 0:  # ends with the first beat
            pass
        elsewhere(tmp_path, silence_seconds=0)
        with pytest.raises(RunLocked, match="taken over by process 4711 on node7"):
            mine.verify()
    assert path.exists(), "the new holder's lock was removed"


@pytest.mark.parametrize("torn", [b"", b'{"host": "no'])
def test_a_lock_torn_by_a_crash_blocks_nobody(tmp_path: Path, torn: bytes) -> None:
    (tmp_path / LOCK).write_bytes(torn)
    with RunLock(tmp_path) as mine:
        mine.verify()


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / LOCK).mkdir()
    with pytest.raises(HarnessError, match=f"cannot write {tmp_path / LOCK}: Is a directory"), RunLock(tmp_path):
        pass


def test_a_requeued_job_waits_for_its_predecessor_to_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "12")
    process = hold(tmp_path)
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    monkeypatch.setattr(lock_module.time, "sleep", lambda _: process.communicate(""))  # it ends while we wait
    with RunLock(tmp_path) as mine:
        assert process.returncode == 0
        mine.verify()
