"""The manifest of an image tree or archive: what is in it, read once, then opened from a compact file.

ImageFolder walks 1.28 million files at every start of every rank (about 90 s); this reads them once (layouts/), and
keeps names, labels, sizes and places as flat arrays (about 80 MB for ImageNet). Processes that start together, ranks
or runs of a sweep, wait for the first to read. The cache is trusted while every folder and archive of the source keeps
its change time and size; a file rewritten in place is noticed when it is read (reader.py).
"""

from __future__ import annotations

import hashlib
import io
import logging
import os
import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.measure.data.identity import Labelled, fingerprint, image_ids, image_name
from harness.measure.data.layouts.recognise import checked_root, read
from harness.measure.data.layouts.scan import Scan, Stamp, stamp
from harness.record.errors import BadInput, HarnessError
from harness.record.files import held, write_atomic

log = logging.getLogger(__name__)

FORMAT = 3
IMAGENET_CLASSES = 1000
IMAGENET_TRAIN_IMAGES = 1_281_167
IMAGENET_EVALUATION_IMAGES = 50_000
TINY_IMAGENET = (200, 100_000, 10_000)  # classes, training and validation images; each a file of about 2 KB
WNID = re.compile(r"n\d{8}")


@dataclass(frozen=True)
class Split:
    """One split as flat arrays, in the order of (class, image name): ImageFolder's order in plain class folders.

    names: uint8, the paths under the root or in a container laid end to end; ends: int64 (n,), where each ends;
    labels: int32 (n,); sizes_bytes: int64 (n,); ids: uint64 (n,), see identity.py. containers: files under the root
    that hold many images, none where each is a file of its own; container: int32 (n,) into them and offsets: int64
    (n,) in bytes, both (0,) without containers. streamed: the containers can only be read from their beginnings, and
    offsets are places in that order.
    """

    names: NDArray[np.uint8]
    ends: NDArray[np.int64]
    labels: NDArray[np.int32]
    sizes_bytes: NDArray[np.int64]
    ids: NDArray[np.uint64]
    containers: tuple[str, ...]
    container: NDArray[np.int32]
    offsets: NDArray[np.int64]
    streamed: bool

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def labelled(self) -> Labelled:
        """Labels and ids, which make its identity."""
        return Labelled(self.labels, self.ids)

    def path(self, index: int) -> str:
        """Path of an image relative to the root, or its name in its container."""
        start = int(self.ends[index - 1]) if index else 0
        return os.fsdecode(bytes(self.names[start : int(self.ends[index])]))


@dataclass(frozen=True)
class Manifest:
    """A verified source: sorted class names, both splits, its identity, and the words that say what it is."""

    root: Path
    kind: str
    labels_from: str
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
    def is_full_tiny_imagenet(self) -> bool:
        """A set of its own, although its classes are ImageNet's."""
        size = (len(self.classes), len(self.train), len(self.evaluation))
        return size == TINY_IMAGENET and float(self.train.sizes_bytes.mean()) < 8192

    @property
    def looks_like_imagenet(self) -> bool:
        """The classes are WordNet ids, n and eight digits: ImageNet or a part of it."""
        return all(WNID.fullmatch(name) for name in self.classes)


def cache_path(root: Path) -> Path:
    """The cache file of a source, under $XDG_CACHE_HOME (default ~/.cache): data.root may be read-only.

    Raises BadInput where there is no home folder.
    """
    given = os.environ.get("XDG_CACHE_HOME")
    try:
        base = Path(given) if given else Path.home() / ".cache"
    except RuntimeError as error:
        raise BadInput("there is no home folder for the manifest of data.root: set XDG_CACHE_HOME") from error
    key = hashlib.sha256(os.fsencode(root.resolve())).hexdigest()[:20]
    return base / "ai-efficiency" / "manifests" / f"{key}.npz"


