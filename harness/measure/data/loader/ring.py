"""A ring of memory that worker processes write and the device reads: plain shared memory, pinned for CUDA.

torch's DataLoader would take a fresh block of shared memory per batch (page faults) and copy it into pinned memory by a
thread. Here the pixels are written where the device reads them.
"""

from __future__ import annotations

import logging
import mmap
from collections import deque
from contextlib import suppress
from typing import Protocol

import torch
from torch import Tensor

log = logging.getLogger(__name__)


class Copied(Protocol):
    """An event of the device: a copy out of a slot has passed (torch.cuda.Event)."""

    def query(self) -> bool:
        """Whether it has passed."""

    def synchronize(self) -> None:
        """Wait until it has."""


class Ring:
    """`slots` blocks of `slot_bytes`. A slot is taken again only after the device's copy out of it has passed."""

    def __init__(self, slots: int, slot_bytes: int) -> None:
        self.slot_bytes = slot_bytes
        self.pinned = False
        # Anonymous memory, shared through fork: not bounded by /dev/shm, which containers keep at 64 MB. Never made in
        # inference mode: an evaluation may come first, and training could not write such tensors.
        with torch.inference_mode(False):
            self._bytes = torch.frombuffer(mmap.mmap(-1, max(1, slots * slot_bytes)), dtype=torch.uint8)
        self._free: deque[tuple[int, Copied | None]] = deque((slot, None) for slot in range(slots))

    def take(self) -> int:
        """The slot that has been free for longest; waits for the device where it still reads it."""
        slot, copied = self._free.popleft()
        if copied is not None and not copied.query():
            copied.synchronize()
        return slot

    def give(self, slot: int, copied: Copied | None = None) -> None:
        """Return a slot. `copied`: the event of a copy that may still read it."""
        self._free.append((slot, copied))

    def block(self, slot: int, images: int, resolution: int) -> Tensor:
        """The first `images` pictures of a slot: uint8 (images, resolution, resolution, 3)."""
        start, used = slot * self.slot_bytes, images * resolution * resolution * 3
        return self._bytes[start : start + used].view(images, resolution, resolution, 3)

    def pin(self) -> None:
        """Register the memory with CUDA, so that copies run beside the computation. Call after the workers' fork."""
        runtime = torch.cuda.cudart()
        code = runtime.cudaHostRegister(self._bytes.data_ptr(), self._bytes.numel(), 0)
        self.pinned = bool(code == runtime.cudaError.success)
        if not self.pinned:
            log.warning("the loader's memory could not be pinned (CUDA: %s): batches are staged instead", code)
            with suppress(RuntimeError):  # CUDA keeps the error for whoever asks next: that is this line
                torch.zeros(1, device="cuda")

    def unpin(self) -> None:
        """Undo `pin`, after the copies out of the slots that were given back; of others none may be under way."""
        if self.pinned:
            for copied in (copied for _, copied in self._free if copied is not None):
                copied.synchronize()
            torch.cuda.cudart().cudaHostUnregister(self._bytes.data_ptr())
            self.pinned = False
