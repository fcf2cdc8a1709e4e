"""Images in tars: a member of a plain tar, also of a tar in a tar, lies at a fixed offset and is read in place.

A compressed tar has no such offsets: it is listed by the members' order, and only `harness prepare` reads it, as a
stream.
"""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import os
import re
import tarfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from harness.measure.data.layouts.labels import LabelTable, leading_wnid, trailing_wnid
from harness.measure.data.layouts.scan import (
    SCAN_THREADS,
    Scan,
    cannot_read,
    check_file,
    is_hidden,
    is_image,
    stamp,
)
from harness.record.errors import BadInput

ARCHIVE_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.xz", ".tar.bz2")
COMPRESSED: dict[bytes, Callable[..., Any]] = {b"\x1f\x8b": gzip.open, b"\xfd7zXZ": lzma.open, b"BZh": bz2.open}
NO_CLASSES = ("", ".", "train", "val", "validation", "images")  # folders in archives that are no class

Label = str | int
"""A class name, or the number that a shard or table gives instead."""


@dataclass(frozen=True)
class Image:
    """A member: offset in bytes where its container is plain, its place among the images of a compressed one."""

    name: str
    label: Label
    offset: int
    size_bytes: int


@dataclass
class Listed:
    """An archive, listed: its images, other files, and the words that say where labels came from."""

    images: list[Image] = field(default_factory=list)
    ignored_files: int = 0
    labels_from: set[str] = field(default_factory=set)


def is_compressed(path: Path) -> bool:
    """By the file's first bytes: suffixes lie. Raises BadInput where it cannot be read."""
    try:
        with path.open("rb") as stream:
            head = stream.read(6)
    except OSError as error:
        raise cannot_read(path, error) from error
    return any(head.startswith(magic) for magic in COMPRESSED)


def archives(root: Path, files: list[str], table: LabelTable) -> tuple[Scan, set[str]]:
    """Every image of some tars, and where the labels come from. files: under the root; table: of image names.

    Raises BadInput for a damaged tar, an image without a label, and plain tars mixed with compressed ones.
    """
    streamed = {is_compressed(root / name) for name in files}
    if len(streamed) > 1:
        raise BadInput(f"{root / files[0]} and its like are plain and compressed tars mixed: make them all alike")
    scan = Scan(containers=files, streamed=streamed.pop())
    labels_from: set[str] = set()
    with ThreadPoolExecutor(SCAN_THREADS) as threads:
        for number, listed in enumerate(threads.map(lambda name: list_tar(root / name, table), files)):
            scan.stamps[files[number]] = stamp(root / files[number])
            scan.ignored_files += listed.ignored_files
            labels_from |= listed.labels_from
            for image in listed.images:
                scan.add_inside(number, image.offset, image.name, image.label, image.size_bytes)
    return scan, labels_from


def list_tar(path: Path, table: LabelTable) -> Listed:
    """What lies in one tar. A tar of class tars labels their images, as the name of a class tar does itself."""
    own_class = _class_of_tar(path.name)
    if is_compressed(path):
        return _Lister(path, table).compressed(own_class)
    return _Lister(path, table).plain(own_class)


def stream(path: Path) -> Iterator[tuple[int, bytes]]:
    """(place among the images, bytes) of every image of a compressed tar, in its order. Raises BadInput."""
    place = 0
    with _whole(path), _decompressed(path) as file:
        for _, member, data in _walk_stream(file, None):
            if _is_picture(member):
                yield place, data.read()
                place += 1