def open_manifest(root: str | os.PathLike[str] | None) -> Manifest:
    """The manifest of a source, from the cache where the source has not changed, else read, verified and cached.

    Raises BadInput, with the remedy, for every wrong source that layouts/ knows.
    """
    path = checked_root(root)
    cache = cache_path(path)
    manifest = _read_cache(path, cache)
    if manifest is None:
        with _one_at_a_time(cache):
            manifest = _read_cache(path, cache)  # what another process has written while this one waited
            if manifest is None:
                manifest = _read_source(path, cache)
    # a warning, so that it is seen
    log.warning("data.root=%s: %s; labels from %s", path, manifest.kind, manifest.labels_from)
    return manifest


def read_manifest(root: str | os.PathLike[str] | None) -> Manifest:
    """The same, always read from the source itself and never cached."""
    path = checked_root(root)
    return _assemble(path)[0]


def forget(root: Path) -> None:
    """Drop the cached manifest of a source that proved to have changed: the next start reads the source again."""
    with suppress(OSError):
        cache_path(root).unlink(missing_ok=True)


def _read_source(path: Path, cache: Path) -> Manifest:
    # a warning, so that it is seen: on a slow disk this takes minutes
    log.warning("reading the images under %s, once; later starts use %s", path, cache)
    manifest, stamps = _assemble(path)
    _check_for_copies(manifest)
    if manifest.looks_like_imagenet and len(manifest.classes) == IMAGENET_CLASSES and not manifest.is_full_imagenet:
        log.warning(
            "%s has all %d classes but %d training and %d validation images where ImageNet has %d and %d: if it was "
            "meant to be complete, unpack it again; its runs are marked as a subset",
            path,
            IMAGENET_CLASSES,
            len(manifest.train),
            len(manifest.evaluation),
            IMAGENET_TRAIN_IMAGES,
            IMAGENET_EVALUATION_IMAGES,
        )
    if manifest.ignored_files:
        log.warning("%s: %d files in class folders are no images and are left out", path, manifest.ignored_files)
    write_cache(manifest, stamps, cache)
    return manifest


def _check_for_copies(manifest: Manifest) -> None:
    """Say where images are there twice, by class, name and size.

    Raises BadInput where all validation images are training images too. A format in which all images have one size
    proves nothing.
    """
    splits = (manifest.train, manifest.evaluation)
    images = [np.stack([split.labels.astype(np.uint64), split.ids], axis=1) for split in splits]
    different = [np.unique(rows, axis=0) for rows in images]
    both = np.unique(np.concatenate(different), axis=0)
    several_sizes = [len(np.unique(split.sizes_bytes)) > 1 for split in splits]
    if len(both) == len(different[0]) and several_sizes[1]:
        raise BadInput(
            f"{manifest.root}: every validation image has class, name and size of a training image: val is a copy of "
            "train, or of a part of it; validate on other images"
        )
    for rows, once, proves in zip(images, different, several_sizes, strict=True):
        if (twice := len(rows) - len(once)) and proves:
            log.warning(
                "%s: %d images have class, name and size of another: is a folder or an archive there twice?",
                manifest.root,
                twice,
            )


def _assemble(root: Path) -> tuple[Manifest, dict[str, Stamp]]:
    """The manifest of a source that is read now, and the stamps of what it was read from."""
    scan = read(root)
    train, evaluation = scan.train, scan.evaluation
    classes = tuple(sorted({*train.labels, *evaluation.labels}))
    for name in classes:
        if not name.isprintable():  # the surrogates of a name that is not UTF-8 among them
            raise BadInput(f"{root}: the class name {name!a} cannot be printed: rename that class in both splits")
    splits = [_pack(split, classes) for split in (train, evaluation)]
    identity = fingerprint(classes, [split.labelled for split in splits])
    ignored = train.ignored_files + evaluation.ignored_files
    manifest = Manifest(root, scan.kind, scan.labels_from, classes, splits[0], splits[1], identity, ignored)
    return manifest, {**train.stamps, **evaluation.stamps}


