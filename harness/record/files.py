"""Files that are whole or absent: written beside, flushed to disk, renamed. And a lock for what is done one at a time.

The lock on a run, which is never waited for, is another: folders/lock.py.
"""

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from harness.record.errors import HarnessError


@contextmanager
def atomic_file(path: Path) -> Iterator[IO[bytes]]:
    """A file to write to that takes the place of `path` in one step, or, on any failure, not at all.

    Raises HarnessError with the system's reason (disk full, read-only folder).
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        flush_folder(path.parent)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise cannot_write(path, error) from error
        raise


def write_atomic(path: Path, data: bytes | str) -> None:
    """Replace `path` by `data` in one step; on any failure the previous file stays whole.

    Raises HarnessError with the system's reason (disk full, read-only folder).
    """
    with atomic_file(path) as file:
        file.write(data.encode() if isinstance(data, str) else data)


def flush_folder(folder: Path) -> None:
    """Bring a folder's names to disk: a rename that only memory knows is undone by a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def held(descriptor: int) -> Iterator[None]:
    """Hold an open file or folder, of which several processes may wait for their turn, and close it at the end.

    Where the file system has no locks nobody waits.
    """
    try:
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def cannot_write(path: Path, error: OSError) -> HarnessError:
    """One line for a failed write: free the disk or choose another place; what was there before is whole."""
    return HarnessError(f"cannot write {path}: {error.strerror}; free some space or set another out=, then start again")


def sha256_of(path: Path) -> str:
    """sha256 (hex) of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
