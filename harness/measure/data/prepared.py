"""data=prepared: a store written by `harness prepare`, read through memory maps (format: store/files.py).

Evaluation is the reference, pixel for pixel. Training crops are cut from the resized copies: another experiment than
crops of the originals (4 of 255 levels apart on average), except where "short side 256, crop 224" is the published
recipe. So data.pixels must name what the store holds, and stands in the run's identity and its record.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from harness.measure.config.schema import DataConfig, RecipeConfig
from harness.measure.data.images import REFERENCE_PIXELS
from harness.measure.data.loader import decode, pixels
from harness.measure.data.loader.stream import StreamedData
from harness.measure.data.store.files import StoredSplit, packing_of, read_header
from harness.measure.data.subset import cut
from harness.record.errors import BadInput


class PreparedImages:
    """One split of a store, or a part of it, as `Images` (fill.py). rows: int64 (n,) into the store."""

    def __init__(
        self, split: StoredSplit, rows: NDArray[np.int64], labels: NDArray[np.int64], *, decoder: str | None
    ) -> None:
        self.labels = labels
        self._split, self._rows = split, rows
        self._decoder = None if decoder is None else decode.Decoder(decoder)

    def path(self, index: int) -> str:
        """Where image `index` lies in the store."""
        return self._split.path(int(self._rows[index]))

    def train(self, out: Tensor, indices: NDArray[np.int64], numbers: NDArray[np.float64], transform: str) -> list[int]:
        """See `Images`. No file is odd here: `harness prepare` wrote them all."""
        resolution = out.shape[1]
        for image, row, own in zip(out, self._rows[indices].tolist(), numbers, strict=True):
            stored, height, width = self._split.image(row)
            if self._decoder is None:
                picture = stored.view(height, width, 3)
            else:
                picture = self._decoder.decode_own(stored, self._split.path(row))
            image.copy_(pixels.training_image(picture, own, transform, resolution))
        return []

    def evaluation(self, out: Tensor, indices: NDArray[np.int64]) -> list[int]:
        """See `Images`: the stored crops themselves. Raises BadInput at another resolution than theirs."""
        resolution = out.shape[1]
        for image, row in zip(out, self._rows[indices].tolist(), strict=True):
            stored, height, _ = self._split.image(row)
            if height != resolution:
                raise BadInput(_other_resolution(height, resolution))
            image.copy_(stored.view(resolution, resolution, 3))
        return []


def build(data: DataConfig, recipe: RecipeConfig, device: torch.device) -> StreamedData:
    """The store under data.root as an `ImageData`. Raises BadInput, with the remedy, for one that does not fit."""
    if data.root is None:
        raise BadInput("data.root is not set: pass data.root=, the folder that `harness prepare --out` wrote")
    folder = Path(os.path.expanduser(data.root))
    header = read_header(folder)
    stored = packing_of(header)
    if data.name != stored.name:
        raise BadInput(f"data.name={data.name}, but {folder} holds {stored.name}: pass data.name={stored.name}")
    if data.pixels != stored.pixels:
        raise BadInput(
            f"data.pixels={data.pixels}, but {folder} holds {stored.pixels}: pass data.pixels={stored.pixels}"
        )
    if data.resolution != stored.resolution:
        raise BadInput(_other_resolution(stored.resolution, data.resolution))
    if data.crop_ratio != stored.crop_ratio:
        raise BadInput(f"data.crop_ratio={data.crop_ratio}, but {folder} was prepared with {stored.crop_ratio}")
    splits = [StoredSplit(folder, split, header["files"]) for split in ("train", "evaluation")]
    part = cut(stored.classes, stored.fingerprint, splits[0].labelled, splits[1].labelled, data)
    decoder = decode.choose(data.decoder or "auto") if stored.encoding == "jpeg" else None
    train = PreparedImages(splits[0], *part.train, decoder=decoder)
    evaluation = PreparedImages(splits[1], *part.evaluation, decoder=None)
    notes: dict[str, str | int] = {
        "decoder": "none: raw pixels" if decoder is None else decode.described(decoder),
        "train_pixels": f"prepared {stored.pixels}, {' '.join(f'{k} {v}' for k, v in header['made_with'].items())}",
        "evaluation_pixels": REFERENCE_PIXELS,
    }
    return StreamedData(
        data, recipe, train, evaluation, part=part, subset=stored.subset or part.is_cut, notes=notes, device=device
    )


def _other_resolution(stored: int, wanted: int) -> str:
    return (
        f"evaluation at {wanted} pixels, but the prepared set holds reference crops of {stored}: set "
        f"data.resolution={stored}, or prepare another with data.resolution={wanted}"
    )