def _pack(scan: Scan, classes: tuple[str, ...]) -> Split:
    """Sorted by class, image name, and path where the names are equal."""
    images = [image_name(path, label) for path, label in zip(scan.names, scan.labels, strict=True)]
    order = sorted(range(len(images)), key=lambda i: (scan.labels[i], os.fsencode(images[i]), scan.names[i]))
    places = {name: index for index, name in enumerate(classes)}
    encoded = [os.fsencode(scan.names[i]) for i in order]
    inside = order if scan.containers else []
    return Split(
        names=np.frombuffer(b"".join(encoded), np.uint8),
        ends=np.cumsum(np.fromiter((len(e) for e in encoded), np.int64, len(encoded))),
        labels=np.asarray([places[scan.labels[i]] for i in order], np.int32),
        sizes_bytes=np.asarray([scan.sizes_bytes[i] for i in order], np.int64),
        ids=image_ids((images[i] for i in order), (scan.sizes_bytes[i] for i in order)),
        containers=tuple(scan.containers),
        container=np.asarray([scan.container[i] for i in inside], np.int32),
        offsets=np.asarray([scan.offsets[i] for i in inside], np.int64),
        streamed=scan.streamed,
    )


_ARRAYS = ("names", "ends", "labels", "sizes_bytes", "ids", "container", "offsets")


def write_cache(manifest: Manifest, stamps: dict[str, Stamp], path: Path) -> None:
    """Whole or not at all, so that processes that start together never read half a file."""
    arrays: dict[str, NDArray[np.generic]] = {
        "format": np.asarray(FORMAT),
        "words": np.asarray([manifest.kind, manifest.labels_from, manifest.fingerprint]),
        "ignored_files": np.asarray(manifest.ignored_files),
        "classes": np.asarray(manifest.classes),
        "stamped": np.asarray([os.fsencode(name) for name in stamps]),
        "stamps": np.asarray(list(stamps.values()), np.int64),
    }
    for role, split in (("train", manifest.train), ("evaluation", manifest.evaluation)):
        arrays[f"{role}_containers"] = np.asarray([os.fsencode(name) for name in split.containers], np.bytes_)
        arrays[f"{role}_streamed"] = np.asarray(split.streamed)
        for field in _ARRAYS:
            arrays[f"{role}_{field}"] = getattr(split, field)
    stream = io.BytesIO()
    np.savez(stream, **arrays)  # type: ignore[arg-type]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, stream.getvalue())
    except (OSError, HarnessError) as error:
        log.warning("the manifest could not be cached (%s): the source is read again at the next start", error)


def _read_cache(root: Path, path: Path) -> Manifest | None:
    """The cached manifest, or None where there is none, it cannot be read, or the source has changed."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            if int(stored["format"]) != FORMAT or not _unchanged(root, stored["stamped"], stored["stamps"]):
                return None
            splits = [
                Split(
                    containers=tuple(os.fsdecode(bytes(name)) for name in stored[f"{role}_containers"]),
                    streamed=bool(stored[f"{role}_streamed"]),
                    **{field: stored[f"{role}_{field}"] for field in _ARRAYS},
                )
                for role in ("train", "evaluation")
            ]
            kind, labels_from, identity = (str(word) for word in stored["words"])
            classes = tuple(str(name) for name in stored["classes"])
            ignored = int(stored["ignored_files"])
            return Manifest(root, kind, labels_from, classes, splits[0], splits[1], identity, ignored)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        # a damaged cache costs a scan, never a wrong set
        log.warning("the cached manifest %s cannot be read (%s): reading the source again", path, error)
        return None


def _unchanged(root: Path, stamped: NDArray[np.bytes_], stamps: NDArray[np.int64]) -> bool:
    for name, expected in zip(stamped.tolist(), stamps.tolist(), strict=True):
        try:
            if list(stamp(root / os.fsdecode(name))) != expected:
                return False
        except OSError:
            return False
    return True


@contextmanager
def _one_at_a_time(cache: Path) -> Iterator[None]:
    """Held while a source is read; a process that comes second waits. Where nothing can be locked, nobody waits."""
    try:
        cache.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(cache.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError:
        yield
        return
    with held(file):
        yield
