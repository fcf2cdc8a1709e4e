"""data.decoder=nvjpeg: the original files decoded on the GPU, batch by batch (torchcodec's nvJPEG).

Threads read the files (they wait, so Python's lock does not matter), one call decodes all plain JPEGs of a batch on the
device, crops are resampled there. What nvJPEG cannot be trusted with (no JPEG, four colour components, an EXIF
block) is decoded on the CPU and copied. Its pixels differ from libjpeg-turbo's by rounding, so the record names it.
On a CPU device the same code runs with the CPU decoder: that is how it is tested where there is no GPU.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from harness.measure.data.loader import decode, pixels
from harness.record.errors import BadInput

READERS = 16  # threads
BATCHES_AHEAD = 2
Share = tuple[int, NDArray[np.int64]]  # position of the first image in the epoch, indices of the batch


class EncodedImages(Protocol):
    """What this needs of a folder's split."""

    def encoded(self, index: int) -> bytes:
        """The file's bytes."""

    def path(self, index: int) -> str:
        """The file's name, for messages."""


@dataclass(frozen=True)
class DecodedBatch:
    """uint8 (B, R, R, 3) on the device, flips not applied; `odd` are indices that went through Pillow."""

    position: int
    indices: NDArray[np.int64]
    pixels: Tensor
    odd: list[int]


class DeviceDecoder:
    """Decodes and crops whole batches on `device`; `fallback` is the CPU decoder for odd files."""

    def __init__(self, images: EncodedImages, device: torch.device, fallback: str) -> None:
        try:
            from torchcodec.decoders import decode_jpeg
        except (ImportError, OSError, RuntimeError) as error:
            raise BadInput("data.decoder=nvjpeg needs torchcodec: install it, or use data.decoder=auto") from error
        self._decode = decode_jpeg
        self._images, self._device = images, device
        self._fallback = decode.Decoder(fallback)

    def batches(
        self, shares: Iterator[Share], draws: Callable[[int, int], NDArray[np.float64]], transform: str, resolution: int
    ) -> Iterator[DecodedBatch]:
        """One DecodedBatch per share. draws(position, images): (images, DRAWS)."""
        reading: deque[tuple[Share, list[Future[bytes]]]] = deque()
        with ThreadPoolExecutor(READERS) as threads:
            try:
                for share in shares:
                    reading.append((share, [threads.submit(self._images.encoded, i) for i in share[1].tolist()]))
                    if len(reading) > BATCHES_AHEAD:
                        yield self._finish(*reading.popleft(), draws, transform, resolution)
                while reading:
                    yield self._finish(*reading.popleft(), draws, transform, resolution)
            finally:
                threads.shutdown(wait=False, cancel_futures=True)

    def _finish(
        self,
        share: Share,
        files: list[Future[bytes]],
        draws: Callable[[int, int], NDArray[np.float64]],
        transform: str,
        resolution: int,
    ) -> DecodedBatch:
        position, indices = share
        encoded = [file.result() for file in files]
        whole, odd = self._decode_all(encoded, indices)
        numbers = draws(position, len(indices))
        views = [
            pixels.training_image(image, own, transform, resolution) for image, own in zip(whole, numbers, strict=True)
        ]
        return DecodedBatch(position, indices, torch.stack(views), odd)

    def _decode_all(self, encoded: list[bytes], indices: NDArray[np.int64]) -> tuple[list[Tensor], list[int]]:
        """RGB images on the device, uint8 (h, w, 3) each, in order."""
        plain = [row for row, data in enumerate(encoded) if is_plain(data)]
        images: dict[int, Tensor] = {}
        try:
            found = self._decode([decode.as_tensor(encoded[row]) for row in plain], mode="RGB", device=self._device)
            images = {row: image.permute(1, 2, 0) for row, image in zip(plain, found, strict=True)}
        except RuntimeError:
            pass  # one of them is damaged or of an unknown kind: the CPU decodes them all and names the culprit
        odd = []
        for row, data in enumerate(encoded):
            if row not in images:
                index = int(indices[row])
                image, by_pillow = self._fallback.decode(data, self._images.path(index))
                images[row] = image.to(self._device)
                if by_pillow:
                    odd.append(index)
        return [images[row] for row in range(len(encoded))], odd


def is_plain(data: bytes) -> bool:
    """A JPEG of one or three components without an EXIF block (ITU-T T.81, B.2.2: the frame header)."""
    if not data.startswith(decode.JPEG_MAGIC) or decode.EXIF_MAGIC in data[: decode.HEADER_BYTES]:
        return False
    at = 2
    while at + 10 <= len(data) and data[at] == 0xFF:
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            return data[at + 9] in (1, 3)
        at += 2 + length
    return False
