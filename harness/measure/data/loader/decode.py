"""Encoded bytes -> RGB pixels, by the fastest well-kept decoder, with Pillow as the judge of odd files.

Measured on one core with ImageNet-like JPEGs (tests/bench): torchcodec and torchvision.io decode to the very pixels
Pillow gives, torchcodec is the successor of torchvision.io's deprecated JPEG decoder, so it is asked first. A file
that the fast decoder refuses (a PNG named .JPEG, a truncated file) goes to Pillow, as torchvision's reference reads
every file; what Pillow refuses too is an error that names the file. Nothing is skipped. So does a file with an EXIF
block: torchcodec turns it by its orientation tag, which the reference does not.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from typing import cast

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from harness.record.errors import BadInput

DECODERS = ("torchcodec", "torchvision", "pillow")
JPEG_MAGIC = b"\xff\xd8\xff"
EXIF_MAGIC = b"Exif\x00\x00"
FastDecoder = Callable[[Tensor], Tensor]


def choose(wanted: str) -> str:
    """The decoder's name for a config's data.decoder ("auto" or one of DECODERS). Raises BadInput."""
    if wanted not in ("auto", *DECODERS):
        raise BadInput(f"data.decoder={wanted}: choose one of auto, {', '.join(DECODERS)}")
    if wanted != "auto":
        if wanted != "pillow" and fast_decoder(wanted) is None:
            raise BadInput(
                f"data.decoder={wanted}: {wanted}'s JPEG decoder cannot be loaded here: use data.decoder=auto"
            )
        return wanted
    return next((name for name in DECODERS[:2] if fast_decoder(name) is not None), "pillow")


def described(name: str) -> str:
    """The decoder with its version, for the record."""
    try:
        return f"{name} {version(name)}"
    except PackageNotFoundError:
        return name


class Decoder:
    """Decodes one file after another with the library of that name, in this process."""

    def __init__(self, name: str) -> None:
        self.name = name
        fast = None if name == "pillow" else fast_decoder(name)
        if name != "pillow" and fast is None:
            raise BadInput(f"the decoder {name} cannot be loaded here: use data.decoder=auto")
        self._fast = fast

    def decode(self, encoded: bytes, where: str) -> tuple[Tensor, bool]:
        """RGB pixels, uint8 (height, width, 3), and whether Pillow had to step in for the fast decoder.

        where: the path, for the error. Raises BadInput for a file that Pillow cannot read either.
        """
        turns = self.name == "torchcodec" and EXIF_MAGIC in encoded  # wherever it stands: other segments may come first
        if self._fast is not None and encoded.startswith(JPEG_MAGIC) and not turns:
            try:
                return self._fast(as_tensor(encoded)).permute(1, 2, 0), False
            except RuntimeError:
                pass  # both libraries raise it for every file they refuse: Pillow decides below
        return torch.from_numpy(np.array(pillow_rgb(encoded, where))), self._fast is not None

    def decode_own(self, encoded: Tensor, where: str) -> Tensor:
        """The same for a JPEG that `harness prepare` wrote. encoded: uint8 (n,).

        Raises BadInput where it is damaged.
        """
        if self._fast is None:
            return torch.from_numpy(np.array(pillow_rgb(encoded.numpy().tobytes(), where)))
        try:
            return self._fast(encoded).permute(1, 2, 0)
        except RuntimeError as error:
            raise BadInput(f"{where} is damaged ({error}): run `harness prepare` with verify=true") from error


def pillow_rgb(encoded: bytes, where: str) -> Image.Image:
    """What torchvision's reference sees: Image.open(...).convert("RGB"). Raises BadInput naming the file."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # corrupt EXIF blocks and palette notes; the pixels are whole
            return Image.open(io.BytesIO(encoded)).convert("RGB")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        reason = "not an image that Pillow knows" if isinstance(error, Image.UnidentifiedImageError) else str(error)
        raise BadInput(f"{where} cannot be decoded ({reason}): restore that file from its archive") from error


def as_tensor(encoded: bytes) -> Tensor:
    """The bytes as uint8 (n,), not copied; to be read only."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "buffer is not writable": it is only read
        return torch.frombuffer(encoded, dtype=torch.uint8)


def fast_decoder(name: str) -> FastDecoder | None:
    """The library's function: encoded uint8 (n,) -> uint8 (3, height, width), channels last in memory."""
    try:
        if name == "torchcodec":
            from torchcodec.decoders import decode_jpeg as torchcodec_jpeg

            torchcodec_jpeg(as_tensor(_PROBE))  # made for another torch it may import and fail here
            return lambda data: cast(Tensor, torchcodec_jpeg(data, mode="RGB"))
        from torchvision.io import ImageReadMode
        from torchvision.io import decode_jpeg as torchvision_jpeg

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torchvision_jpeg(as_tensor(_PROBE), ImageReadMode.RGB)
        return lambda data: torchvision_jpeg(data, ImageReadMode.RGB)
    except (ImportError, OSError, RuntimeError, AttributeError):
        return None  # absent, or built without a JPEG library, or against another torch


def _probe() -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (8, 8)).save(stream, "JPEG")
    return stream.getvalue()


_PROBE = _probe()
