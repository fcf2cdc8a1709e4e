"""data=imagenet: the standard image folder, decoded as it is read.

`workers` decode and crop to uint8; evaluation is Pillow's Resize and CenterCrop, pixel for pixel torchvision's
reference. The training pixels differ from the reference's by rounding in the resampling kernel (pixels.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from harness.measure.config.schema import DataConfig, RecipeConfig
from harness.measure.data.loader import decode, pixels
from harness.measure.data.loader.device_decode import DeviceDecoder
from harness.measure.data.loader.stream import StreamedData, settings_of
from harness.measure.data.store.manifest import Split, open_manifest
from harness.measure.data.subset import Cut, cut
from harness.record.errors import BadInput

REFERENCE_PIXELS = "reference: Pillow resize and centre crop"


class FolderImages:
    """One split of a tree, or a part of it, as `Images` (fill.py). indices: int64 (n,) into the manifest's split."""

    def __init__(
        self,
        root: Path,
        split: Split,
        indices: NDArray[np.int64],
        labels: NDArray[np.int64],
        *,
        decoder: str,
        crop_ratio: float,
    ) -> None:
        self.labels = labels
        self._root, self._split, self._indices = root, split, indices
        self._crop_ratio = crop_ratio
        self._decoder = decode.Decoder(decoder)

    def path(self, index: int) -> str:
        """Path of image `index`, under the root of the tree."""
        return f"{self._root}/{self._split.path(int(self._indices[index]))}"

    def encoded(self, index: int) -> bytes:
        """The file's bytes. Raises BadInput, with the path, for a file that is gone or unreadable."""
        path = self.path(index)
        try:
            return Path(path).read_bytes()
        except OSError as error:
            raise BadInput(f"{path} cannot be read ({error.strerror}): restore it from its archive") from error

    def train(self, out: Tensor, indices: NDArray[np.int64], numbers: NDArray[np.float64], transform: str) -> list[int]:
        """See `Images`."""
        odd = []
        for image, index, own in zip(out, indices.tolist(), numbers, strict=True):
            decoded, by_pillow = self._decoder.decode(self.encoded(index), self.path(index))
            image.copy_(pixels.training_image(decoded, own, transform, out.shape[1]))
            if by_pillow:
                odd.append(index)
        return odd

    def evaluation(self, out: Tensor, indices: NDArray[np.int64]) -> list[int]:
        """See `Images`. Always by Pillow, the reference, so no file is odd here."""
        for image, index in zip(out, indices.tolist(), strict=True):
            picture = decode.pillow_rgb(self.encoded(index), self.path(index))
            image.copy_(torch.from_numpy(pixels.evaluation_array(picture, out.shape[1], self._crop_ratio)))
        return []


@dataclass(frozen=True)
class Selection:
    """What a config asks for of a tree: the kept part, both splits of it, and whether it is less than the whole."""

    part: Cut
    train: FolderImages
    evaluation: FolderImages
    subset: bool
    ignored_files: int


def select(data: DataConfig, *, decoder: str) -> Selection:
    """Opens data.root and keeps the asked part. Raises BadInput for a wrong tree (scan.py) or subset."""
    manifest = open_manifest(data.root)
    part = cut(manifest.classes, manifest.fingerprint, manifest.train.labels, manifest.evaluation.labels, data)
    train, evaluation = (
        FolderImages(manifest.root, split, *kept, decoder=decoder, crop_ratio=data.crop_ratio)
        for split, kept in ((manifest.train, part.train), (manifest.evaluation, part.evaluation))
    )
    # a tree with ImageNet's own class names and fewer images is a part of ImageNet, whoever cut it
    subset = part.is_cut or (manifest.looks_like_imagenet and not manifest.is_full_imagenet)
    return Selection(part, train, evaluation, subset, manifest.ignored_files)


def build(data: DataConfig, recipe: RecipeConfig, device: torch.device) -> StreamedData:
    """The tree under data.root as an `ImageData`. Raises BadInput for a wrong tree, subset or decoder."""
    on_device = data.decoder == decode.ON_DEVICE
    if on_device and device.type != "cuda":
        raise BadInput("data.decoder=nvjpeg decodes on a GPU, and this run computes on the CPU: use data.decoder=auto")
    decoder = decode.choose("auto" if on_device else data.decoder or "auto")
    chosen = select(data, decoder=decoder)
    notes: dict[str, str | int] = {
        "decoder": f"nvjpeg through {decode.described('torchcodec')}" if on_device else decode.described(decoder),
        "train_pixels": "original files: crop, then antialiased uint8 resize by torch",
        "evaluation_pixels": REFERENCE_PIXELS,
        "ignored_files": chosen.ignored_files,
    }
    return StreamedData(
        data.name, chosen.train, chosen.evaluation, classes=len(chosen.part.classes),
        fingerprint=chosen.part.fingerprint, subset=chosen.subset, notes=notes, settings=settings_of(data, recipe),
        device=device, device_decoder=DeviceDecoder(chosen.train, device, decoder) if on_device else None,
    )  # fmt: skip