class _Lister:
    def __init__(self, path: Path, table: LabelTable) -> None:
        self._path, self._table = path, table
        self._listed = Listed()

    def plain(self, label: str | None) -> Listed:
        """Headers only: 512 bytes are read for each member, and what labels them."""
        with _whole(self._path):
            inner = self._part(0, self._path.stat().st_size, label)
            with ThreadPoolExecutor(SCAN_THREADS) as threads:
                # one class tar after another in the result, whatever order the threads finish in
                parts = threads.map(lambda m: _Lister(self._path, self._table)._inner(m), inner)
                for part in parts:
                    self._listed.images += part.images
                    self._listed.ignored_files += part.ignored_files
                    self._listed.labels_from |= part.labels_from
        return self._listed

    def compressed(self, label: str | None) -> Listed:
        """The whole archive is decompressed once to be listed."""
        members, notes, place = [], {}, 0
        with _whole(self._path), _decompressed(self._path) as file:
            for enclosing, member, data in _walk_stream(file, label):
                if _is_note(member):
                    notes[member.name] = data.read()
                elif _is_picture(member):
                    members.append((enclosing, member, place))
                    place += 1
                else:
                    self._listed.ignored_files += 1
        for enclosing, member, number in members:
            self._add(member, number, enclosing, notes)
        return self._listed

    def _inner(self, member: tarfile.TarInfo) -> Listed:
        label = _class_of_tar(member.name) or member.name.rsplit("/", 1)[-1].removesuffix(".tar")
        for deeper in self._part(member.offset_data, member.offset_data + member.size, label):
            raise BadInput(f"{self._path}: {deeper.name} is a tar in a tar in a tar: unpack the outermost")
        return self._listed

    def _part(self, start: int, stop: int, label: str | None) -> list[tarfile.TarInfo]:
        """List the members of the tar that lies at [start, stop) of the file; return the tars among them."""
        inner, pictures, notes = [], [], {}
        with self._path.open("rb") as file:
            file.seek(start)
            with tarfile.open(fileobj=file, mode="r:") as tar:
                for member in tar:
                    tar.members = []  # type: ignore[attr-defined]  # or every header of 1.28 million stays
                    if member.isreg() and member.name.endswith(".tar"):
                        inner.append(member)
                    elif _is_note(member):
                        notes[member.name] = os.pread(file.fileno(), member.size, member.offset_data)
                    elif _is_picture(member):
                        pictures.append(member)
                    else:
                        self._listed.ignored_files += member.isreg()
                end = tar.offset
            file.seek(end)
            if end + tarfile.BLOCKSIZE > stop or any(file.read(tarfile.BLOCKSIZE)):
                # tarfile takes a missing end, or a damaged header, for the end
                raise tarfile.ReadError("it ends without its end mark")
        for member in pictures:
            self._add(member, member.offset_data, label, notes)
        return inner

    def _add(self, member: tarfile.TarInfo, offset: int, label: str | None, notes: Mapping[str, bytes]) -> None:
        where = f"{self._path}:{member.name}"
        check_file(where, member.name.rsplit("/", 1)[-1], member.size)
        name, own = self._label(member.name, label, notes)
        if own is None:
            raise BadInput(
                f"{where} has no label: neither a class folder, class tar, .cls or .json, nor a wnid in its name, nor "
                f"{self._table.words}"
            )
        self._listed.images.append(Image(name, own, offset, member.size))

    def _label(self, path: str, label: str | None, notes: Mapping[str, bytes]) -> tuple[str, Label | None]:
        """The image's name, and its label from the first source that has one."""
        name = path.rsplit("/", 1)[-1]
        stem = name.rsplit(".", 1)[0]
        key = path[: len(path) - len(name)] + name.split(".", 1)[0]
        noted, given_name = self._note(key, notes)
        folder = path.rsplit("/", 2)[-2] if "/" in path else ""
        choices: tuple[tuple[str, Callable[[], Label | None]], ...] = (
            ("the class tars' names", lambda: label),
            ("the shards' .cls and .json files", lambda: noted),
            ("the images' names", lambda: trailing_wnid(stem)),
            ("the folders' names in the archive", lambda: None if folder in NO_CLASSES else folder),
            (self._table.words, lambda: self._table.get(stem)),
            ("the images' names", lambda: leading_wnid(stem)),
        )
        for words, find in choices:
            own = find()
            if own is not None:
                self._listed.labels_from.add(words)
                return (given_name or path), own
        return path, None

    def _note(self, key: str, notes: Mapping[str, bytes]) -> tuple[Label | None, str | None]:
        """What key.cls or key.json says: the label, and the file name where there is one."""
        label: Label | None = None
        name = None
        try:
            if f"{key}.json" in notes:
                said = json.loads(notes[f"{key}.json"])
                label = said.get("label", said.get("cls"))
                name = said.get("filename")
            if f"{key}.cls" in notes:
                text = notes[f"{key}.cls"].decode().strip()
                label = int(text) if text.isdigit() else text
        except (ValueError, AttributeError) as error:
            raise BadInput(
                f"{self._path}: the label of {key} cannot be read ({error}): fetch that shard again"
            ) from error
        return label, name if isinstance(name, str) else None


def _is_picture(member: tarfile.TarInfo) -> bool:
    name = member.name.rsplit("/", 1)[-1]
    if member.islnk() or member.issym() or member.issparse():
        raise tarfile.ReadError(f"{member.name} is a link or a sparse file, which has no bytes of its own in the tar")
    return member.isreg() and is_image(name) and (not is_hidden(name) or name.startswith("._"))


def _is_note(member: tarfile.TarInfo) -> bool:
    return member.isreg() and member.name.endswith((".cls", ".json"))


def _class_of_tar(name: str) -> str | None:
    """n01440764 for n01440764.tar, as ImageNet's class tars are named."""
    stem = name.rsplit("/", 1)[-1].split(".", 1)[0]
    return stem if re.fullmatch(r"n\d{8}", stem) else None


def _walk_stream(file: IO[bytes], label: str | None) -> Iterator[tuple[str | None, tarfile.TarInfo, IO[bytes]]]:
    """(enclosing class, member, its bytes) of a tar that can only be read forwards, and of the tars in it."""
    with tarfile.open(fileobj=file, mode="r|") as tar:
        for member in tar:
            tar.members = []  # type: ignore[attr-defined]
            if not member.isreg():
                continue
            data = tar.extractfile(member)
            assert data is not None  # of a regular file there is always one
            if member.name.endswith(".tar"):
                inner = _class_of_tar(member.name) or member.name.rsplit("/", 1)[-1].removesuffix(".tar")
                yield from _walk_stream(data, inner)
            else:
                yield label, member, data


@contextmanager
def _decompressed(path: Path) -> Iterator[IO[bytes]]:
    with path.open("rb") as raw:
        head = raw.read(6)
    opener = next(opener for magic, opener in COMPRESSED.items() if head.startswith(magic))
    with opener(path, "rb") as file:
        yield file
        while file.read(1 << 20):  # to the end, or a file cut short would pass for a shorter one
            pass


@contextmanager
def _whole(path: Path) -> Iterator[None]:
    """Say in one line that an archive is damaged."""
    try:
        yield
    except (tarfile.TarError, EOFError, lzma.LZMAError, OSError) as error:
        raise BadInput(f"{path} is damaged or cut short ({error}): fetch it again") from error
