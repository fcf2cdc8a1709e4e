"""The prepared store: an image set packed once into a few memory-mapped files. This page is the whole format.

    prepared.json      the header, written last: a folder without it is an unfinished store
    train.npy          int64 (n, 5): end of the image in its shard (bytes), height, width, label, id; row i is image i
    evaluation.npy     the same for the evaluation split
    train-000.bin      images end to end, shard k holding the rows [k * images_per_shard, (k + 1) * images_per_shard)
    evaluation-000.bin the same

A training image is a JPEG, or raw uint8 (height, width, 3), of the original with its short side resized (Pillow,
bilinear, antialiased) to `short_side`, its long side rounded down as torchvision does; `square` keeps the central
square of that. An evaluation image is the raw uint8 reference crop itself (Resize, CenterCrop on Pillow images), so
evaluation from a store is the reference, pixel for pixel. Images keep the order of the source's manifest.

The header holds the source's fingerprint, classes and subset mark, how the pixels were made and with which Pillow,
and bytes and sha256 of every other file. Opening compares sizes; `harness prepare ... verify=true` compares sha256.

Why not an existing format: webdataset and its kind are read as streams, where order and mid-epoch start are not pure
functions of (seed, epoch, batch); FFCV is no longer kept; Parquet and LMDB add a library and a copy per image.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import os
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from harness.measure.data.identity import Labelled
from harness.record.errors import BadInput

FORMAT = 2
HEADER = "prepared.json"
MAX_SHARDS = {"train": 256, "evaluation": 64}  # each stays open in every process: well under 1,024 files
MIN_IMAGES_PER_SHARD = 64
SPLITS = ("train", "evaluation")


@dataclass(frozen=True)
class Recipe:
    """How a store's pixels are made; equal recipes of one source make equal pixels."""

    fingerprint: str
    classes: list[str]
    subset: bool
    short_side: int
    encoding: str  # jpeg or raw
    quality: int
    square: bool
    resolution: int
    crop_ratio: float

    @property
    def pixels(self) -> str:
        """The word of data.pixels: jpeg256, raw256, raw256square."""
        return f"{self.encoding}{self.short_side}{'square' if self.square else ''}"


def images_per_shard(split: str, images: int) -> int:
    """Fixed by the split and its size alone, so that a preparation resumes with any number of workers."""
    return max(MIN_IMAGES_PER_SHARD, -(-images // MAX_SHARDS[split]))


def shard_name(split: str, shard: int) -> str:
    """File of a shard."""
    return f"{split}-{shard:03d}.bin"


def sha256_of(path: Path) -> str:
    """sha256 of a file, hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def write_header(folder: Path, recipe: Recipe, files: dict[str, str], made_with: dict[str, str]) -> None:
    """The last step of a preparation. files: name -> sha256."""
    listed = {
        name: {"bytes": (folder / name).stat().st_size, "sha256": digest} for name, digest in sorted(files.items())
    }
    header = {"format": FORMAT, **asdict(recipe), "pixels": recipe.pixels, "made_with": made_with, "files": listed}
    temporary = folder / f"{HEADER}.tmp"
    temporary.write_text(json.dumps(header, indent=1) + "\n")
    temporary.replace(folder / HEADER)


def read_header(folder: Path) -> dict[str, Any]:
    """The header of a finished store, its format checked. Raises BadInput."""
    path = folder / HEADER
    if not folder.is_dir():
        raise BadInput(f"data.root={folder} does not exist: set it to the folder that `harness prepare out=` wrote")
    if not path.is_file():
        if any(folder.glob("train-*.bin*")):
            raise BadInput(f"{folder} is not prepared to the end: run the same `harness prepare` again, it resumes")
        raise BadInput(f"{folder} is no prepared set ({HEADER} is missing): make one with `harness prepare out=`")
    try:
        header = json.loads(path.read_text())
    except ValueError as error:
        raise BadInput(f"{path} is damaged ({error}): prepare the set again") from error
    if header.get("format") != FORMAT:
        raise BadInput(f"{path} has format {header.get('format')}, this version reads {FORMAT}: prepare the set again")
    return dict(header)


def recipe_of(header: dict[str, Any]) -> Recipe:
    """The recipe that a header states."""
    return Recipe(**{name: header[name] for name in Recipe.__dataclass_fields__})


def verify(folder: Path) -> int:
    """Reads every file and compares its sha256; returns how many files were read. Raises BadInput naming the file."""
    files = read_header(folder)["files"]
    for name, expected in files.items():
        path = folder / name
        if not path.is_file() or sha256_of(path) != expected["sha256"]:
            raise BadInput(
                f"{path} is missing or damaged (sha256): remove {folder / HEADER} and that file, prepare again"
            )
    return len(files)


class StoredSplit:
    """One split of a finished store, memory-mapped: any process may read it, nothing is copied."""

    def __init__(self, folder: Path, split: str, files: dict[str, dict[str, Any]]) -> None:
        self._folder, self._split = folder, split
        _check_size(folder / f"{split}.npy", files)
        self.index: NDArray[np.int64] = np.load(folder / f"{split}.npy", mmap_mode="r")
        self._per_shard = images_per_shard(split, len(self.index))
        shards = -(-len(self.index) // self._per_shard)
        self._shards = [_mapped(folder / shard_name(split, shard), files) for shard in range(shards)]

    def image(self, row: int) -> tuple[Tensor, int, int]:
        """The stored bytes, uint8 (n,) and read-only, with height and width in pixels."""
        shard, within = divmod(row, self._per_shard)
        end, height, width, _, _ = self.index[row].tolist()
        start = int(self.index[row - 1, 0]) if within else 0
        return self._shards[shard][start:end], height, width

    @property
    def labelled(self) -> Labelled:
        """Labels and the source images' ids, which make the identity of the set and of any part of it."""
        return Labelled(np.array(self.index[:, 3]), np.array(self.index[:, 4]).view(np.uint64))

    def path(self, row: int) -> str:
        """Where an image lies, for messages."""
        return f"{self._folder / shard_name(self._split, row // self._per_shard)} (image {row})"


def _check_size(path: Path, files: dict[str, dict[str, Any]]) -> None:
    size = path.stat().st_size if path.is_file() else -1
    if path.name not in files or size != files[path.name]["bytes"]:
        raise BadInput(f"{path} is missing or has another size than {HEADER} says: copy it again, or prepare again")


def _mapped(path: Path, files: dict[str, dict[str, Any]]) -> Tensor:
    _check_size(path, files)
    with path.open("rb") as stream:
        mapped = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
    if hasattr(mmap, "MADV_RANDOM"):
        mapped.madvise(mmap.MADV_RANDOM)  # images are read in random order: reading ahead would fetch others in vain
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "buffer is not writable": it is only read
        return torch.frombuffer(mapped, dtype=torch.uint8)


def free_bytes(folder: Path) -> int:
    """Free space on the disk of a folder that may not exist yet."""
    while not folder.exists():
        folder = folder.parent
    status = os.statvfs(folder)
    return status.f_bavail * status.f_frsize
