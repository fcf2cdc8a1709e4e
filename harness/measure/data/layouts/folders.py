"""Images that are files of their own: in class folders, or in one flat folder with a table of labels."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from harness.measure.data.layouts.labels import LabelTable, leading_wnid, trailing_wnid
from harness.measure.data.layouts.scan import (
    SCAN_THREADS,
    Scan,
    Stamp,
    cannot_read,
    check_file,
    is_hidden,
    is_image,
)
from harness.record.errors import BadInput


class Seen:
    """The folders read so far: each may be read once, for one class of one split."""

    def __init__(self) -> None:
        self._paths: dict[tuple[int, int], str] = {}

    def enter(self, path: str) -> Stamp:
        """Note a folder and return its stamp. Raises BadInput for one that was read already under another name."""
        status = os.stat(path)
        first = self._paths.setdefault((status.st_dev, status.st_ino), path)
        if first != path:
            link, target = next(((p, q) for p, q in ((path, first), (first, path)) if os.path.islink(p)), (path, first))
            raise BadInput(f"{link} is {target} under a second name, so its images would count twice: remove that link")
        return status.st_ctime_ns, status.st_size


@dataclass
class _Walked:
    files: list[tuple[str, int]] = field(default_factory=list)  # path under the root, bytes
    stamps: dict[str, Stamp] = field(default_factory=dict)
    ignored_files: int = 0


def names_in(path: str | os.PathLike[str]) -> tuple[list[str], list[str]]:
    """Sorted names of a folder's folders and of its files, hidden ones left out. Raises BadInput."""
    try:
        with os.scandir(path) as entries:
            listed = [(entry.name, entry.is_dir()) for entry in entries if not is_hidden(entry.name)]
    except OSError as error:
        raise cannot_read(path if isinstance(path, str) else os.fspath(path), error) from error
    folders = sorted(name for name, is_folder in listed if is_folder)
    return folders, sorted(name for name, is_folder in listed if not is_folder)


def class_folders(root: str, directory: str, seen: Seen, *, tables: tuple[str, ...] = ()) -> Scan:
    """Every image under directory/<class>/. tables: suffixes of label files that lie there and are no surprise.

    Raises BadInput for images outside the class folders, a class without images, an empty file, a folder read twice.
    """
    classes, loose = names_in(f"{root}/{directory}")
    outside = [name for name in loose if is_image(name)]
    if outside:
        raise BadInput(
            f"{root}/{directory} holds {len(outside)} images outside its class folders ({outside[0]}): move each into "
            f"{directory}/<class>/, or remove it"
        )
    scan = Scan(stamps={directory: seen.enter(f"{root}/{directory}")})
    with ThreadPoolExecutor(SCAN_THREADS) as threads:
        # one class after another in the result, whatever order the threads finish in
        for name, walked in zip(
            classes, threads.map(lambda c: _walk(root, f"{directory}/{c}", seen, tables), classes), strict=True
        ):
            if not walked.files:
                raise BadInput(
                    f"{root}/{directory}/{name} holds no image: unpack that class again, or remove its folder from "
                    "both splits"
                )
            scan.stamps |= walked.stamps
            scan.ignored_files += walked.ignored_files
            for path, size_bytes in walked.files:
                scan.add(path, name, size_bytes)
    return scan


def flat_folder(root: str, directory: str, table: LabelTable, seen: Seen) -> tuple[Scan, str]:
    """Every image of a folder without class folders, and the words for where the labels come from.

    Raises BadInput for an image without a label.
    """
    walked = _walk(root, directory, seen, ())
    scan, words = Scan(stamps=walked.stamps, ignored_files=walked.ignored_files), ""
    for path, size_bytes in walked.files:
        stem = path.rsplit("/", 1)[-1].rsplit(".", 1)[0]
        label = trailing_wnid(stem)
        words = "the images' names" if label else table.words
        label = label or table.get(stem)
        if label is None and table.path is None:
            label, words = leading_wnid(stem), "the images' names"
        if label is None:
            raise BadInput(
                f"{root}/{path} lies in no class folder and has no label in {table.path or table.words}: put it there, "
                f"or move the images into {directory}/<class>/"
            )
        scan.add(path, label, size_bytes)
    return scan, words


def _walk(root: str, directory: str, seen: Seen, tables: tuple[str, ...]) -> _Walked:
    """The images of a folder and of the folders in it, links followed."""
    walked = _Walked()
    waiting = [directory]
    try:
        while waiting:
            folder = waiting.pop()
            walked.stamps[folder] = seen.enter(f"{root}/{folder}")  # before listing: what comes later is noticed
            with os.scandir(f"{root}/{folder}") as entries:
                for entry in entries:
                    _sort_in(entry, folder, walked, waiting, tables)
    except OSError as error:  # a broken link, no permission
        raise cannot_read(error.filename, error) from error
    walked.files.sort()
    return walked


def _sort_in(
    entry: os.DirEntry[str], folder: str, walked: _Walked, waiting: list[str], tables: tuple[str, ...]
) -> None:
    if entry.is_dir():
        if is_hidden(entry.name):
            walked.ignored_files += 1
        else:
            waiting.append(f"{folder}/{entry.name}")
    elif not is_image(entry.name) or (is_hidden(entry.name) and not entry.name.startswith("._")):
        walked.ignored_files += not entry.name.endswith(tables) if tables else 1
    else:
        size_bytes = entry.stat().st_size
        check_file(entry.path, entry.name, size_bytes)
        walked.files.append((f"{folder}/{entry.name}", size_bytes))
