"""Signals that ask a run to stop: noticed at once, obeyed at the next step boundary. Imports no torch.

The handlers go in before torch is imported, because that takes seconds and a SIGTERM without a handler kills.
After a stop the order matters: save, barrier, `StopFlag.requeue_if_running` on rank 0, barrier, exit 75. The second
barrier keeps the other ranks alive until rank 0 has asked: `srun --kill-on-bad-exit` ends a step at its first 75.
"""

import contextlib
import ctypes
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

from harness.record.errors import EXIT_INTERRUPTED
from harness.record.folders.sweep import job_id

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2, signal.SIGHUP)
OF_A_PERSON = ("SIGINT", "SIGHUP")
"""Ctrl-C, and a terminal that was closed: nobody wants Slurm to start such a run again."""

MOMENT_SECONDS = 3.0
"""A second Ctrl-C so soon after the first is impatience, or the same one by way of torchrun; a later one is meant."""

IDLE_SHARE = 0.02
"""Who waits for others uses less of a processor than this; who works uses more, also where many share it."""

SLURM_PATIENCE_SECONDS = 20
"""How long a Slurm client may take: within a preempted job's grace, whose usual shortest is 30 s."""

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


class StopFlag:
    """Turns SIGINT, SIGTERM, SIGUSR2 and SIGHUP into a flag. A second Ctrl-C, a moment later, stops at once."""

    def __init__(self, *, requeues: bool = True) -> None:
        """`requeues` False: another process, which shares the job with this one, asks Slurm for both."""
        self._requeues = requeues
        self.signal_name: str | None = None
        self._noticed_at = 0.0
        self._before: dict[int, Any] = {}
        self._blocked: set[signal.Signals | int] = set()
        self._pipe: int | None = None
        self._wakeup_before = -1

    def install(self) -> "StopFlag":
        """Take the signals over; returns itself. In a thread that is not the main one there are none to take.

        SIGHUP stays ignored where it is: `nohup` means that the run shall outlive its terminal. What came before, while
        a starter like `PYTHON` of sweep/slurm.py kept the signals waiting, is noticed now.
        """
        if threading.current_thread() is not threading.main_thread():
            return self
        for number in STOP_SIGNALS:
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._notice)
        self._blocked = signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS) & set(STOP_SIGNALS)
        return self

    def __enter__(self) -> "StopFlag":
        return self.install()

    def __exit__(self, *_: object) -> None:
        self.restore()

    def watch(self, may_wait: Callable[[], bool], *, may_spin: bool = False) -> None:
        """From here on a second signal, a moment after the first, ends a process that waits for others.

        There Python's handlers never run: the kernel's part of one writes to a pipe, which a thread reads. A process
        that still takes the second signal notice, as between two steps, goes on to save. So does one in a long single
        operation: `may_wait` says whether the main thread is at something that others take part in, and its clock
        whether it works (`may_spin`: who waits for a GPU may use the processor all the while). What ends here resumes.
        """
        if not self._before or self._pipe is not None:
            return
        reading, self._pipe = os.pipe()
        os.set_blocking(self._pipe, False)
        self._wakeup_before = signal.set_wakeup_fd(self._pipe, warn_on_full_buffer=False)
        os.register_at_fork(after_in_child=self._leave_pipe)  # a loader worker's signals are its own
        clock = None if may_spin else main_thread_clock()
        watcher = threading.Thread(
            target=self._end_where_deaf, args=(reading, may_wait, clock), name="signals", daemon=True
        )
        watcher.start()

    def _end_where_deaf(self, reading: int, may_wait: Callable[[], bool], clock: int | None) -> None:
        first: float | None = None
        with open(reading, "rb", buffering=0) as pipe:
            while number := pipe.read(1):
                if number[0] not in STOP_SIGNALS:
                    continue
                came = time.monotonic()
                if first is None:
                    first = came
                if came - first > MOMENT_SECONDS and self._is_deaf(came, may_wait, clock):
                    name = signal.Signals(number[0]).name
                    words = (
                        f"harness: {name} again while waiting for other processes: ended; start it again, it resumes"
                    )
                    with contextlib.suppress(OSError):
                        os.write(2, f"{words}\n".encode())
                    os._exit(EXIT_INTERRUPTED)

    def _is_deaf(self, came: float, may_wait: Callable[[], bool], clock: int | None) -> bool:
        """Whether the main thread does nothing but wait for others for a moment, and takes no notice of a signal."""
        worked = 0.0 if clock is None else time.clock_gettime(clock)
        for _ in range(10):
            time.sleep(MOMENT_SECONDS / 10)
            if not may_wait() or not self._before or self._noticed_at > came - MOMENT_SECONDS / 10:
                return False
        return clock is None or time.clock_gettime(clock) - worked < IDLE_SHARE * MOMENT_SECONDS

    def restore(self) -> None:
        """Give the signals back to who had them before."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if self._before:
            signal.pthread_sigmask(signal.SIG_BLOCK, self._blocked)
        self._before.clear()
        self._leave_pipe()

    def _leave_pipe(self) -> None:
        if self._pipe is not None:
            signal.set_wakeup_fd(self._wakeup_before)
            os.close(self._pipe)  # which ends the thread that reads it
            self._pipe = None

    def requeue_if_running(self) -> bool:
        """Ask Slurm to start this job again; True when it was asked. Call on rank 0, after saving.

        Only while the job is RUNNING: near its time limit or in a preemption's grace nobody else requeues it. While it
        is COMPLETING, Slurm requeues it unasked if it should be, and asking would bring a cancelled job back to life.
        A Ctrl-C is a person who wants it stopped, so that never requeues; nor does a terminal that went away.
        """
        job = job_id(os.environ)
        if not self._requeues or job is None or self.signal_name in (None, *OF_A_PERSON):
            return False
        if _ask("squeue", "--noheader", "--jobs", job, "--format", "%T") != "RUNNING":
            return False
        return _ask("scontrol", "requeue", job) is not None

    def _notice(self, number: int, _frame: FrameType | None) -> None:
        name = signal.Signals(number).name
        if name == self.signal_name == "SIGINT":
            if time.monotonic() - self._noticed_at > MOMENT_SECONDS:
                raise KeyboardInterrupt
            return
        self.signal_name, self._noticed_at = name, time.monotonic()
        if name == "SIGINT":
            _acknowledge()


def main_thread_clock() -> int | None:
    """The processor time of the main thread, None where the system does not tell it (macOS)."""
    main = threading.main_thread().ident
    find = getattr(time, "pthread_getcpuclockid", None)
    return None if find is None or main is None else int(find(main))


def end_with(parent: int, number: signal.Signals) -> bool:
    """Let the kernel send this process the signal when the process `parent` ends; False where it has ended already.

    Elsewhere than on Linux nothing is sent: an orphaned run trains to its end, and its lock keeps others away.
    """
    try:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, number)
    except (OSError, AttributeError):
        return True
    return os.getppid() == parent


def _acknowledge() -> None:
    """Tell the person now: the step that is under way may take a while. No lock is taken, for a signal comes anywhere.

    The empty lines are those that a live view clears when it draws itself again.
    """
    if os.environ.get("RANK", os.environ.get("SLURM_PROCID", "0")) == "0":
        words = "harness: Ctrl-C: saving after this step, then leaving (once more in a few seconds: at once, unsaved)"
        with contextlib.suppress(OSError):
            os.write(2, f"\n{words}\n\n".encode() if os.isatty(2) else f"{words}\n".encode())


def _ask(*command: str) -> str | None:
    """A Slurm client's answer, or None when it fails: then the job stays as it is and a person starts it again."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SLURM_PATIENCE_SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
