"""Geometry of the crops, and uint8 pixels -> normalised float32 on the device.

Training: crop first, then resample with torch's antialiased uint8 kernel; it differs from Pillow's by at most one
level in rounding (mean 0.02 of 255 over ImageNet-like images, asserted in the tests). Evaluation: Pillow itself, so
that every pixel equals torchvision's reference (Resize, CenterCrop on PIL images).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from harness.measure.data.loader import sampling

SHIFT_SHARE = 8  # of the side, on each side: 4 pixels of 32, as is usual on CIFAR
RANDOM_CROP_NUMERATOR, RANDOM_CROP_DENOMINATOR = 8, 7  # short side 256 for a 224 crop, as AlexNet and VGG did


def short_side_size(height: int, width: int, short_side: int) -> tuple[int, int]:
    """(height, width) after torchvision's Resize(short_side): the long side is rounded down."""
    if height <= width:
        return short_side, int(short_side * width / height)
    return int(short_side * height / width), short_side


def centre_offset(outer: int, inner: int) -> int:
    """Where torchvision's CenterCrop begins: half to even, as Python rounds."""
    return round((outer - inner) / 2.0)


def resize_side(resolution: int, crop_ratio: float) -> int:
    """Short side before the centre crop: 256 for 224 at ImageNet's 0.875."""
    return round(resolution / crop_ratio)


def evaluation_array(image: Image.Image, resolution: int, crop_ratio: float) -> NDArray[np.uint8]:
    """Resize (bilinear, antialiased) and centre crop by Pillow: uint8 (resolution, resolution, 3)."""
    height, width = short_side_size(image.height, image.width, resize_side(resolution, crop_ratio))
    image = image.resize((width, height), Image.Resampling.BILINEAR)
    top, left = centre_offset(height, resolution), centre_offset(width, resolution)
    return np.array(image.crop((left, top, left + resolution, top + resolution)))


def resample(image: Tensor, height: int, width: int) -> Tensor:
    """uint8 (h, w, 3) of any strides -> uint8 (height, width, 3), bilinear with antialiasing.

    The batch dimension is added in front of channels-last strides: added to a channels-first view, torch would not
    recognise the layout and take a path twice as slow.
    """
    if image.shape[0] == height and image.shape[1] == width:
        return image
    batch = image[None].permute(0, 3, 1, 2)
    if image.device.type != "cpu":
        batch = batch.float()  # on other devices torch has no uint8 kernel
    resized = torch.nn.functional.interpolate(batch, size=(height, width), mode="bilinear", antialias=True)
    if resized.dtype != torch.uint8:
        resized = resized.round_().clamp_(0, 255).to(torch.uint8)
    return resized.permute(0, 2, 3, 1)[0]


def training_image(image: Tensor, numbers: NDArray[np.float64], transform: str, resolution: int) -> Tensor:
    """One random view without its flip. image: uint8 (h, w, 3); numbers: (DRAWS,); returns uint8 (R, R, 3)."""
    height, width = image.shape[0], image.shape[1]
    if transform == "resized_crop":
        top, left, h, w = sampling.resized_crop_box(numbers, height, width)
        return resample(image[top : top + h, left : left + w], resolution, resolution)
    if transform == "random_crop":
        side = resolution * RANDOM_CROP_NUMERATOR // RANDOM_CROP_DENOMINATOR
        image = resample(image, *short_side_size(height, width, side))
        top, left, h, w = sampling.random_crop_box(numbers, image.shape[0], image.shape[1], resolution)
        return image[top : top + h, left : left + w]
    image = resample(image, *short_side_size(height, width, resolution))
    top, left = centre_offset(image.shape[0], resolution), centre_offset(image.shape[1], resolution)
    image = image[top : top + resolution, left : left + resolution]
    if transform == "shift":
        image = shift(image.permute(2, 0, 1)[None], torch.from_numpy(numbers[None, 1:3]))[0].permute(1, 2, 0)
    return image


def shift(images: Tensor, draws: Tensor) -> Tensor:
    """Pad by an eighth of the side with zeros and crop back at a random place.

    images: uint8 (n, C, R, R); draws: uniform (n, 2) in [0, 1), rows and columns, on the same device.
    """
    side = images.shape[-1]
    margin = side // SHIFT_SHARE
    padded = torch.nn.functional.pad(images, [margin] * 4)
    offsets = (draws * (2 * margin + 1)).long().clamp(max=2 * margin)
    steps = torch.arange(side, device=images.device)
    rows, columns = offsets[:, :1] + steps, offsets[:, 1:] + steps
    image = torch.arange(len(images), device=images.device).view(-1, 1, 1)
    return padded.permute(0, 2, 3, 1)[image, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


class Normaliser:
    """uint8 NHWC -> ((x / 255) - mean) / std as float32, an NCHW view of channels-last memory, flips included.

    The operations are torchvision's ToTensor and Normalize in their order, so the floats are equal bit for bit.
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float], device: torch.device) -> None:
        self._device = device
        self._full = torch.tensor(255.0, device=device)  # by a number of the host CUDA multiplies by 1 / 255: a bit off
        self._mean = torch.tensor([mean[c % len(mean)] for c in range(3)], device=device)
        self._std = torch.tensor([std[c % len(std)] for c in range(3)], device=device)

    def on_device(self, pixels: Tensor, flips: Tensor | None) -> Tensor:
        """A whole batch at once, for an accelerator. pixels: uint8 (B, R, R, 3) there; flips: bool (B,) there."""
        if flips is not None:
            pixels = torch.where(flips.view(-1, 1, 1, 1), pixels.flip(2), pixels)
        return pixels.float().div_(self._full).sub_(self._mean).div_(self._std).permute(0, 3, 1, 2)

    def into(self, out: Tensor, pixels: Tensor, flips: NDArray[np.bool_] | None) -> None:
        """Image by image on the CPU, in cache, along rows of width * 3 so that the inner loop is vectorised.

        out: float32 (n, R, R, 3), written; pixels: uint8 (n, R, R, 3). Over whole batches the same costs 5 times more.
        """
        n, rows, columns, _ = pixels.shape
        mean, std = self._mean.repeat(columns), self._std.repeat(columns)
        for i in range(n):
            image = pixels[i].flip(1) if flips is not None and flips[i] else pixels[i]
            flat = out[i].view(rows, columns * 3)
            flat.copy_(image.reshape(rows, columns * 3)).div_(255).sub_(mean).div_(std)
