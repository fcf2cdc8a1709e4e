"""Standard output and error that decide nothing: one that cannot be written any more falls silent, and the run goes on.

Imports no torch.
"""

import contextlib
import errno
import io
import os
import select
import sys

PATIENCE_SECONDS = 1.0
"""How long a write may wait for a reader that has set its end to "do not block"; what does not fit then is left out."""


class _Lasting(io.RawIOBase):
    """A descriptor that is pointed to the null device at its first failed write, for child processes too."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def fileno(self) -> int:
        return self._descriptor

    def isatty(self) -> bool:
        return os.isatty(self._descriptor)

    def writable(self) -> bool:
        return True

    def write(self, data) -> int:  # type: ignore[no-untyped-def]  # typeshed's buffer has no name at run time
        try:
            try:
                return os.write(self._descriptor, data)
            except BlockingIOError:
                select.select([], [self._descriptor], [], PATIENCE_SECONDS)
                return os.write(self._descriptor, data)
        except BlockingIOError:
            return len(data)
        except OSError as error:
            self._fall_silent(error)
            return len(data)

    def _fall_silent(self, error: OSError) -> None:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, self._descriptor)
        os.close(null)
        if self._descriptor == 1 and error.errno != errno.EPIPE:  # who asked for the output still waits for it
            with contextlib.suppress(OSError):
                os.write(2, f"harness: the rest of standard output is lost: {error.strerror}\n".encode())


def make_lasting() -> None:
    """Let what this process prints never fail. A stream that is not descriptor 1 or 2 (a notebook's) is left alone."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:  # closed by who started us: the next file opened would take its place, and get what is printed
            os.open(os.devnull, os.O_RDWR)
    sys.stdout = _lasting(sys.stdout, 1)
    sys.stderr = _lasting(sys.stderr, 2)


def is_lasting() -> bool:
    """True once `make_lasting` has taken standard output over."""
    return isinstance(getattr(getattr(sys.stdout, "buffer", None), "raw", None), _Lasting)


def _lasting(stream, descriptor: int):  # type: ignore[no-untyped-def]
    """`stream`, or the one that takes its place."""
    if stream is None:
        return _text(descriptor, "utf-8", line_buffering=True)
    try:
        if not isinstance(stream, io.TextIOWrapper) or stream.fileno() != descriptor:
            return stream
    except (OSError, ValueError):
        return stream  # it has no descriptor, or is closed
    if isinstance(getattr(stream.buffer, "raw", None), _Lasting):
        return stream
    with contextlib.suppress(OSError):
        stream.flush()
    return _text(descriptor, stream.encoding, line_buffering=stream.line_buffering or stream.write_through)


def _text(descriptor: int, encoding: str, *, line_buffering: bool) -> io.TextIOWrapper:
    return io.TextIOWrapper(
        io.BufferedWriter(_Lasting(descriptor)), encoding=encoding, errors="replace", line_buffering=line_buffering
    )
