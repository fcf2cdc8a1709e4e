"""The worker processes: torch's DataLoader, started once and kept for the whole run.

Its sampler yields tasks (which slot of the ring, which images, by which draws), its workers write pixels into the slot,
and what comes back is a few integers. Training and evaluation share the workers: the sampler never ends, and takes its
next task from the pass that was asked last. Chunks of the other pass that were under way wait for their turn.
Workers are forked (tens of milliseconds; spawning costs seconds) and never touch CUDA.
"""

from __future__ import annotations

import functools
import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from harness.measure.data.loader.fill import Fill, StreamTask
from harness.measure.data.loader.ring import Copied, Ring
from harness.measure.machine.worker import enter_worker
from harness.record.errors import BadInput, HarnessError

COPIES_UNDER_WAY = 4  # slots that the device may still read while all others are at work


class Report(NamedTuple):
    """What a worker says of a task: the images that needed Pillow (usually none), or what stopped it."""

    odd: tuple[int, ...] = ()
    error: HarnessError | None = None


class Done(NamedTuple):
    """A finished task: its pixels stand in `slot` until `WorkerPool.give_back`."""

    task: StreamTask
    slot: int
    report: Report


@dataclass
class _Pass:
    """One walk over a split. `waiting`: tasks that were done while another pass had its turn."""

    tasks: Iterator[StreamTask]
    waiting: deque[Done] = field(default_factory=deque)
    under_way: int = 0
    exhausted: bool = False
    closed: bool = False


class WorkerPool:
    """`workers` processes that keep `ahead` tasks under way; with 0 workers a task is done when it is asked for.

    Raises BadInput where the system refuses the processes.
    """

    def __init__(self, fill: Fill, *, workers: int, ahead: int, slot_bytes: int, pin: bool) -> None:
        each = -(-ahead // workers) if workers else 1
        ahead = each * max(1, workers)
        # under way, done for the other pass, in the caller's hands, and read by the device
        self.ring = Ring(2 * ahead + 1 + COPIES_UNDER_WAY, slot_bytes)
        self._turn: _Pass | None = None
        self._sent: deque[tuple[_Pass, StreamTask, int] | None] = deque()
        self._results: Iterator[Report] | None = None
        self._processes: list[multiprocessing.process.BaseProcess] = []
        others, heard = set(multiprocessing.active_children()), signal.getsignal(signal.SIGCHLD)
        loader: DataLoader[Report] = DataLoader(
            _Filled(fill, self.ring),
            batch_size=None,  # a task is a whole chunk
            sampler=iter(self._next_task, _NEVER),  # endless: no length is ever asked for
            collate_fn=_unchanged,
            num_workers=workers,
            prefetch_factor=each if workers else None,
            persistent_workers=workers > 0,
            multiprocessing_context="fork" if workers else None,
            worker_init_fn=functools.partial(_enter, parent=os.getpid()),
            generator=torch.Generator(),  # its own: the seed of the workers is not drawn from the run's generator
        )
        try:
            if workers:
                # Refused later, in torch's iterator, the deletion of that half-made one would print a traceback.
                multiprocessing.get_context("fork").Lock()
            self._results = iter(loader)
        except OSError as error:
            raise BadInput(
                f"the loader's processes cannot be started ({error}): they need room for processes and a /dev/shm that "
                "can be written; correct that, or pass data.workers=0"
            ) from error
        finally:
            self._processes = [child for child in multiprocessing.active_children() if child not in others]
            # torch raises from its SIGCHLD handler, wherever the main process is, also while it saves. Without it a
            # worker's death is noticed in next(), within five seconds.
            if signal.getsignal(signal.SIGCHLD) is not heard:
                signal.signal(signal.SIGCHLD, heard)
        if pin:
            self.ring.pin()

    @property
    def closed(self) -> bool:
        """Whether it has ended, by `close` or by an error."""
        return self._results is None

    @property
    def pids(self) -> list[int]:
        """The worker processes."""
        return [process.pid for process in self._processes if process.pid is not None]

    def run(self, tasks: Iterator[StreamTask]) -> Generator[Done, None, None]:
        """Do the tasks, in order. Each slot is handed back with `give_back`. At most two passes live at once.

        Raises the HarnessError that stopped a task, or one where a worker died.
        """
        mine = _Pass(tasks)
        try:
            while (done := mine.waiting.popleft() if mine.waiting else self._receive(mine)) is not None:
                if done.report.error is not None:
                    self.give_back(done.slot)
                    raise done.report.error
                yield done
        finally:
            mine.closed = True
            for done in mine.waiting:
                self.give_back(done.slot)

    def give_back(self, slot: int, copied: Copied | None = None) -> None:
        """The pixels of a slot are no longer needed, or will not be once the event has passed."""
        self.ring.give(slot, copied)

    def close(self) -> None:
        """End the processes, the hung ones too."""
        self._results = None  # torch's iterator ends its workers when nobody holds it
        for process in self._processes:
            if process.is_alive():
                process.kill()  # they are deaf to SIGTERM
            process.join()
        self._processes.clear()
        self.ring.unpin()

    def _receive(self, mine: _Pass) -> Done | None:
        """The next done task of `mine`, None after the last."""
        self._turn = mine
        while mine.under_way or not mine.exhausted:
            report = self._next_report()
            if (sent := self._sent.popleft()) is None:
                continue
            owner, task, slot = sent
            owner.under_way -= 1
            if owner.closed:
                self.give_back(slot)
            elif owner is mine:
                return Done(task, slot, report)
            else:
                owner.waiting.append(Done(task, slot, report))
        return None

    def _next_task(self) -> tuple[StreamTask, int] | None:
        """torch's sampler: a task of the pass that was asked last, and None, which is no work, where it has no more."""
        mine = self._turn
        task = None if mine is None else next(mine.tasks, None)
        if mine is None or task is None:
            if mine is not None:
                mine.exhausted = True
            self._sent.append(None)
            return None
        slot = self.ring.take()
        mine.under_way += 1
        self._sent.append((mine, task, slot))
        return task, slot

    def _next_report(self) -> Report:
        if self._results is None:
            raise HarnessError("the loader has ended, by close() or by an earlier error")
        try:
            return next(self._results)
        except BaseException as error:
            died = not all(process.is_alive() for process in self._processes)
            self.close()  # what was sent and what comes back are no longer in step
            if died and isinstance(error, RuntimeError):
                raise HarnessError(
                    "a loader process died, most likely for lack of memory: lower data.workers or ask for more memory"
                ) from error
            raise


_NEVER = object()


class _Filled(Dataset[Report]):
    """The data set that torch's workers index by tasks. Inherited through fork, never pickled."""

    def __init__(self, fill: Fill, ring: Ring) -> None:
        self._fill, self._ring = fill, ring

    def __getitem__(self, sent: tuple[StreamTask, int] | None) -> Report:
        if sent is None:
            return Report()
        task, slot = sent
        out: Tensor = self._ring.block(slot, len(task.indices), task.resolution)
        try:
            return Report(odd=self._fill(task, out))
        except HarnessError as error:  # as a value: torch would wrap its message in a traceback
            return Report(error=error)


def _unchanged(report: Any) -> Any:
    return report


def _enter(_worker: int, *, parent: int) -> None:
    enter_worker(parent)
