"""How long a device had nothing to do for lack of a batch, and how far the host may run ahead of it."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Protocol

import torch

from harness.measure.data.protocol import Batch

STEPS_AHEAD = 2


class Event(Protocol):
    """A mark in the device's queue (torch.cuda.Event with timing)."""

    def synchronize(self) -> None:
        """Wait until the device has passed it."""

    def elapsed_time(self, end_event: Event, /) -> float:
        """Milliseconds on the device from this one to a later one; both have passed."""


class Waiting:
    """Counts the seconds between the end of a device's work and the arrival of its next batch.

    record: puts an event into the device's queue; None where the host computes and its own clock tells. A host that
    runs ahead waits for batches while the device still works: only the device's own events show its hunger. At most
    STEPS_AHEAD steps are queued, which also bounds the batches kept alive.
    """

    def __init__(self, record: Callable[[], Event] | None) -> None:
        self._record = record
        self._asked: deque[Event] = deque()  # of the queued steps
        self._pairs: deque[tuple[Event, Event]] = deque()
        self.seconds = 0.0  # counted so far; on a device the latest steps are not in it yet

    def over(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        """The batches, each wait counted."""
        while True:
            started = time.perf_counter()
            asked = None if self._record is None else self._record()
            if asked is not None:
                self._asked.append(asked)
                if len(self._asked) > STEPS_AHEAD:
                    self._asked.popleft().synchronize()
            batch = next(batches, None)
            if asked is None or self._record is None:
                self.seconds += time.perf_counter() - started
            else:
                self._pairs.append((asked, self._record()))
                while len(self._pairs) > STEPS_AHEAD + 1:
                    self._settle()
            if batch is None:
                return
            yield batch

    def take_seconds(self) -> float:
        """The seconds since the last call. Waits for the device: call where it is synchronised anyway."""
        while self._pairs:
            self._settle()
        seconds, self.seconds = self.seconds, 0.0
        return seconds

    def _settle(self) -> None:
        asked, arrived = self._pairs.popleft()
        arrived.synchronize()
        self.seconds += asked.elapsed_time(arrived) / 1000


def recorder(device: torch.device) -> Callable[[], Event] | None:
    """What puts a timed event into the current queue of a CUDA device; None on a CPU."""
    if device.type != "cuda":
        return None

    def record() -> Event:
        event = torch.cuda.Event(enable_timing=True)
        event.record(torch.cuda.current_stream(device))
        return event  # type: ignore[return-value]  # its events meet none but their own kind

    return record
