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

from harness.measure.data import decode, pixels
from harness.measure.data.manifest import Manifest, Split, open_manifest
from harness.measure.data.stream import StreamedData, settings_of
from harness.measure.data.subset import choose_classes, members, subset_fingerprint
from harness.measure.schema import DataConfig, RecipeConfig
from harness.record.errors import BadInput

REFERENCE_PIXELS = "reference: Pillow resize and centre crop"


class FolderImages:
    """One split of a tree, or a part of it, as `Images` (stream.py). indices: int64 (n,) into the manifest's split."""

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
class Cut:
    """The kept part of a tree: class names, and (indices, labels) of each split, int64."""

    classes: list[str]
    train: tuple[NDArray[np.int64], NDArray[np.int64]]
    evaluation: tuple[NDArray[np.int64], NDArray[np.int64]]
    fingerprint: str
    subset: bool


def cut(manifest: Manifest, data: DataConfig) -> Cut:
    """The part of a tree that a config asks for."""
    chosen = choose_classes(len(manifest.classes), data.classes)
    train = members(manifest.train.labels, chosen, data.images_per_class, option="data.images_per_class")
    evaluation = members(
        manifest.evaluation.labels, chosen, data.evaluation_images_per_class, option="data.evaluation_images_per_class"
    )
    whole = len(train[0]) == len(manifest.train) and len(evaluation[0]) == len(manifest.evaluation)
    fingerprint = manifest.fingerprint if whole else subset_fingerprint(manifest.fingerprint, train[0], evaluation[0])
    # a tree with ImageNet's own class names and fewer images is a part of ImageNet, whoever cut it
    part = manifest.looks_like_imagenet and not manifest.is_full_imagenet
    return Cut([manifest.classes[c] for c in chosen], train, evaluation, fingerprint, not whole or part)


def build(data: DataConfig, recipe: RecipeConfig, device: torch.device) -> StreamedData:
    """The tree under data.root as an `ImageData`. Raises BadInput for a wrong tree (scan.py), subset or decoder."""
    decoder = decode.choose(data.decoder or "auto")
    manifest = open_manifest(data.root)
    part = cut(manifest, data)
    train, evaluation = (
        FolderImages(manifest.root, split, indices, labels, decoder=decoder, crop_ratio=data.crop_ratio)
        for split, (indices, labels) in ((manifest.train, part.train), (manifest.evaluation, part.evaluation))
    )
    notes: dict[str, str | int] = {
        "decoder": decode.described(decoder),
        "train_pixels": "original files: crop, then antialiased uint8 resize by torch",
        "evaluation_pixels": REFERENCE_PIXELS,
        "ignored_files": manifest.ignored_files,
    }
    return StreamedData(
        data.name, train, evaluation, classes=len(part.classes), fingerprint=part.fingerprint, subset=part.subset,
        notes=notes, settings=settings_of(data, recipe), device=device,
    )  # fmt: skip
