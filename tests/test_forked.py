"""The process that stands for a forked one, as shells and Slurm's jobs begin it, is told and ends as that would."""

import os
import shlex
import signal
import subprocess
import sys

import pytest

from harness.paths import ROOT
from tests import forked

WAITING = """
import os, signal, sys, time
signal.signal(signal.SIGUSR2, lambda *_: sys.exit(7))
print(os.getpid(), flush=True)
signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGUSR2])
time.sleep(100)
"""


def begin(code: str) -> "subprocess.Popen[str]":
    words, environment = forked.command("-c", shlex.quote(code))
    return subprocess.Popen(
        ["bash", "-c", f"exec {words}"], cwd=ROOT, env=os.environ | environment, stdout=subprocess.PIPE, text=True
    )


@pytest.mark.parametrize(
    ("code", "expected"), [("print(1)", 0), ("raise SystemExit(3)", 3), ("import os; os.abort()", -6)]
)
def test_it_ends_as_the_other_does(code: str, expected: int) -> None:
    assert begin(code).wait(60) == expected


@pytest.mark.parametrize(("number", "expected"), [(signal.SIGUSR2, 7), (signal.SIGTERM, -signal.SIGTERM)])
def test_it_passes_signals_on(number: signal.Signals, expected: int) -> None:
    standing = begin(WAITING)
    assert standing.stdout is not None
    assert int(standing.stdout.readline()) != standing.pid
    standing.send_signal(number)
    assert standing.wait(60) == expected


def test_a_signal_that_is_blocked_when_it_starts_waits_for_the_other() -> None:
    blocking = (
        "import os, signal, sys\n"
        "signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2})\n"
        "os.kill(os.getpid(), signal.SIGUSR2)\n"
        "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
    )
    _, environment = forked.command()
    words = [sys.executable, "-c", blocking, "-m", "tests.forked", "-c", WAITING]
    ended = subprocess.run(words, cwd=ROOT, env=os.environ | environment, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 7, ended.stderr


def test_killed_it_takes_the_other_with_it() -> None:
    standing = begin(WAITING)
    assert standing.stdout is not None
    assert int(standing.stdout.readline()) != standing.pid
    standing.kill()
    assert standing.wait(60) == -signal.SIGKILL
    assert standing.stdout.read() == "", "a pipe ends with the last process that could write into it"
