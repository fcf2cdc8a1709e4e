"""The workers of `harness prepare`: each writes whole shards, and a shard that is whole is never written again."""

from __future__ import annotations

import errno
import hashlib
import io
import multiprocessing
import os
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from harness.measure.config.schema import DataConfig
from harness.measure.data.images import SourceImages
from harness.measure.data.loader import decode, pixels
from harness.measure.data.store import files as store
from harness.measure.data.store.files import SPLITS, Packing
from harness.measure.machine.worker import enter_worker
from harness.record.errors import HarnessError
from harness.record.files import atomic_file, sha256_of, write_atomic


@dataclass(frozen=True)
class ToPack:
    """What is to be packed: the images of both splits, and the config that chose them."""

    data: DataConfig
    splits: dict[str, SourceImages]

    def shards(self, split: str) -> list[NDArray[np.int64]]:
        """The rows of each shard, in the order in which they are written: fixed by the source and the format alone.

        Where images can only be streamed a shard holds what one container holds, so that each is read once.
        """
        images = self.splits[split]
        if images.streamed:
            return images.streams()
        rows = np.arange(len(images.labels))
        size = store.images_per_shard(split, len(rows))
        return [rows[start : start + size] for start in range(0, len(rows), size)]


def write_shards(
    out: Path, source: ToPack, packing: Packing, workers: int, advance: Callable[[int], None]
) -> dict[str, str]:
    """Every shard that is not there yet; file name -> sha256 of all of them.

    Raises HarnessError where workers cannot be started or one is killed.
    """
    done: dict[str, str] = {}
    missing: list[tuple[str, int, NDArray[np.int64]]] = []
    for split in SPLITS:
        for shard, rows in enumerate(source.shards(split)):
            finished = _finished(out, split, shard)
            if finished is None:
                missing.append((split, shard, rows))
            else:
                done[store.shard_name(split, shard)] = finished
                advance(len(rows))
    others = set(multiprocessing.active_children())
    try:
        fork = multiprocessing.get_context("fork")
        counter = fork.Value("q", 0)  # images written, so that the bar moves within shards
        pool = ProcessPoolExecutor(
            max(1, min(workers, len(missing))),
            mp_context=fork,
            initializer=_enter,
            initargs=(out, packing, source, counter, os.getpid()),
        )
    except OSError as error:
        raise HarnessError(
            f"workers cannot be started ({error.strerror}): /dev/shm must be writable for them"
        ) from error
    with pool:
        pending: dict[Future[str], tuple[str, int]] = {}
        reported = 0
        try:
            for split, shard, rows in missing:
                pending[pool.submit(_write_shard, split, shard, rows)] = (split, shard)
            while pending:
                finished_now, _ = wait(pending, timeout=0.5, return_when=FIRST_COMPLETED)
                written = counter.value  # read once: it moves meanwhile
                advance(written - reported)
                reported = written
                for future in finished_now:
                    split, shard = pending.pop(future)
                    done[store.shard_name(split, shard)] = future.result()
        except BaseException as error:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in set(multiprocessing.active_children()) - others:
                process.kill()  # or the error would wait for whole shards; what is half written is written again
            if isinstance(error, BrokenProcessPool):
                raise HarnessError(
                    "a worker was killed, most likely for lack of memory: lower --workers; the same command resumes"
                ) from error
            raise
    return done


def _finished(out: Path, split: str, shard: int) -> str | None:
    """sha256 of a shard that an earlier start has finished, else None."""
    path = out / store.shard_name(split, shard)
    try:
        with np.load(path.with_suffix(".npz")) as side:
            whole = path.stat().st_size == int(side["entries"][:, 2].sum())
            return str(side["sha256"]) if whole else None
    except (OSError, ValueError, KeyError, EOFError):
        return None


_state: tuple[Path, Packing, ToPack, Any] | None = None


def _enter(out: Path, packing: Packing, source: ToPack, counter: Any, parent: int) -> None:
    global _state  # noqa: PLW0603  (a worker serves one preparation)
    enter_worker(parent)
    _state = (out, packing, source, counter)


def _write_shard(split: str, shard: int, rows: NDArray[np.int64]) -> str:
    """Write one shard and then its side file (rows, their index entries, sha256); return the shard's sha256."""
    assert _state is not None
    out, packing, source, counter = _state
    images = source.splits[split]
    path = out / store.shard_name(split, shard)
    digest, written, entries, start = hashlib.sha256(), [], [], 0
    try:
        with atomic_file(path) as stream:
            for row, original in _encoded(images, rows):
                encoded, height, width = _make(original, images.path(row), split, packing)
                stream.write(encoded)
                digest.update(encoded)
                label, own_id = int(images.labels[row]), int(images.ids[row].view(np.int64))
                written.append(row)
                entries.append((shard, start, len(encoded), height, width, label, own_id))
                start += len(encoded)
                with counter.get_lock():
                    counter.value += 1
        side = io.BytesIO()
        np.savez(side, rows=np.asarray(written), entries=np.asarray(entries), sha256=np.asarray(digest.hexdigest()))
        write_atomic(path.with_suffix(".npz"), side.getvalue())
    except HarnessError as error:
        if isinstance(error.__cause__, OSError) and error.__cause__.errno == errno.ENOSPC:
            raise HarnessError(
                f"{path} could not be written (the disk is full: free some space); the same command resumes"
            ) from error
        raise
    return digest.hexdigest()


def _encoded(images: SourceImages, rows: NDArray[np.int64]) -> Iterator[tuple[int, bytes]]:
    if images.streamed:
        yield from images.stream(rows)
    else:
        for row in rows.tolist():
            yield row, images.encoded(row)


def _make(original: bytes, where: str, split: str, packing: Packing) -> tuple[bytes, int, int]:
    """One stored image: its bytes, height and width."""
    image = decode.pillow_rgb(original, where)
    if split == "evaluation":
        crop = pixels.evaluation_array(image, packing.resolution, packing.crop_ratio)
        return crop.tobytes(), packing.resolution, packing.resolution
    height, width = pixels.short_side_size(image.height, image.width, packing.short_side)
    image = image.resize((width, height), Image.Resampling.BILINEAR)
    if packing.square:
        side = packing.short_side
        top, left = pixels.centre_offset(height, side), pixels.centre_offset(width, side)
        image = image.crop((left, top, left + side, top + side))
    if packing.encoding == "raw":
        return image.tobytes(), image.height, image.width
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=packing.quality)
    return stream.getvalue(), image.height, image.width


def merge_index(out: Path, split: str, source: ToPack) -> str:
    """The split's index from the shards' side files; returns its sha256."""
    index = np.zeros((len(source.splits[split].labels), 7), np.int64)
    for shard in range(len(source.shards(split))):
        with np.load((out / store.shard_name(split, shard)).with_suffix(".npz")) as side:
            index[side["rows"]] = side["entries"]
    stream = io.BytesIO()
    np.save(stream, index)
    path = out / f"{split}.npy"
    write_atomic(path, stream.getvalue())
    return sha256_of(path)
