"""The manifest of an image tree: what is in it, read once, then opened from a compact file in milliseconds.

ImageFolder walks 1.28 million files at every start of every rank (about 90 s); this walks them once, verifies the
tree (scan.py), and keeps names, labels and sizes as flat arrays (about 60 MB for ImageNet).

What the fingerprint proves: two trees with one fingerprint hold the same classes and, in each split, the same
relative paths with the same sizes in bytes. What it does not prove: that the bytes inside are the same (that would
mean reading 150 GB). The cache is trusted while every folder of the tree keeps its modification time, so files that
are added, removed or renamed are noticed, and a file rewritten in place is not.
"""

from __future__ import annotations

import hashlib
import logging
import os
import zipfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.measure.data.store.scan import Folder, scan_split, split_folders

log = logging.getLogger(__name__)

FORMAT = 1
IMAGENET_CLASSES = 1000
IMAGENET_TRAIN_IMAGES = 1_281_167
IMAGENET_EVALUATION_IMAGES = 50_000


@dataclass(frozen=True)
class Split:
    """One split as flat arrays, in ImageFolder's order (classes sorted, then file names sorted).

    names: uint8, the relative paths laid end to end; ends: int64 (n,), where each ends; labels: int32 (n,);
    sizes_bytes: int64 (n,).
    """

    folder: str
    names: NDArray[np.uint8]
    ends: NDArray[np.int64]
    labels: NDArray[np.int32]
    sizes_bytes: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)

    def path(self, index: int) -> str:
        """Path of an image relative to the root of the tree."""
        start = int(self.ends[index - 1]) if index else 0
        return os.fsdecode(bytes(self.names[start : int(self.ends[index])]))


@dataclass(frozen=True)
class Manifest:
    """A verified tree: sorted class names, both splits and the identity described at the top of this module."""

    root: Path
    classes: tuple[str, ...]
    train: Split
    evaluation: Split
    fingerprint: str
    ignored_files: int  # files in class folders that are no images by their suffix

    @property
    def is_full_imagenet(self) -> bool:
        return (
            len(self.classes) == IMAGENET_CLASSES
            and len(self.train) == IMAGENET_TRAIN_IMAGES
            and len(self.evaluation) == IMAGENET_EVALUATION_IMAGES
        )

    @property
    def looks_like_imagenet(self) -> bool:
        """The class folders are WordNet ids, n and eight digits: ImageNet or a part of it."""
        return all(len(name) == 9 and name[0] == "n" and name[1:].isdigit() for name in self.classes)


