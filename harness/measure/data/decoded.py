"""Decoded images kept in memory, filled as they are first asked for and shared by all loader processes."""

from __future__ import annotations

import mmap
from pathlib import Path

import torch
from torch import Tensor

from harness.record.errors import BadInput


class DecodedImages:
    """Room for n images of height x width pixels; an image of another size is decoded each time.

    The memory is anonymous and shared: processes forked later fill it together, and pages nobody wrote cost nothing.
    Raises BadInput where the whole set would not fit into what is free.
    """

    def __init__(self, images: int, height: int, width: int) -> None:
        self._shape = (height, width, 3)
        needed, free = images * height * width * 3, _available_bytes()
        if needed > free:
            raise BadInput(
                f"data.in_memory=true: {images} images of {height} x {width} pixels take {needed / 1e9:.1f} GB and "
                f"{free / 1e9:.1f} GB are free: use data.in_memory=false"
            )
        self._pixels = torch.frombuffer(mmap.mmap(-1, max(1, needed)), dtype=torch.uint8)
        self._is_there = torch.frombuffer(mmap.mmap(-1, max(1, images)), dtype=torch.uint8)
        self._pixels = self._pixels[:needed].view(images, *self._shape)

    def get(self, index: int) -> Tensor | None:
        """uint8 (height, width, 3), or None where it has not been put in."""
        return self._pixels[index] if self._is_there[index] else None

    def put(self, index: int, pixels: Tensor) -> None:
        """Keep an image. Two processes may put the same one at once: they write the same bytes."""
        if pixels.shape == self._shape:
            self._pixels[index] = pixels
            self._is_there[index] = 1  # after the pixels


def _available_bytes() -> int:
    """Memory that can be had without swapping: what is free, and what only caches files."""
    lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
