"""RandAugment as torchvision's reference has it, each image by a seed of its own."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def randaugment(images: Tensor, seeds: Sequence[int], magnitude: int) -> Tensor:
    """Two operations of a magnitude from 0 to 30. images: uint8 (n, C, H, W) on any device; returns the same shape.

    Bilinear, as references/classification/presets.py of torchvision; v2's own default is nearest. torch.manual_seed
    would reseed CUDA's generators too, so the CPU's alone is seeded, and set back afterwards.
    """
    from torchvision.transforms import InterpolationMode, v2  # not at the top: nearly as long as torch

    augment = v2.RandAugment(num_ops=2, magnitude=magnitude, interpolation=InterpolationMode.BILINEAR)
    augmented = torch.empty_like(images)
    with torch.random.fork_rng(devices=[]):
        for own, out, image in zip(seeds, augmented, images, strict=True):
            torch.default_generator.manual_seed(own)
            out.copy_(augment(image))
    return augmented
