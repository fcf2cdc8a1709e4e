"""Augmentation as a pure function of (seed, epoch, position in the epoch's order).

Every random choice comes from a counter-based generator (Philox 4x64, Salmon et al. 2011): the key is (seed, epoch),
the counter is the image's position. So batch b can be made without batches 0..b-1, on any number of ranks and
workers, and a run that resumes in mid-epoch sees exactly the images it would have seen.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

DRAWS = 32  # per image: 0 flip, 1-2 place of the crop, 3-22 ten attempts at (area, aspect ratio), 23 RandAugment's seed
_BLOCK = 4  # numbers per step of Philox's counter
RESIZED_CROP_AREA = (0.08, 1.0)  # torchvision.transforms.RandomResizedCrop's defaults
RESIZED_CROP_LOG_RATIO = (math.log(3 / 4), math.log(4 / 3))
RESIZED_CROP_ATTEMPTS = 10

Box = tuple[int, int, int, int]  # top, left, height, width in pixels


def draws(seed: int, epoch: int, position: int, images: int) -> NDArray[np.float64]:
    """Uniform numbers in [0, 1) for the positions [position, position + images), shape (images, DRAWS)."""
    key = np.array([seed, epoch], np.uint64)
    counter = np.array([position * (DRAWS // _BLOCK), 0, 0, 0], np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=counter)).random((images, DRAWS))


def flips(numbers: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which images are mirrored, shape (images,), each with probability one half."""
    return numbers[:, 0] < 0.5


def random_crop_box(numbers: NDArray[np.float64], height: int, width: int, size: int) -> Box:
    """A crop of size x size pixels at a uniform place (RandomCrop). numbers: (DRAWS,) of one image."""
    return int(numbers[1] * (height - size + 1)), int(numbers[2] * (width - size + 1)), size, size


def resized_crop_box(numbers: NDArray[np.float64], height: int, width: int) -> Box:
    """The box of RandomResizedCrop(scale=(0.08, 1), ratio=(3/4, 4/3)), by torchvision's own rule (get_params)."""
    values = numbers.tolist()
    area = height * width
    low, high = RESIZED_CROP_AREA
    log_low, log_high = RESIZED_CROP_LOG_RATIO
    for attempt in range(RESIZED_CROP_ATTEMPTS):
        target = area * (low + (high - low) * values[3 + 2 * attempt])
        ratio = math.exp(log_low + (log_high - log_low) * values[4 + 2 * attempt])
        w, h = round(math.sqrt(target * ratio)), round(math.sqrt(target / ratio))
        if 0 < w <= width and 0 < h <= height:
            return int(values[1] * (height - h + 1)), int(values[2] * (width - w + 1)), h, w
    w, h = width, height  # no attempt fits: the largest central crop within the ratios
    if width / height < math.exp(log_low):
        h = round(width / math.exp(log_low))
    elif width / height > math.exp(log_high):
        w = round(height * math.exp(log_high))
    return (height - h) // 2, (width - w) // 2, h, w


def augmentation_seed(numbers: NDArray[np.float64]) -> int:
    """Seed of one image's RandAugment, from its own draws. numbers: (DRAWS,)."""
    return int(numbers[23] * 2**53)
