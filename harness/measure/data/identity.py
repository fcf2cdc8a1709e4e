"""One identity for a labelled image set, in whatever layout or archive it lies.

An image is known by its name (without folder, suffix and class) and its size in bytes; a set by which images stand
under which class name in each split. So the same images under the same labels have one fingerprint, as folders, tars
or a prepared store, whole or as a part of something larger, and in the same order. What it does not prove: that the
bytes inside are the same, which would mean reading 150 GB. Sizes are compared again whenever an image is read.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

IDENTITY = 2  # 1 held relative paths, and for a subset its place in the whole; no fingerprint of the two is equal


class Labelled(NamedTuple):
    """One split: labels int (n,) into the sorted class names, and the images' ids, uint64 (n,)."""

    labels: NDArray[np.integer]
    ids: NDArray[np.uint64]


def image_name(path: str, class_name: str) -> str:
    """An image's name in every layout: n01440764_10026 and ILSVRC2012_val_00000293 for all of ImageNet's.

    Hugging Face's archives append the class (n01440764_10026_n01440764.JPEG), class folders put it in front.
    """
    stem = path.rsplit("/", 1)[-1].rsplit(".", 1)[0]
    return stem.removesuffix(f"_{class_name}")


def image_ids(names: Iterable[str], sizes_bytes: Iterable[int]) -> NDArray[np.uint64]:
    """64 bits for each (image_name, size in bytes)."""
    whole = b"".join(
        hashlib.blake2b(os.fsencode(f"{name}\0{size}"), digest_size=8).digest()
        for name, size in zip(names, sizes_bytes, strict=True)
    )
    return np.frombuffer(whole, "<u8").astype(np.uint64)


def fingerprint(classes: Sequence[str], splits: Sequence[Labelled]) -> str:
    """sha256, hex, of a set; classes: sorted. The order of the images does not matter. 0.3 s for all of ImageNet."""
    digest = hashlib.sha256(f"images under labels {IDENTITY}\n".encode())
    digest.update("".join(f"{name}\n" for name in classes).encode())
    for labels, ids in splits:
        digest.update(np.bincount(labels, minlength=len(classes)).astype("<i8").tobytes())
        digest.update(ids[np.lexsort((ids, labels))].astype("<u8").tobytes())
    return digest.hexdigest()
