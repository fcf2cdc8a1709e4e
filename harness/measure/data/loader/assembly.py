"""Chunks of uint8 pixels become one normalised batch on the device; one class per kind of device."""

from __future__ import annotations

from collections import deque

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from harness.measure.data.loader.pixels import Normaliser
from harness.measure.data.protocol import Batch


class Buffers:
    """Two float32 buffers that take turns: page faults on fresh memory cost three times the normalisation itself.

    A batch therefore stays whole until the next but one is asked for.
    """

    def __init__(self) -> None:
        self._turns = deque([torch.empty(0), torch.empty(0)])

    def next(self, images: int, side: int) -> Tensor:
        """Memory for one batch, float32 (images, side, side, 3); its content is arbitrary."""
        self._turns.rotate()
        numbers = images * side * side * 3
        if self._turns[0].numel() < numbers:
            with torch.inference_mode(False):  # made by an evaluation, written by training later on
                self._turns[0] = torch.empty(numbers)
        return self._turns[0][:numbers].view(images, side, side, 3)


class OnCpu:
    """Normalises each chunk as it comes, straight from the ring into the batch."""

    def __init__(self, normaliser: Normaliser, out: Tensor, flips: NDArray[np.bool_] | None) -> None:
        self._normaliser, self._flips, self._out = normaliser, flips, out

    def add(self, pixels: Tensor, start: int, *, pinned: bool) -> None:
        """Take rows from `start` on; the chunk's memory may be reused afterwards."""
        stop = start + len(pixels)
        self._normaliser.into(self._out[start:stop], pixels, None if self._flips is None else self._flips[start:stop])

    def finish(self, labels: Tensor) -> Batch:
        """The batch, with its labels, int64 (B,)."""
        return self._out.permute(0, 3, 1, 2), labels


class OnCuda:
    """Copies each chunk on the side stream; the computing stream waits for the copies, the host for nothing."""

    def __init__(
        self,
        normaliser: Normaliser,
        copies: torch.cuda.Stream,
        device: torch.device,
        images: int,
        side: int,
        flips: NDArray[np.bool_] | None,
    ) -> None:
        self._normaliser, self._copies, self._flips, self._device = normaliser, copies, flips, device
        with torch.cuda.stream(copies):
            self._pixels = torch.empty(images, side, side, 3, dtype=torch.uint8, device=device)

    def add(self, pixels: Tensor, start: int, *, pinned: bool) -> torch.cuda.Event:
        """Start the copy of rows from `start` on; their memory may be reused once the event has passed."""
        with torch.cuda.stream(self._copies):
            source = pixels if pinned else pixels.pin_memory()
            self._pixels[start : start + len(pixels)].copy_(source, non_blocking=True)
            return self._copies.record_event()

    def finish(self, labels: Tensor) -> Batch:
        """The batch, with its labels, int64 (B,)."""
        with torch.cuda.stream(self._copies):
            labels = labels.to(self._device, non_blocking=True)
            flips = None if self._flips is None else torch.from_numpy(self._flips).to(self._device, non_blocking=True)
        computing = torch.cuda.current_stream(self._device)
        computing.wait_stream(self._copies)
        for tensor in (self._pixels, labels, *(() if flips is None else (flips,))):
            tensor.record_stream(computing)  # the allocator must not reuse them while they are read
        return self._normaliser.on_device(self._pixels, flips), labels
