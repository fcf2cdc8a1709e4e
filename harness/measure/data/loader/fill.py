"""What the workers do: read images, crop them by their draws, write uint8 pixels into the ring."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from harness.measure.data.loader import sampling
from harness.measure.data.loader.crew import Report


class Images(Protocol):
    """One split that can be read: labels int64 (n,), and pixels by index, from any process."""

    labels: NDArray[np.int64]

    def train(self, out: Tensor, indices: NDArray[np.int64], numbers: NDArray[np.float64], transform: str) -> list[int]:
        """Writes random views, uint8 (n, R, R, 3) without flips; returns the indices that only Pillow could read."""

    def evaluation(self, out: Tensor, indices: NDArray[np.int64]) -> list[int]:
        """Writes the reference's evaluation pixels, uint8 (n, R, R, 3); returns the same."""

    def path(self, index: int) -> str:
        """The image's name, for messages."""


@dataclass(frozen=True)
class StreamTask:
    """A chunk of a batch. `position` is its first image's place in the epoch's order; `transform` None evaluates."""

    slot: int
    indices: NDArray[np.int64]
    resolution: int
    transform: str | None
    randaugment: bool = False
    seed: int = 0
    epoch: int = 0
    position: int = 0


class Fill:
    """What the workers run: reads a task's images into its slot. Inherited through fork, never pickled."""

    def __init__(self, train: Images, evaluation: Images) -> None:
        self._train, self._evaluation = train, evaluation

    def __call__(self, task: StreamTask, ring: Tensor, slot_bytes: int) -> Report:
        n, side = len(task.indices), task.resolution
        start = task.slot * slot_bytes
        out = ring[start : start + n * side * side * 3].view(n, side, side, 3)
        if task.transform is None:
            return tuple(self._evaluation.evaluation(out, task.indices))
        numbers = sampling.draws(task.seed, task.epoch, task.position, n)
        odd = self._train.train(out, task.indices, numbers, task.transform)
        if task.randaugment:
            randaugment(out, numbers)
        return tuple(odd)


def randaugment(out: Tensor, numbers: NDArray[np.float64]) -> None:
    """torchvision's RandAugment in place, each image from its own seed. Mirroring later is the same distribution."""
    from torchvision.transforms import v2

    augment = v2.RandAugment(num_ops=2, magnitude=9)
    with torch.random.fork_rng(devices=[]):
        for image, own in zip(out, numbers, strict=True):
            torch.manual_seed(sampling.augmentation_seed(own))
            image.copy_(augment(image.permute(2, 0, 1)).permute(1, 2, 0))
