"""The work of `harness prepare`: original files -> the shards of a store (store.py), resumable and in parallel."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import PIL
from PIL import Image, features

from harness.measure.config.compose import compose
from harness.measure.data.images import SourceImages, select
from harness.measure.data.loader import decode, pixels
from harness.measure.data.loader.crew import enter_worker
from harness.measure.data.loader.stream import default_workers
from harness.measure.data.store import files as store
from harness.measure.data.store.files import SPLITS, Recipe
from harness.record.errors import BadInput, HarnessError

PLAN = "prepare.json"  # what an unfinished store is to become
JPEG_BYTES_PER_PIXEL = 0.30  # quality 90, 4:2:0: 26 KB for 341 x 256 pixels; to judge whether the disk is large enough
ASPECT = 1.36  # mean long side over short side of ImageNet's photographs

Source = dict[str, SourceImages]


def plan(overrides: list[str], *, short_side: int, encoding: str, quality: int, square: bool) -> tuple[Source, Recipe]:
    """The source images of both splits and what is to be made of them. Raises BadInput."""
    data = compose(["data=imagenet", *overrides]).data
    if data.pixels != "originals":
        raise BadInput("harness prepare reads original files: pass data=imagenet data.root=TREE")
    if short_side < data.resolution:
        raise BadInput(
            f"short_side={short_side} is below data.resolution={data.resolution}: crops would be enlarged; "
            "raise the one or lower the other"
        )
    chosen = select(replace(data, in_memory=False), decoder="pillow")
    recipe = Recipe(
        fingerprint=chosen.part.fingerprint, classes=chosen.part.classes, subset=chosen.subset, short_side=short_side,
        encoding=encoding, quality=quality if encoding == "jpeg" else 0, square=square,
        resolution=data.resolution, crop_ratio=data.crop_ratio,
    )  # fmt: skip
    return {"train": chosen.train, "evaluation": chosen.evaluation}, recipe


def is_packed(out: Path, recipe: Recipe) -> bool:
    """Whether the finished store is there already. Raises BadInput where another one is."""
    if not (out / store.HEADER).is_file():
        return False
    if store.recipe_of(store.read_header(out)) != recipe:
        raise BadInput(f"{out} holds a set prepared in another way: choose another out=, or remove that folder")
    return True


def pack(out: Path, recipe: Recipe, source: Source, *, workers: int, advance: Callable[[int], None]) -> None:
    """Writes the store; 0 workers = all cores. `advance` hears of finished images. Raises BadInput, HarnessError."""
    _begin(out, recipe, source)
    files = _write_shards(out, recipe, source, workers or default_workers() + 1, advance)
    for split in SPLITS:
        files[f"{split}.npy"] = _merge_index(out, split, source[split])
    made_with = {"pillow": PIL.__version__, "libjpeg_turbo": str(features.version_feature("libjpeg_turbo"))}
    store.write_header(out, recipe, files, made_with)
    for leftover in [out / PLAN, *out.glob("*.npz"), *out.glob("*.tmp")]:
        leftover.unlink()


def _begin(out: Path, recipe: Recipe, source: Source) -> None:
    """Claims the folder for this recipe, or finds that it was begun for the same one."""
    plan_file, stated = out / PLAN, json.dumps(asdict(recipe), indent=1)
    if plan_file.is_file():
        if plan_file.read_text() != stated:
            raise BadInput(f"{out} was begun with other settings or data: choose another out=, or remove that folder")
        return
    if out.is_dir() and any(out.iterdir()):
        raise BadInput(f"{out} is not empty and holds no prepared set: choose another out=")
    needed, free = _estimated_bytes(recipe, source), store.free_bytes(out)
    if needed > free:
        raise BadInput(
            f"{out}: about {needed / 1e9:.1f} GB are needed and {free / 1e9:.1f} GB are free: use another disk"
        )
    try:
        out.mkdir(parents=True, exist_ok=True)
        plan_file.write_text(stated)
    except OSError as error:
        raise BadInput(f"{out} cannot be written ({error.strerror}): choose another out=") from error


def _estimated_bytes(recipe: Recipe, source: Source) -> int:
    side = recipe.short_side
    area = side * side * (1 if recipe.square else ASPECT)
    per_image = area * (3 if recipe.encoding == "raw" else JPEG_BYTES_PER_PIXEL)
    evaluation = len(source["evaluation"].labels) * recipe.resolution**2 * 3
    return int(len(source["train"].labels) * per_image + evaluation)


def _write_shards(
    out: Path, recipe: Recipe, source: Source, workers: int, advance: Callable[[int], None]
) -> dict[str, str]:
    """Every shard that is not there yet; file name -> sha256 of all of them."""
    done: dict[str, str] = {}
    missing: list[tuple[str, int]] = []
    for split in SPLITS:
        rows = len(source[split].labels)
        size = store.images_per_shard(split, rows)
        for shard in range(-(-rows // size)):
            finished = _finished(out, split, shard)
            if finished is None:
                missing.append((split, shard))
            else:
                done[store.shard_name(split, shard)] = finished
                advance(min(size, rows - shard * size))
    fork = multiprocessing.get_context("fork")
    counter = fork.Value("q", 0)  # images written, so that the bar moves within shards
    others = set(multiprocessing.active_children())
    with ProcessPoolExecutor(
        min(workers, max(1, len(missing))),
        mp_context=fork,
        initializer=_enter,
        initargs=(out, recipe, source, counter, os.getpid()),
    ) as pool:
        futures = {pool.submit(_write_shard, split, shard): (split, shard) for split, shard in missing}
        pending, reported = set(futures), 0
        try:
            while pending:
                finished_now, pending = wait(pending, timeout=0.5, return_when=FIRST_COMPLETED)
                advance(counter.value - reported)
                reported = counter.value
                for future in finished_now:
                    split, shard = futures[future]
                    done[store.shard_name(split, shard)] = future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in set(multiprocessing.active_children()) - others:
                process.kill()  # or the error would wait for whole shards; what is half written is written again
            raise
    return done


def _finished(out: Path, split: str, shard: int) -> str | None:
    """sha256 of a shard that an earlier start has finished, else None."""
    path = out / store.shard_name(split, shard)
    try:
        with np.load(path.with_suffix(".npz")) as side:
            whole = path.stat().st_size == int(side["index"][-1, 0])
            return str(side["sha256"]) if whole else None
    except (OSError, ValueError, KeyError, EOFError):
        return None


_state: tuple[Path, Recipe, Source, Any] | None = None


def _enter(out: Path, recipe: Recipe, source: Source, counter: Any, parent: int) -> None:
    global _state  # noqa: PLW0603  (a worker serves one preparation)
    enter_worker(parent)
    _state = (out, recipe, source, counter)


def _write_shard(split: str, shard: int) -> str:
    """Writes one shard and then its side file, each under a temporary name first; returns the shard's sha256."""
    assert _state is not None
    out, recipe, source, counter = _state
    images = source[split]
    size = store.images_per_shard(split, len(images.labels))
    path = out / store.shard_name(split, shard)
    digest, rows, end = hashlib.sha256(), [], 0
    temporary = path.with_name(f"{path.name}.tmp")
    try:
        with temporary.open("wb") as stream:
            for index in range(shard * size, min((shard + 1) * size, len(images.labels))):
                encoded, height, width = _make(images, index, split, recipe)
                stream.write(encoded)
                digest.update(encoded)
                end += len(encoded)
                rows.append((end, height, width, int(images.labels[index]), int(images.ids[index].view(np.int64))))
                with counter.get_lock():
                    counter.value += 1
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
        side = path.with_name(f"{path.stem}.side.tmp")
        with side.open("wb") as stream:
            np.savez(stream, index=np.asarray(rows, np.int64), sha256=np.asarray(digest.hexdigest()))
        side.replace(path.with_suffix(".npz"))
    except OSError as error:
        temporary.unlink(missing_ok=True)
        what = "the disk is full: free some space" if error.errno == errno.ENOSPC else f"{error.strerror}"
        raise HarnessError(f"{path} could not be written ({what}); the same command resumes") from error
    return digest.hexdigest()


