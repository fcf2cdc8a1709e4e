"""`harness prepare`: images of any layout -> a store (files.py), resumable; the shards are written in shards.py."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import PIL
from PIL import features

from harness.measure.config.compose import compose
from harness.measure.data.images import select
from harness.measure.data.layouts.recognise import checked_root
from harness.measure.data.loader import pixels
from harness.measure.data.loader.stream import default_workers
from harness.measure.data.store import files as store
from harness.measure.data.store.files import SPLITS, Packing
from harness.measure.data.store.manifest import forget
from harness.measure.data.store.shards import ToPack, merge_index, write_shards
from harness.record.errors import BadInput, RunLocked
from harness.record.files import write_atomic
from harness.record.folders.folder import LOCK
from harness.record.folders.lock import RunLock, read_holder

BEGUN = "prepare.json"  # what an unfinished store is to become
JPEG_BYTES_PER_PIXEL = 0.30  # quality 90, 4:2:0: 26 KB for 341 x 256 pixels; to judge whether the disk is large enough
ASPECT = 1.36  # mean long side over short side of ImageNet's photographs


def choose(
    overrides: list[str], *, short_side: int | None, encoding: str, quality: int, square: bool
) -> tuple[ToPack, Packing]:
    """The source images of both splits and what is to be made of them. Raises BadInput.

    short_side: pixels; None = that of the evaluation's resize, 256 for ImageNet.
    """
    data = compose(overrides if any(o.startswith("data=") for o in overrides) else ["data=imagenet", *overrides]).data
    if data.pixels != "originals":
        raise BadInput("harness prepare reads original files: pass data=imagenet data.root=PATH")
    short_side = pixels.resize_side(data.resolution, data.crop_ratio) if short_side is None else short_side
    if short_side < data.resolution:
        raise BadInput(
            f"--short-side {short_side} is below data.resolution={data.resolution}: crops would be enlarged; "
            "raise the one or lower the other"
        )
    data = replace(data, in_memory=False)
    chosen = select(data, decoder="pillow")
    packing = Packing(
        name=data.name,
        fingerprint=chosen.part.fingerprint,
        classes=chosen.part.classes,
        subset=chosen.subset,
        short_side=short_side,
        encoding=encoding,
        quality=quality if encoding == "jpeg" else 0,
        square=square,
        resolution=data.resolution,
        crop_ratio=data.crop_ratio,
    )
    return ToPack(data, {"train": chosen.train, "evaluation": chosen.evaluation}), packing


def is_packed(out: Path, packing: Packing) -> bool:
    """Whether the finished store is there already. Raises BadInput where another one is."""
    try:
        if not (out / store.HEADER).is_file():
            return False
    except OSError as error:
        raise BadInput(f"{out} cannot be entered ({error.strerror}): choose another --out") from error
    if store.packing_of(store.read_header(out)) != packing:
        raise BadInput(f"{out} holds a set prepared in another way: choose another --out, or remove that folder")
    return True


def pack(out: Path, packing: Packing, source: ToPack, *, workers: int, advance: Callable[[int], None]) -> None:
    """Write the store; 0 workers = all cores. `advance` hears of finished images.

    Raises BadInput for a source that cannot be read or has changed, RunLocked while another process writes the store,
    HarnessError where it cannot be written or a worker dies.
    """
    _make_folder(out, packing, source)
    try:
        with RunLock(out):
            if is_packed(out, packing):
                return  # by another process, while this one asked for the lock
            _begin(out, packing)
            files = write_shards(out, source, packing, workers or default_workers() + 1, advance)
            for split in SPLITS:
                files[f"{split}.npy"] = merge_index(out, split, source)
            _check_source(source, packing)
            made_with = {"pillow": PIL.__version__, "libjpeg_turbo": str(features.version_feature("libjpeg_turbo"))}
            store.write_header(out, packing, files, made_with)
            for leftover in [out / BEGUN, *out.glob("*.npz")]:
                leftover.unlink()
    except RunLocked as error:
        holder = read_holder(out / LOCK)
        who = "another process" if holder is None else holder.name
        raise RunLocked(f"{out}: {who} is preparing this set; wait for it or stop it") from error


def _make_folder(out: Path, packing: Packing, source: ToPack) -> None:
    """A folder that may be written: a new one, or one in which this was begun."""
    try:
        if out.is_dir() and not (out / BEGUN).is_file() and any(path.name != LOCK for path in out.iterdir()):
            raise BadInput(f"{out} is not empty and holds no prepared set: choose another --out")
        if not (out / BEGUN).is_file():
            needed, free = _estimated_bytes(packing, source), store.free_bytes(out)
            if needed > free:
                raise BadInput(
                    f"{out}: about {needed / 1e9:.1f} GB are needed and {free / 1e9:.1f} GB are free: use another disk"
                )
            out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"{out} cannot be written ({error.strerror}): choose another --out") from error


def _begin(out: Path, packing: Packing) -> None:
    """Claim the folder for this packing, or find that it was begun for the same one. The lock is held."""
    begun, stated = out / BEGUN, json.dumps(asdict(packing), indent=1)
    if not begun.is_file():
        write_atomic(begun, stated)
    elif begun.read_text(encoding="utf-8") != stated:
        raise BadInput(f"{out} was begun with other settings or data: choose another --out, or remove that folder")
    for leftover in out.glob(".*.tmp"):  # of a start that was killed
        leftover.unlink()


def _check_source(source: ToPack, packing: Packing) -> None:
    """Read the source's files again, so that a store is never finished under an identity that is no longer true."""
    streamed = any(images.streamed for images in source.splits.values())  # then every size was compared while packing
    if select(source.data, decoder="pillow", fresh=not streamed).part.fingerprint != packing.fingerprint:
        forget(checked_root(source.data.root))
        raise BadInput(
            f"data.root={source.data.root} has changed since this was begun: restore it, or prepare into another --out"
        )


def _estimated_bytes(packing: Packing, source: ToPack) -> int:
    side = packing.short_side
    area = side * side * (1 if packing.square else ASPECT)
    per_image = area * (3 if packing.encoding == "raw" else JPEG_BYTES_PER_PIXEL)
    evaluation = len(source.splits["evaluation"].labels) * packing.resolution**2 * 3
    return int(len(source.splits["train"].labels) * per_image + evaluation)