def cache_path(root: Path) -> Path:
    """The cache file of a tree, under $XDG_CACHE_HOME (default ~/.cache): data.root may be read-only."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    key = hashlib.sha256(os.fsencode(root.resolve())).hexdigest()[:20]
    return base / "ai-efficiency" / "manifests" / f"{key}.npz"


def open_manifest(root: str | os.PathLike[str] | None) -> Manifest:
    """The manifest of a tree, from the cache where the tree has not changed, else scanned, verified and cached.

    Raises BadInput, with the remedy, for every wrong tree that scan.py knows.
    """
    path, folders = split_folders(root)
    cached = _read_cache(path, cache_path(path))
    if cached is not None:
        return cached
    # a warning, so that it is seen: on a slow disk this takes minutes
    log.warning("reading the image tree %s, once; later starts use %s", path, cache_path(path))
    train, evaluation = (scan_split(path, folder) for folder in folders)
    manifest, directories = _assemble(path, train, evaluation)
    if manifest.looks_like_imagenet and len(manifest.classes) == IMAGENET_CLASSES and not manifest.is_full_imagenet:
        log.warning(
            "%s has all %d classes but %d training and %d validation images where ImageNet has %d and %d: if it was "
            "meant to be complete, unpack it again; its runs are marked as a subset",
            path, IMAGENET_CLASSES, len(manifest.train), len(manifest.evaluation),
            IMAGENET_TRAIN_IMAGES, IMAGENET_EVALUATION_IMAGES,
        )  # fmt: skip
    _write_cache(manifest, directories, cache_path(path))
    return manifest


def _assemble(root: Path, train: Folder, evaluation: Folder) -> tuple[Manifest, dict[str, int]]:
    digest = hashlib.sha256(f"manifest {FORMAT}\n".encode())
    digest.update("".join(f"{name}\n" for name in train.classes).encode())
    splits = []
    for role, folder in (("train", train), ("evaluation", evaluation)):
        digest.update(f"{role} {len(folder.paths)}\n".encode())
        # the split's folder name stays out: train/ with val/ and train/ with validation/ are one data set
        lines = (f"{p.split('/', 1)[1]}\t{s}\n" for p, s in zip(folder.paths, folder.sizes_bytes, strict=True))
        digest.update("".join(lines).encode("utf-8", "surrogateescape"))
        splits.append(_pack(folder))
    ignored = train.ignored_files + evaluation.ignored_files
    if ignored:
        log.warning("%s: %d files in class folders are no images by their suffix and are left out", root, ignored)
    manifest = Manifest(root, tuple(train.classes), splits[0], splits[1], digest.hexdigest(), ignored)
    return manifest, {**train.directories, **evaluation.directories}


def _pack(folder: Folder) -> Split:
    encoded = [os.fsencode(path) for path in folder.paths]
    ends = np.cumsum(np.fromiter((len(e) for e in encoded), np.int64, len(encoded)))
    names = np.frombuffer(b"".join(encoded), np.uint8)
    labels, sizes = np.asarray(folder.labels, np.int32), np.asarray(folder.sizes_bytes, np.int64)
    return Split(folder.name, names, ends, labels, sizes)


def _write_cache(manifest: Manifest, directories: dict[str, int], path: Path) -> None:
    """Whole and then renamed, so that ranks that start together never read half a file."""
    arrays: dict[str, NDArray[np.generic]] = {
        "format": np.asarray(FORMAT),
        "fingerprint": np.asarray(manifest.fingerprint),
        "ignored_files": np.asarray(manifest.ignored_files),
        "classes": np.asarray(manifest.classes),
        "directories": np.asarray(list(directories)),
        "modified_ns": np.asarray(list(directories.values()), np.int64),
    }
    for role, split in (("train", manifest.train), ("evaluation", manifest.evaluation)):
        arrays[f"{role}_folder"] = np.asarray(split.folder)
        for field in ("names", "ends", "labels", "sizes_bytes"):
            arrays[f"{role}_{field}"] = getattr(split, field)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as stream:
            np.savez(stream, **arrays)  # type: ignore[arg-type]
        temporary.replace(path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        log.warning("the manifest could not be cached (%s): the tree is read again at the next start", error)


def _read_cache(root: Path, path: Path) -> Manifest | None:
    """The cached manifest, or None where there is none, it cannot be read, or a folder of the tree has changed."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            if int(stored["format"]) != FORMAT or not _unchanged(root, stored["directories"], stored["modified_ns"]):
                return None
            splits = [
                Split(
                    str(stored[f"{role}_folder"]),
                    *(stored[f"{role}_{field}"] for field in ("names", "ends", "labels", "sizes_bytes")),
                )
                for role in ("train", "evaluation")
            ]
            classes = tuple(str(name) for name in stored["classes"])
            ignored = int(stored["ignored_files"])
            return Manifest(root, classes, splits[0], splits[1], str(stored["fingerprint"]), ignored)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        # a damaged cache costs a scan, never a wrong set
        log.warning("the cached manifest %s cannot be read (%s): reading the tree again", path, error)
        return None


def _unchanged(root: Path, directories: NDArray[np.str_], modified_ns: NDArray[np.int64]) -> bool:
    for name, modified in zip(directories.tolist(), modified_ns.tolist(), strict=True):
        try:
            if os.stat(root / name).st_mtime_ns != modified:
                return False
        except OSError:
            return False
    return True