def _make(images: SourceImages, index: int, split: str, recipe: Recipe) -> tuple[bytes, int, int]:
    """One stored image: its bytes, height and width."""
    image = decode.pillow_rgb(images.encoded(index), images.path(index))
    if split == "evaluation":
        crop = pixels.evaluation_array(image, recipe.resolution, recipe.crop_ratio)
        return crop.tobytes(), recipe.resolution, recipe.resolution
    height, width = pixels.short_side_size(image.height, image.width, recipe.short_side)
    image = image.resize((width, height), Image.Resampling.BILINEAR)
    if recipe.square:
        side = recipe.short_side
        top, left = pixels.centre_offset(height, side), pixels.centre_offset(width, side)
        image = image.crop((left, top, left + side, top + side))
    if recipe.encoding == "raw":
        return image.tobytes(), image.height, image.width
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=recipe.quality)
    return stream.getvalue(), image.height, image.width


def _merge_index(out: Path, split: str, images: SourceImages) -> str:
    """The split's index from the shards' side files; returns its sha256."""
    shards = -(-len(images.labels) // store.images_per_shard(split, len(images.labels)))
    parts = []
    for shard in range(shards):
        with np.load((out / store.shard_name(split, shard)).with_suffix(".npz")) as side:
            parts.append(side["index"])
    path = out / f"{split}.npy"
    np.save(path, np.concatenate(parts))
    return store.sha256_of(path)
