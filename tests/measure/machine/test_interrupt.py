"""Signals become a flag, and Slurm is asked to requeue exactly when nobody else would."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.measure.machine import output, signals
from harness.measure.machine.signals import STOP_SIGNALS, StopFlag
from harness.measure.sweep.expand import jobs_of
from harness.measure.sweep.slurm import element
from harness.record.errors import EXIT_INTERRUPTED
from harness.record.folders.sweep import job_id


@pytest.fixture
def flag(monkeypatch: pytest.MonkeyPatch) -> Iterator[StopFlag]:
    flag = StopFlag().install()
    yield flag
    flag.restore()


@pytest.mark.parametrize("number", STOP_SIGNALS)
def test_a_signal_is_noted_and_the_process_goes_on(flag: StopFlag, number: signal.Signals) -> None:
    os.kill(os.getpid(), number)
    assert flag.signal_name == number.name


def test_signals_that_were_kept_waiting_are_so_again_afterwards() -> None:
    def blocked() -> bool:
        return signal.SIGUSR2 in signal.pthread_sigmask(signal.SIG_BLOCK, [])

    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])
    try:
        with StopFlag():
            assert not blocked()
        assert blocked()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    with StopFlag():
        pass
    assert not blocked()


@pytest.mark.parametrize("moment", [float("inf"), -1.0])
def test_a_signal_may_come_twice_and_a_later_second_ctrl_c_stops_at_once(
    flag: StopFlag, monkeypatch: pytest.MonkeyPatch, moment: float
) -> None:
    monkeypatch.setattr(signals, "MOMENT_SECONDS", moment)
    os.kill(os.getpid(), signal.SIGTERM)
    os.kill(os.getpid(), signal.SIGTERM)
    os.kill(os.getpid(), signal.SIGINT)
    if moment > 0:  # within a moment: the run still saves
        os.kill(os.getpid(), signal.SIGINT)
        assert flag.signal_name == "SIGINT"
        return
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)


def test_handlers_are_given_back() -> None:
    before = [signal.getsignal(number) for number in STOP_SIGNALS]
    StopFlag().install().restore()
    assert [signal.getsignal(number) for number in STOP_SIGNALS] == before


@pytest.mark.parametrize("module", [signals.__name__, output.__name__, element.__module__, jobs_of.__module__])
def test_the_module_loads_without_torch(module: str) -> None:
    """Its import takes seconds, in which a signal would find no handler; submitit imports the module of `element`.

    Words that are wrong are told without it.
    """
    code = f"import {module}, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_an_ignored_hangup_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        flag = StopFlag().install()
        os.kill(os.getpid(), signal.SIGHUP)
        assert flag.signal_name is None
        flag.restore()
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_the_last_element_of_an_array_is_not_the_array() -> None:
    assert job_id({"SLURM_JOB_ID": "5", "SLURM_ARRAY_JOB_ID": "5", "SLURM_ARRAY_TASK_ID": "3"}) == "5_3"
    assert job_id({"SLURM_JOB_ID": "6"}) == "6"
    assert job_id({}) is None


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand-ins for squeue (answers with $STATE) and scontrol (writes its arguments to a file)."""
    (tmp_path / "squeue").write_text('#!/bin/sh\necho "$STATE"\n')
    (tmp_path / "scontrol").write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/asked\n')
    for name in ("squeue", "scontrol"):
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    for name in ("SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SLURM_JOB_ID", "6")
    return tmp_path / "asked"


@pytest.mark.parametrize(
    ("name", "state", "asked"),
    [
        ("SIGUSR2", "RUNNING", True),
        ("SIGTERM", "RUNNING", True),
        ("SIGTERM", "COMPLETING", False),  # cancelled, or already on its way back
        ("SIGTERM", "", False),
        ("SIGINT", "RUNNING", False),  # a person
        ("SIGHUP", "RUNNING", False),  # whose terminal is gone
        (None, "RUNNING", False),
    ],
)
def test_requeue(slurm: Path, monkeypatch: pytest.MonkeyPatch, name: str | None, state: str, asked: bool) -> None:
    monkeypatch.setenv("STATE", state)
    flag = StopFlag()
    flag.signal_name = name
    assert flag.requeue_if_running() is asked
    assert slurm.exists() is asked
    if asked:
        assert slurm.read_text() == "requeue 6\n"


def test_outside_slurm_nothing_is_asked(slurm: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SLURM_JOB_ID")
    flag = StopFlag()
    flag.signal_name = "SIGTERM"
    assert not flag.requeue_if_running()
    assert not slurm.exists()


HELD = """
import ctypes, hashlib, sys, threading
from harness.measure.machine import signals

together, at = sys.argv[1] == "together", sys.argv[2]
signals.MOMENT_SECONDS = 1.0
stop = signals.StopFlag().install()
stop.watch(lambda: together)
lock, library = ctypes.create_string_buffer(128), ctypes.CDLL(None)
library.pthread_mutex_lock(lock)

def let_go():
    sys.stdin.read()
    library.pthread_mutex_unlock(lock)

threading.Thread(target=let_go, daemon=True).start()
print("ready", flush=True)
if at == "wait":
    library.pthread_mutex_lock(lock)  # as in a collective: deaf to signals, and idle
else:
    hashlib.pbkdf2_hmac("sha256", b"", b"", 10_000_000)  # one long operation of a processor
print(stop.signal_name)
"""


def held(together: str, at: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", HELD, together, at]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def ask_often(process: "subprocess.Popen[str]", times: int) -> None:
    """SIGTERM every half second until the process is gone, so many times at most."""
    for _ in range(times):
        if process.poll() is not None:
            return
        process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.5)


def test_who_waits_for_others_ends_at_a_second_sigterm() -> None:
    process = held("together", "wait")
    ask_often(process, 200)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == EXIT_INTERRUPTED
    assert said == "harness: SIGTERM again while waiting for other processes: ended; start it again, it resumes\n"


@pytest.mark.parametrize(("together", "at"), [("alone", "wait"), ("together", "work")])
def test_a_long_single_operation_is_no_waiting_for_others(together: str, at: str) -> None:
    """A slow disk, or a step of many seconds: it is finished, and the signal noticed then."""
    process = held(together, at)
    ask_often(process, 8)
    said, complaint = process.communicate(timeout=300)
    assert (process.returncode, said, complaint) == (0, "SIGTERM\n", "")
