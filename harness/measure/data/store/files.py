"""The prepared store: an image set packed once into a few memory-mapped files. This page is the whole format.

    prepared.json      the header, written last: a folder without it is an unfinished store
    train.npy          int64 (n, 7): shard, start in it and length (bytes), height, width, label, id (identity.py)
    evaluation.npy     the same for the evaluation split
    train-000.bin      images end to end; which images a shard holds is the index's matter alone
    evaluation-000.bin the same

A training image is a JPEG, or raw uint8 (height, width, 3), of the original with its short side resized (Pillow,
bilinear, antialiased) to `short_side`, its long side rounded down as torchvision does; `square` keeps the central
square of that. An evaluation image is the raw uint8 reference crop itself (Resize, CenterCrop on Pillow images), so
evaluation from a store is the reference, pixel for pixel. Images keep the order of the source's manifest.

The header holds the source's name, fingerprint, classes and subset mark, how the pixels were made, with which Pillow,
and of every other file its bytes, its sha256 and that of three samples. Opening compares sizes and samples;
`harness prepare --verify` compares sha256.

Why not an existing format: webdataset and its kind are read as streams, where order and mid-epoch start are not pure
functions of (seed, epoch, batch); FFCV is no longer kept; Parquet and LMDB add a library and a copy per image.
"""

from __future__ import annotations

import errno
import hashlib
import json
import mmap
import resource
import shutil
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
from harness.record.files import sha256_of, write_atomic

FORMAT = 2
HEADER = "prepared.json"
MAX_SHARDS = {"train": 256, "evaluation": 64}  # each stays open in every process: well under 1,024 files
MIN_IMAGES_PER_SHARD = 64
SAMPLE_BYTES = 4096
SPLITS = ("train", "evaluation")


@dataclass(frozen=True)
class Packing:
    """How a store's pixels are made; equal packings of one source make equal pixels."""

    name: str
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


def sample_of(path: Path) -> str:
    """sha256, hex, of the first, middle and last SAMPLE_BYTES of a file: cheap, and another file's hardly ever."""
    digest, size = hashlib.sha256(), path.stat().st_size
    with path.open("rb") as stream:
        for start in (0, max(0, size // 2 - SAMPLE_BYTES // 2), max(0, size - SAMPLE_BYTES)):
            stream.seek(start)
            digest.update(stream.read(SAMPLE_BYTES))
    return digest.hexdigest()


def write_header(folder: Path, packing: Packing, files: dict[str, str], made_with: dict[str, str]) -> None:
    """The last step of a preparation. files: name -> sha256."""
    listed = {
        name: {"bytes": (folder / name).stat().st_size, "sha256": digest, "sample": sample_of(folder / name)}
        for name, digest in sorted(files.items())
    }
    header = {"format": FORMAT, **asdict(packing), "pixels": packing.pixels, "made_with": made_with, "files": listed}
    write_atomic(folder / HEADER, json.dumps(header, indent=1) + "\n")


def read_header(folder: Path) -> dict[str, Any]:
    """The header of a finished store, its format checked. Raises BadInput."""
    path = folder / HEADER
    try:
        if not folder.is_dir():
            raise BadInput(
                f"data.root={folder} does not exist: set it to the folder that `harness prepare --out` wrote"
            )
        if not path.is_file():
            if any(folder.glob("train-*.bin*")) or (folder / "prepare.json").is_file():
                raise BadInput(f"{folder} is not prepared to the end: run the same `harness prepare` again, it resumes")
            raise BadInput(f"{folder} is no prepared set ({HEADER} is missing): make one with `harness prepare --out`")
        header = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadInput(f"{folder} cannot be read ({error.strerror}): mend its permissions") from error
    except ValueError as error:
        raise BadInput(f"{path} is damaged ({error}): prepare the set again") from error
    if header.get("format") != FORMAT:
        raise BadInput(f"{path} has format {header.get('format')}, this version reads {FORMAT}: prepare the set again")
    return dict(header)


def packing_of(header: dict[str, Any]) -> Packing:
    """The packing that a header states. Raises BadInput where it does not state all of it."""
    try:
        return Packing(**{name: header[name] for name in Packing.__dataclass_fields__})
    except KeyError as error:
        raise BadInput(f"{HEADER} says nothing of {error}: prepare the set again") from error


def verify(folder: Path) -> int:
    """Read every file and compare its sha256; return how many files were read. Raises BadInput naming the file."""
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
        _check_file(folder / f"{split}.npy", files)
        self.index: NDArray[np.int64] = np.load(folder / f"{split}.npy", mmap_mode="r")
        shards = int(self.index[:, 0].max()) + 1
        allow_open_files(shards + 256)  # a map holds its file open; the rest is for everything else
        self._shards = [_mapped(folder / shard_name(split, shard), files) for shard in range(shards)]

    def image(self, row: int) -> tuple[Tensor, int, int]:
        """The stored bytes, uint8 (n,) and read-only, with height and width in pixels."""
        shard, start, length, height, width = self.index[row, :5].tolist()
        return self._shards[shard][start : start + length], height, width

    @property
    def labelled(self) -> Labelled:
        """Labels and the source images' ids, which make the identity of the set and of any part of it."""
        return Labelled(np.array(self.index[:, 5]), np.array(self.index[:, 6]).view(np.uint64))

    def path(self, row: int) -> str:
        """Where an image lies, for messages."""
        return f"{self._folder / shard_name(self._split, int(self.index[row, 0]))} (image {row})"


def allow_open_files(needed: int) -> None:
    """Raise this process's limit of open files where it may; what it cannot have is told at opening."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    if soft != resource.RLIM_INFINITY and soft < allowed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))


def _check_file(path: Path, files: dict[str, dict[str, Any]]) -> None:
    try:
        size = path.stat().st_size if path.is_file() else -1
        if path.name not in files or size != files[path.name]["bytes"]:
            raise BadInput(f"{path} is missing or has another size than {HEADER} says: copy it again, or prepare again")
        if sample_of(path) != files[path.name]["sample"]:
            raise BadInput(f"{path} holds other bytes than {HEADER} says: copy it again, or prepare again")
    except OSError as error:
        raise _cannot_open(path, error, files) from error


def _cannot_open(path: Path, error: OSError, files: dict[str, dict[str, Any]]) -> BadInput:
    if error.errno == errno.EMFILE:
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        return BadInput(f"{path}: the store's {len(files)} files do not fit into `ulimit -n` {limit}: raise it to 1024")
    return BadInput(f"{path} cannot be read ({error.strerror}): mend its permissions, or copy it again")


def _mapped(path: Path, files: dict[str, dict[str, Any]]) -> Tensor:
    _check_file(path, files)
    try:
        with path.open("rb") as stream:
            mapped = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError as error:
        raise _cannot_open(path, error, files) from error
    if hasattr(mmap, "MADV_RANDOM"):
        mapped.madvise(mmap.MADV_RANDOM)  # images are read in random order: reading ahead would fetch others in vain
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "buffer is not writable": it is only read
        return torch.frombuffer(mapped, dtype=torch.uint8)


def free_bytes(folder: Path) -> int:
    """Free space on the disk of a folder that may not exist yet."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free
