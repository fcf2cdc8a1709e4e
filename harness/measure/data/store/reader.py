"""Reads the encoded bytes of images by (container file, offset, size)."""

from __future__ import annotations

import io
import os
import resource
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.measure.data.layouts import archives, parquet
from harness.measure.data.store.manifest import Split, forget
from harness.record.errors import BadInput


class Reader:
    """Reads the images of one split, in any process and thread: pread has no position to share."""

    def __init__(self, root: Path, split: Split) -> None:
        self._root, self._split = root, split
        self._open: dict[int, io.FileIO] = {}  # by container; closed when nothing holds the reader any more
        # a source of more archives than may stay open is opened anew for every image
        self._keep_open = len(split.containers) <= resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 4

    def path(self, index: int) -> str:
        """Where an image lies, for messages."""
        name = self._split.path(index)
        if not self._split.containers:
            return f"{self._root}/{name}"
        return f"{self._root}/{self._split.containers[int(self._split.container[index])]}:{name}"

    def read(self, index: int) -> bytes:
        """An image's bytes. Raises BadInput, with its path, where it is gone, unreadable or of another size."""
        expected = int(self._split.sizes_bytes[index])
        try:
            data = (
                self._from_container(index, expected) if self._split.containers else Path(self.path(index)).read_bytes()
            )
        except OSError as error:
            raise BadInput(
                f"{self.path(index)} cannot be read ({error.strerror}): restore it from its archive"
            ) from error
        self._check_size(index, data)
        return data

    def streams(self, indices: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        """Positions in `indices`, for each container those of its images, in its order."""
        container, place = self._split.container[indices], self._split.offsets[indices]
        order = np.lexsort((place, container))
        return np.split(order, np.flatnonzero(np.diff(container[order])) + 1)

    def stream(self, indices: NDArray[np.int64]) -> Iterator[tuple[int, bytes]]:
        """(index, bytes) of images of one container, in its order. Raises BadInput as `read` does."""
        wanted = {int(self._split.offsets[index]): int(index) for index in indices}
        path = self._root / self._split.containers[int(self._split.container[indices[0]])]
        source = parquet.stream if path.suffix == ".parquet" else archives.stream
        for place, data in source(path):
            if place in wanted:
                index = wanted.pop(place)
                self._check_size(index, data)
                yield index, data
                if not wanted:
                    return
        if wanted:
            forget(self._root)
            raise BadInput(f"{self.path(min(wanted.values()))} is gone since the source was read: start again")

    def _check_size(self, index: int, data: bytes) -> None:
        expected = int(self._split.sizes_bytes[index])
        if len(data) != expected:
            forget(self._root)
            raise BadInput(
                f"{self.path(index)} has {len(data)} bytes and had {expected} when the source was read: it has changed "
                "since; restore it, or start again, which makes it another data set"
            )

    def _from_container(self, index: int, size_bytes: int) -> bytes:
        number, offset = int(self._split.container[index]), int(self._split.offsets[index])
        file = self._open.get(number)
        if file is None:
            file = io.FileIO(self._root / self._split.containers[number])
            if self._keep_open:
                file = self._open.setdefault(number, file)  # another thread may have been quicker
        return os.pread(file.fileno(), size_bytes, offset)
