"""Files that are whole or absent: written beside, flushed to disk, renamed."""

import hashlib
import os
from pathlib import Path

from harness.record.errors import HarnessError


def write_atomic(path: Path, data: bytes | str) -> None:
    """Replace `path` by `data` in one step; on any failure the previous file stays whole.

    Raises HarnessError with the system's reason (disk full, read-only folder).
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            file.write(data.encode() if isinstance(data, str) else data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise cannot_write(path, error) from error


def cannot_write(path: Path, error: OSError) -> HarnessError:
    """One line for a failed write: free the disk or choose another place; what was there before is whole."""
    return HarnessError(f"cannot write {path}: {error.strerror}; free some space or set another out=, then start again")


def sha256_of(path: Path) -> str:
    """sha256 (hex) of a file's bytes."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
