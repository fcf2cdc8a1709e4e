"""What the scan of every layout gives: an image is (container file, offset, size)."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from harness.record.errors import BadInput

# torchvision.datasets.folder.IMG_EXTENSIONS
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
SCAN_THREADS = 16  # on network disks the scan waits for the server, so threads pay although Python has one lock

Stamp = tuple[int, int]
"""Change time (ns) and size in bytes of a folder or file: equal stamps, equal content. ctime, because rsync and cp -p
set mtime back to what it was."""


def stamp(path: str | os.PathLike[str]) -> Stamp:
    """The stamp of a folder or file."""
    status = os.stat(path)
    return status.st_ctime_ns, status.st_size


@dataclass
class Scan:
    """The images of one split as they lie; lists run side by side, one entry an image.

    names: paths under the root, or the members' names in a container; labels: class names; containers: the files under
    the root that hold many images, none where each image is a file of its own; container: index into them; offsets: in
    bytes, where the image begins; where the containers can only be streamed, its place in the stream.
    """

    names: list[str] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    numbers: dict[int, int] = field(default_factory=dict)  # entry -> the number it has for a label, until it is named
    sizes_bytes: list[int] = field(default_factory=list)
    containers: list[str] = field(default_factory=list)
    container: list[int] = field(default_factory=list)
    offsets: list[int] = field(default_factory=list)
    streamed: bool = False  # compressed tars, parquet: no image can be read without those before it
    stamps: dict[str, Stamp] = field(default_factory=dict)  # what must stay as it is for a cached manifest to hold
    ignored_files: int = 0  # in class folders, no images by their suffix

    def add(self, name: str, label: str | int, size_bytes: int) -> None:
        """An image that is a file of its own."""
        if isinstance(label, int):
            self.numbers[len(self.names)] = label
        self.names.append(name)
        self.labels.append(str(label))
        self.sizes_bytes.append(size_bytes)

    def add_inside(self, container: int, offset: int, name: str, label: str | int, size_bytes: int) -> None:
        """An image of a container."""
        self.add(name, label, size_bytes)
        self.container.append(container)
        self.offsets.append(offset)


@dataclass
class RootScan:
    """A root, scanned: what it was taken for, where the labels come from, and all its images."""

    kind: str
    labels_from: str
    train: Scan
    evaluation: Scan


def is_image(name: str) -> bool:
    """By its suffix, as ImageFolder decides."""
    return name.lower().endswith(IMAGE_SUFFIXES)


def is_hidden(name: str) -> bool:
    """What editors, NAS boxes and systems leave in folders: .ipynb_checkpoints, @eaDir, __MACOSX."""
    return name.startswith((".", "@", "__MACOSX")) or name in ("lost+found", "$RECYCLE.BIN")


def check_file(where: str, name: str, size_bytes: int) -> None:
    """Raise BadInput for an empty file, and for an AppleDouble file, which only looks like an image."""
    if name.startswith("._"):
        folder = where.rsplit("/", 1)[0]
        raise BadInput(f"{where} is an AppleDouble file, no image: delete them (find {folder} -name '._*' -delete)")
    if size_bytes == 0:
        raise BadInput(f"{where} is empty (0 bytes): copy or unpack it again")


def cannot_read(path: str | Path | None, error: OSError) -> BadInput:
    """One line for a folder or file of the source that the system refuses."""
    return BadInput(f"{path} cannot be read ({error.strerror}): restore it or mend its permissions")
