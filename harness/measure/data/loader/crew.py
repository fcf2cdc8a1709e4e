"""Worker processes that fill a ring of shared memory, started once and kept for the whole run.

Why not torch's DataLoader: it would need two sets of processes (evaluation falls in the middle of an epoch), a fresh
block of shared memory per batch (page faults) and a copy into pinned memory per batch. Here tasks go to the standard
library's ProcessPoolExecutor, pixels come back in place, and with CUDA the ring itself is pinned.
Workers are forked (tens of milliseconds; spawning costs seconds) and never touch CUDA.
"""

from __future__ import annotations

import ctypes
import logging
import mmap
import multiprocessing
import os
import signal
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Protocol

import torch
from torch import Tensor

from harness.measure.machine.device import tune_malloc
from harness.record.errors import BadInput, HarnessError

log = logging.getLogger(__name__)

PR_SET_PDEATHSIG = 1  # linux/prctl.h


class Task(Protocol):
    """What a worker gets: where to write, and whatever the fill function reads."""

    @property
    def slot(self) -> int: ...


Report = tuple[int, ...]
"""What a worker says of a task: the rows that needed Pillow in place of the fast decoder (usually none)."""
Fill = Callable[..., Report]


class Crew:
    """`workers` processes and `slots` blocks of `slot_bytes`; with 0 workers the work is done when it is asked for."""

    def __init__(self, fill: Fill, *, workers: int, slots: int, slot_bytes: int, pin: bool) -> None:
        self.slots, self.slot_bytes = slots, slot_bytes
        self._fill = fill
        # anonymous memory, shared through fork: not bounded by /dev/shm, which containers keep at 64 MB
        self._memory = mmap.mmap(-1, max(1, slots * slot_bytes))
        self._ring = torch.frombuffer(self._memory, dtype=torch.uint8)
        self._pool: ProcessPoolExecutor | None = None
        self._processes: list[multiprocessing.process.BaseProcess] = []
        if workers:
            self._start(workers)
        self.pinned = pin and self._pin()

    def block(self, slot: int, images: int, resolution: int) -> Tensor:
        """The first `images` pictures of a slot: uint8 (images, resolution, resolution, 3)."""
        used = images * resolution * resolution * 3
        start = slot * self.slot_bytes
        return self._ring[start : start + used].view(images, resolution, resolution, 3)

    def submit(self, task: Task) -> Callable[[], Report]:
        """Starts a task; the returned function waits for it. It raises what the worker raised."""
        if self._pool is None:
            return lambda: self._fill(task, self._ring, self.slot_bytes)
        future = self._pool.submit(_work, task)
        return _Waiter(future)

    def close(self) -> None:
        """Ends the processes."""
        if self._pool is not None:
            if not all(process.is_alive() for process in self._processes):
                for process in self._processes:  # a broken pool waits for them, and they are deaf to its SIGTERM
                    process.kill()
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None
        self._unpin()

    def _start(self, workers: int) -> None:
        others = set(multiprocessing.active_children())
        self._pool = ProcessPoolExecutor(
            workers,
            mp_context=multiprocessing.get_context("fork"),
            initializer=_enter,
            initargs=(self._fill, self._ring, self.slot_bytes, os.getpid()),
        )
        self._pool.submit(os.getpid).result()  # forks all of them now, before the ring is pinned
        self._processes = [child for child in multiprocessing.active_children() if child not in others]

    def _pin(self) -> bool:
        """Registers the ring with CUDA so that copies to the device run beside the computation."""
        runtime = torch.cuda.cudart()
        code = runtime.cudaHostRegister(self._ring.data_ptr(), self._ring.numel(), 0)
        pinned = bool(code == runtime.cudaError.success)
        if not pinned:
            log.warning("the loader's memory could not be pinned (CUDA: %s): batches are staged instead", code)
        return pinned

    def _unpin(self) -> None:
        if self.pinned:
            torch.cuda.cudart().cudaHostUnregister(self._ring.data_ptr())
            self.pinned = False


class _Waiter:
    """A future whose failure is told in the harness's words; `cancel` is for an abandoned epoch."""

    def __init__(self, future: Future[Report]) -> None:
        self.future = future

    def __call__(self) -> Report:
        try:
            return self.future.result()
        except BrokenProcessPool as error:
            raise HarnessError(
                "a loader process died, most likely for lack of memory: lower data.workers or ask for more memory"
            ) from error


def settle(waiter: Callable[[], Report]) -> None:
    """Cancels a submitted task or, where it runs already, waits until its slot is no longer written."""
    if isinstance(waiter, _Waiter) and not waiter.future.cancel():
        waiter.future.exception()


_state: tuple[Fill, Tensor, int] | None = None


def _enter(fill: Fill, ring: Tensor, slot_bytes: int, parent: int) -> None:
    global _state  # noqa: PLW0603  (a worker has one crew for its whole life)
    enter_worker(parent)
    _state = (fill, ring, slot_bytes)


def enter_worker(parent: int) -> None:
    """In a fresh worker: one thread, tuned malloc, deaf to the signals that ask the main process to stop."""
    for name in ("SIGINT", "SIGTERM", "SIGUSR1", "SIGUSR2", "SIGHUP"):
        signal.signal(getattr(signal, name), signal.SIG_IGN)
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # no orphans when the main process is killed
    if os.getppid() != parent:
        os._exit(1)
    torch.set_num_threads(1)
    tune_malloc()


def _work(task: Task) -> Report:
    if _state is None:
        raise BadInput("a loader task arrived before its worker was set up")
    fill, ring, slot_bytes = _state
    return fill(task, ring, slot_bytes)
