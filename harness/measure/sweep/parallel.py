"""Several runs at once on this machine, each a process of its own with its GPU or its share of the cores.

Python's own `subprocess` starts and watches them: submitit's local executor starts all at once, and a pool of workers
(loky, concurrent.futures) is lost as a whole with the first worker that the kernel kills.

The process that watches trains nothing, and loads torchvision only where it counts a network or meets a finished run:
that takes seconds before the first run begins, and memory until the last one ends.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from harness.measure.config.compose import run_folder, run_id, semantic
from harness.measure.machine.device import resolve
from harness.measure.machine.importing import uncollected
from harness.measure.machine.signals import StopFlag
from harness.measure.sweep.job import Ended, Job
from harness.measure.sweep.local import Share, shares
from harness.record.errors import EXIT_DONE, EXIT_ERROR, EXIT_INTERRUPTED, BadInput
from harness.record.folders.folder import is_finished
from harness.record.folders.sweep import LOGS, telling_line
from harness.record.protocol import digest

POLL_SECONDS = 0.2


@dataclass(frozen=True)
class Watched:
    """A job as it stands, for those who watch. state: waiting, running or ended; folder: its run folder."""

    job: Job
    folder: Path
    state: str
    ended: Ended | None


@dataclass
class _Running:
    job: Job
    process: subprocess.Popen[bytes]
    share: Share
    log: Path


class Watch(Protocol):
    """Is called several times a second with all jobs, and once at the end."""

    def __call__(self, seen: Sequence[Watched], *, last: bool) -> None: ...


def longest_first(jobs: Sequence[Job]) -> list[Job]:
    """The jobs by their forecast, longest first: so the sweep ends soonest. As given where none can be made.

    Nor is one made where only the seeds differ: it would load the data.
    """
    if len({digest(semantic(job.config)) for job in jobs}) == 1:
        return list(jobs)
    with uncollected():
        from harness.measure.sweep.forecast import forecast

    try:
        rows = forecast([job.config for job in jobs])
    except BadInput:
        return list(jobs)  # of data that is not here, say: the runs will say what is wrong with them
    order = sorted(range(len(jobs)), key=lambda index: -rows[index].macs)
    return [jobs[index] for index in order]


def run_parallel(jobs: Sequence[Job], count: int, stop: StopFlag, watch: Watch) -> list[Ended]:
    """Run `jobs`, `count` at a time, started in their order; return what became of those that were begun.

    One that fails or is killed takes no other with it. A signal is passed on: each saves, none is begun any more.
    """
    sweep = _Sweep(jobs, count, stop)
    try:
        while sweep.goes_on():
            watch(sweep.seen(), last=False)
            time.sleep(POLL_SECONDS)
        watch(sweep.seen(), last=True)
    finally:
        sweep.leave()
    if stop.signal_name is not None:
        stop.requeue_if_running()
    return [sweep.ended[index] for index in sorted(sweep.ended)]


class _Sweep:
    """The jobs waiting, running and ended, each by its place in the order."""

    def __init__(self, jobs: Sequence[Job], count: int, stop: StopFlag) -> None:
        self._jobs = jobs
        self._folders = [run_folder(resolve(job.config)) for job in jobs]
        self._waiting = list(range(len(jobs)))
        self._running: dict[int, _Running] = {}
        self.ended: dict[int, Ended] = {}
        self._free = shares(count)
        self._stop = stop
        self._told = False

    def goes_on(self) -> bool:
        """Note who has ended, pass a signal on, start the next; False when nothing is left to wait for."""
        if self._stop.signal_name is not None and not self._told:
            self._told = True
            self._waiting.clear()
            self._tell()
        for index, running in list(self._running.items()):
            if (code := running.process.poll()) is not None:
                self.ended[index] = self._result(index, running, code)
                self._free.append(self._running.pop(index).share)
        while self._waiting and self._free:
            self._begin(self._waiting.pop(0))
        return bool(self._running)

    def seen(self) -> list[Watched]:
        """Every job as it stands."""
        return [
            Watched(
                job,
                self._folders[index],
                "ended" if index in self.ended else "running" if index in self._running else "waiting",
                self.ended.get(index),
            )
            for index, job in enumerate(self._jobs)
        ]

    def leave(self) -> None:
        """Wait for the runs that go on, after an error or a second Ctrl-C: each is told, and each saves what it can."""
        while self._running:
            try:
                self._tell()
                for index in list(self._running):
                    self._running[index].process.wait()
                    del self._running[index]
            except KeyboardInterrupt:
                continue

    def _begin(self, index: int) -> None:
        job = self._jobs[index]
        if is_finished(self._folders[index]):
            with uncollected():
                from harness.measure.sweep.here import run_one

            self.ended[index] = run_one(job, self._stop)  # says so, and that it is of the same data
            return
        share = self._free.pop(0)
        log = Path(job.config.out) / LOGS / f"{run_id(resolve(job.config))}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "harness.measure.sweep.alone", "--parent", str(os.getpid())]
        command += ["--cores", ",".join(map(str, share.cores)), "--threads", str(share.threads)]
        command += [] if job.search is None else ["--search", json.dumps(job.search)]
        command += ["--", *job.overrides]
        environment = {**os.environ, "OMP_NUM_THREADS": str(job.config.threads or share.threads)}
        if share.gpu is not None:
            environment["CUDA_VISIBLE_DEVICES"] = share.gpu
        with open(log, "ab") as file:
            # A session of its own: Ctrl-C comes to this process alone, which passes it on once.
            process = subprocess.Popen(
                command, env=environment, stdin=subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True
            )
        self._running[index] = _Running(job, process, share, log)

    def _result(self, index: int, running: _Running, code: int) -> Ended:
        folder = self._folders[index]
        if self._told and code == -signal.SIGTERM:
            code = EXIT_INTERRUPTED  # it came before the handlers were there: nothing had begun
        if is_finished(folder) or code == EXIT_DONE:
            return Ended(running.job, code, folder)
        if code == EXIT_INTERRUPTED:
            return Ended(running.job, code, folder, None if self._told else "interrupted; the same sweep resumes it")
        if code < 0:
            name = signal.Signals(-code).name
            told = f"killed by {name}" + (" (out of memory?)" if code == -signal.SIGKILL else "")
            return Ended(running.job, EXIT_ERROR, error=f"{told}; start the sweep again and it resumes")
        words = telling_line(running.log) or f"exit code {code}"
        return Ended(running.job, code, error=f"{words.removeprefix('harness: ')}; see {running.log}")

    def _tell(self) -> None:
        """Pass a stop on; the runs save and end, and leave it to this process to ask Slurm for a requeue."""
        for running in self._running.values():
            running.process.terminate()
