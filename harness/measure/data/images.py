"""data=imagenet, data=tiny_imagenet: images in any layout (layouts/), decoded as they are read.

`workers` decode and crop to uint8; evaluation is Pillow's Resize and CenterCrop, pixel for pixel torchvision's
reference. The training pixels differ from the reference's by rounding in the resampling kernel (pixels.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from harness.measure.config.schema import DataConfig, RecipeConfig
from harness.measure.data.decoded import DecodedImages
from harness.measure.data.loader import decode, pixels
from harness.measure.data.loader.stream import StreamedData
from harness.measure.data.store.manifest import Split, open_manifest, read_manifest
from harness.measure.data.store.reader import Reader
from harness.measure.data.subset import Cut, cut
from harness.record.errors import BadInput

REFERENCE_PIXELS = "reference: Pillow resize and centre crop"


class SourceImages:
    """One split of a source, or a part of it, as `Images` (fill.py). indices: int64 (n,) into the manifest's split."""

    def __init__(
        self,
        root: Path,
        split: Split,
        indices: NDArray[np.int64],
        labels: NDArray[np.int64],
        *,
        decoder: str,
        crop_ratio: float,
        in_memory: bool,
    ) -> None:
        self.labels, self.ids, self.streamed = labels, split.ids[indices], split.streamed
        self._reader, self._indices = Reader(root, split), indices
        self._crop_ratio = crop_ratio
        self._decoder = decode.Decoder(decoder)
        self._kept: DecodedImages | None = None
        if in_memory and not split.streamed:
            height, width, _ = self._decoder.decode(self.encoded(0), self.path(0))[0].shape
            self._kept = DecodedImages(len(labels), height, width)

    def path(self, index: int) -> str:
        """Where image `index` lies."""
        return self._reader.path(int(self._indices[index]))

    def encoded(self, index: int) -> bytes:
        """The file's bytes. Raises BadInput, with the path, for one that is gone, unreadable or of another size."""
        return self._reader.read(int(self._indices[index]))

    def streams(self) -> list[NDArray[np.int64]]:
        """The images of each container, in its order."""
        return self._reader.streams(self._indices)

    def stream(self, indices: NDArray[np.int64]) -> Iterator[tuple[int, bytes]]:
        """(index, bytes) of images of one container, in its order. Raises BadInput as `encoded` does."""
        places = {int(self._indices[index]): int(index) for index in indices}
        for image, data in self._reader.stream(self._indices[indices]):
            yield places[image], data

    def train(self, out: Tensor, indices: NDArray[np.int64], numbers: NDArray[np.float64], transform: str) -> list[int]:
        """See `Images`."""
        odd = []
        for image, index, own in zip(out, indices.tolist(), numbers, strict=True):
            decoded = None if self._kept is None else self._kept.get(index)
            if decoded is None:
                decoded, by_pillow = self._decoder.decode(self.encoded(index), self.path(index))
                if by_pillow:
                    odd.append(index)
                if self._kept is not None:
                    self._kept.put(index, decoded)
            image.copy_(pixels.training_image(decoded, own, transform, out.shape[1]))
        return odd

    def evaluation(self, out: Tensor, indices: NDArray[np.int64]) -> list[int]:
        """See `Images`. Always by Pillow, the reference, so no file is odd here."""
        for image, index in zip(out, indices.tolist(), strict=True):
            decoded = None if self._kept is None else self._kept.get(index)
            if decoded is None:
                picture = decode.pillow_rgb(self.encoded(index), self.path(index))
                if self._kept is not None:
                    self._kept.put(index, torch.from_numpy(np.array(picture)))
            else:
                picture = Image.fromarray(decoded.numpy())
            image.copy_(torch.from_numpy(pixels.evaluation_array(picture, out.shape[1], self._crop_ratio)))
        return []


@dataclass(frozen=True)
class Selection:
    """What a config asks for of a tree: the kept part, both splits of it, and whether it is less than the whole."""

    part: Cut
    train: SourceImages
    evaluation: SourceImages
    subset: bool
    streamed: bool  # no image can be read without those before it: to be packed first
    notes: dict[str, str | int]  # for the record


def select(data: DataConfig, *, decoder: str, fresh: bool = False) -> Selection:
    """Open data.root and keep the asked part; fresh: from the source itself, whatever is cached.

    Raises BadInput for a wrong source (layouts/) or subset.
    """
    manifest = (read_manifest if fresh else open_manifest)(data.root)
    part = cut(manifest.classes, manifest.fingerprint, manifest.train.labelled, manifest.evaluation.labelled, data)
    train, evaluation = (
        SourceImages(manifest.root, split, *kept, decoder=decoder, crop_ratio=data.crop_ratio, in_memory=data.in_memory)
        for split, kept in ((manifest.train, part.train), (manifest.evaluation, part.evaluation))
    )
    # a source with ImageNet's own class names and fewer images is a part of ImageNet, whatever cut it
    whole = manifest.is_full_imagenet or manifest.is_full_tiny_imagenet
    subset = part.is_cut or (manifest.looks_like_imagenet and not whole)
    notes: dict[str, str | int] = {
        "layout": manifest.kind,
        "labels_from": manifest.labels_from,
        "ignored_files": manifest.ignored_files,
    }
    streamed = manifest.train.streamed or manifest.evaluation.streamed
    return Selection(part, train, evaluation, subset, streamed, notes)


def build(data: DataConfig, recipe: RecipeConfig, device: torch.device) -> StreamedData:
    """The source under data.root as an `ImageData`. Raises BadInput for a wrong source, subset or decoder."""
    decoder = decode.choose(data.decoder or "auto")
    chosen = select(data, decoder=decoder)
    if chosen.streamed:
        raise BadInput(
            f"data.root={data.root}: single images cannot be read out of {chosen.notes['layout']}: pack them once "
            f"(harness prepare data=imagenet data.root={data.root} --out FOLDER) and train with data=prepared"
        )
    notes: dict[str, str | int] = {
        "decoder": decode.described(decoder),
        "train_pixels": "original files: crop, then antialiased uint8 resize by torch",
        "evaluation_pixels": REFERENCE_PIXELS,
        **chosen.notes,
    }
    if data.in_memory:
        notes["storage"] = "decoded once, then kept in memory"
    return StreamedData(
        data,
        recipe,
        chosen.train,
        chosen.evaluation,
        part=chosen.part,
        subset=chosen.subset,
        notes=notes,
        device=device,
    )
