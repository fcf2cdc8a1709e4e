"""Data sets behind one interface: batches on the device, each a pure function of (seed, epoch, batch)."""

from collections.abc import Iterator
from typing import Protocol

import torch

Batch = tuple[torch.Tensor, torch.Tensor]
"""Images (float32, NCHW, normalised, on the device) and labels (int64, on the device)."""


class ImageData(Protocol):
    """A labelled image set with a training and an evaluation split."""

    name: str
    classes: int
    fingerprint: str
    subset: bool
    train_images: int
    evaluation_images: int

    @property
    def notes(self) -> dict[str, str | int]:
        """What the record says of how the images are read; counts are complete once the run has ended."""

    def start(self, *, world_size: int) -> None:
        """Start its processes. Call before any thread: a fork copies one thread alone, and the locks of all."""

    def train_batches(
        self, *, seed: int, epoch: int, batch_size: int, start_batch: int, resolution: int, rank: int, world_size: int
    ) -> Iterator[Batch]:
        """Batches `start_batch`, ... of an epoch; each rank gets its contiguous share of the global batch.

        A batch stays whole until the next but one is asked for: who keeps it longer copies it.
        """

    def evaluation_batches(self, *, resolution: int, batch_size: int, rank: int, world_size: int) -> Iterator[Batch]:
        """Every image of the evaluation split exactly once over all ranks, never padded."""

    def close(self) -> None:
        """Give back what it holds beside memory (loader processes)."""


def steps_per_epoch(train_images: int, batch_size: int, world_size: int) -> int:
    """Optimiser steps in an epoch: the last partial batch counts unless it has under 2 images a rank (BatchNorm)."""
    whole, rest = divmod(train_images, batch_size)
    return whole + (rest >= 2 * world_size)


def rank_share(images: int, rank: int, world_size: int) -> slice:
    """The contiguous share of `images` items that belongs to a rank; shares differ by at most one item."""
    return slice(images * rank // world_size, images * (rank + 1) // world_size)
