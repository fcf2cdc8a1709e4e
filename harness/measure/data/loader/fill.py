"""What the workers do: read images, crop them by their draws, write uint8 pixels into the ring."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from harness.measure.data.loader import sampling
from harness.measure.data.loader.augment import randaugment


class Images(Protocol):
    """One split that can be read: labels int64 (n,), and pixels by index, from any process."""

    labels: NDArray[np.int64]

    def train(self, out: Tensor, indices: NDArray[np.int64], numbers: NDArray[np.float64], transform: str) -> list[int]:
        """Write random views, uint8 (n, R, R, 3) without flips; return the indices that only Pillow could read."""

    def evaluation(self, out: Tensor, indices: NDArray[np.int64]) -> list[int]:
        """Write the reference's evaluation pixels, uint8 (n, R, R, 3); return the same."""

    def path(self, index: int) -> str:
        """The image's name, for messages."""


@dataclass(frozen=True)
class StreamTask:
    """A chunk: rows from `start` on of a batch of `batch_images` whose first image is at `batch_position` in the epoch.

    `transform` None evaluates; randaugment: its magnitude, None = off.
    """

    indices: NDArray[np.int64]
    batch_position: int
    batch_images: int
    start: int
    resolution: int
    transform: str | None
    randaugment: int | None = None
    seed: int = 0
    epoch: int = 0

    @property
    def stop(self) -> int:
        """The row of the batch after the chunk's last."""
        return self.start + len(self.indices)


class Fill:
    """Reads a task's images. Inherited through fork, never pickled."""

    def __init__(self, train: Images, evaluation: Images) -> None:
        self._train, self._evaluation = train, evaluation

    def __call__(self, task: StreamTask, out: Tensor) -> tuple[int, ...]:
        """Write the pixels, uint8 (n, R, R, 3); return the indices that needed Pillow. Raises BadInput (`Images`)."""
        if task.transform is None:
            return tuple(self._evaluation.evaluation(out, task.indices))
        numbers = sampling.draws(task.seed, task.epoch, task.batch_position + task.start, len(task.indices))
        odd = self._train.train(out, task.indices, numbers, task.transform)
        if task.randaugment is not None:
            views = out.permute(0, 3, 1, 2)
            seeds = [sampling.augmentation_seed(own) for own in numbers]
            views.copy_(randaugment(views, seeds, task.randaugment))
        return tuple(odd)
