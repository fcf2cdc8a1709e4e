"""(b) The input pipeline beside torchvision's reference, the decoders alone, and peers where they are installed.

"like for like" ends at the same thing as the reference: finished float32 batches, the same malloc. "end to end" is
uint8 pixels ready for the device with tuned malloc, against the untouched reference: it mixes fewer operations on the
host, malloc and the decoder, and is named so. One core: images per CPU-second. More: images per second.
"""

import contextlib
import functools
import io
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder

from harness import cli
from harness.measure.config.compose import compose
from harness.measure.data.loader import decode, sampling
from harness.measure.data.loader.stream import CHUNK, StreamedData
from harness.measure.data.sources import build
from tests.bench.core import Row, Sample, clocked, measure, table
from tests.bench.images import as_official_tars, imagenet_sized_manifest, make_tree

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
BATCH = 64
REFERENCE = "torchvision reference: ImageFolder, PIL, float32"
EVALUATION_REFERENCE = "reference: PIL, Resize, CenterCrop, uint8"

train_reference = transforms.Compose(
    [
        transforms.RandomResizedCrop(224),
        transforms.RandomHorizontalFlip(),
        transforms.ToTensor(),
        transforms.Normalize(MEAN, STD),
    ]
)


@functools.cache
def _config(data: str, pixels: str, transform: str) -> Any:
    return compose([f"data={data}", "data.root=.", f"data.pixels={pixels}", "model=resnet18",
                    f"recipe.train_transform={transform}", f"recipe.batch_size={BATCH}"])  # fmt: skip


def harness_data(root: Path, pixels: str = "originals", *, transform: str = "resized_crop", workers: int = 0,
                 decoder: str = "auto") -> StreamedData:  # fmt: skip
    """The set as a run would open it."""
    config = _config("imagenet" if pixels == "originals" else "prepared", pixels, transform)
    config.data.root, config.data.workers, config.data.decoder = str(root), workers, decoder
    data = build(config.data, config.recipe, torch.device("cpu"))
    assert isinstance(data, StreamedData)
    return data


def _walk(batches: Iterator[Any], limit: int | None = None) -> int:
    seen = 0
    for images, _ in batches:
        seen += len(images)
        if limit is not None and seen >= limit:
            break
    return seen


def _epoch(data: StreamedData, epoch: int) -> Iterator[Any]:
    return data.train_batches(
        seed=0, epoch=epoch, batch_size=BATCH, start_batch=0, resolution=224, rank=0, world_size=1
    )


def reference(root: Path) -> Sample:
    """Per core: the data set walked in this process, as PERFORMANCE's reference."""
    torch.manual_seed(0)
    loader = DataLoader(ImageFolder(str(root / "train"), train_reference), batch_size=BATCH, shuffle=True)
    _walk(iter(loader), BATCH)
    return clocked(lambda: _walk(iter(loader)))


def finished(root: Path, pixels: str = "originals", decoder: str = "auto") -> Sample:
    """Harness: float32 batches out of the iterator that the training loop uses."""
    data = harness_data(root, pixels, decoder=decoder)
    _walk(_epoch(data, 0), BATCH)
    return clocked(lambda: _walk(_epoch(data, 1)))


def to_device(root: Path, pixels: str = "originals", *, transform: str = "resized_crop", decoder: str = "auto",
              warm: int = BATCH, repeats: int = 1) -> Sample:  # fmt: skip
    """Harness: uint8 pixels as workers write them; flip and normalisation are left to the device."""
    data = harness_data(root, pixels, transform=transform, decoder=decoder)
    images = data.train_split
    out = torch.empty(CHUNK, 224, 224, 3, dtype=torch.uint8)
    order = np.random.default_rng(0).permutation(data.train_images)

    def walk(count: int) -> int:
        for start in range(0, count, CHUNK):
            indices = order[start : start + CHUNK]
            images.train(out[: len(indices)], indices, sampling.draws(0, 0, start, len(indices)), transform)
        return count

    walk(min(warm, len(order)))
    return clocked(lambda: sum(walk(len(order)) for _ in range(repeats)))


def decoding(root: Path, name: str) -> Sample:
    """The decoder alone on bytes in memory: what no pipeline around it can pass."""
    files = [path.read_bytes() for path in sorted((root / "train").rglob("*.JPEG"))]
    decoder = decode.Decoder(name)
    for data in files[:BATCH]:
        decoder.decode(data, "")
    return clocked(lambda: sum(len(decoder.decode(data, "")) for data in files) / 2)


def evaluation_reference(root: Path) -> Sample:
    files = sorted((root / "val").rglob("*.JPEG"))
    view = transforms.Compose([transforms.Resize(256), transforms.CenterCrop(224)])

    def walk() -> int:
        for path in files:
            np.asarray(view(Image.open(io.BytesIO(path.read_bytes())).convert("RGB")))
        return len(files)

    return clocked(walk)


def evaluation_stored(root: Path, pixels: str, repeats: int) -> Sample:
    data = harness_data(root, pixels)
    rows = np.arange(data.evaluation_images)
    out = torch.empty(CHUNK, 224, 224, 3, dtype=torch.uint8)

    def walk() -> int:
        for start in range(0, len(rows), CHUNK):
            part = rows[start : start + CHUNK]
            data.evaluation_split.evaluation(out[: len(part)], part)
        return len(rows)

    walk()
    return clocked(lambda: sum(walk() for _ in range(repeats)))


def reference_workers(root: Path, workers: int) -> Sample:
    loader = DataLoader(
        ImageFolder(str(root / "train"), train_reference), batch_size=BATCH, shuffle=True, num_workers=workers,
        persistent_workers=True,
    )  # fmt: skip
    _walk(iter(loader))
    return clocked(lambda: _walk(iter(loader)))


def harness_workers(root: Path, pixels: str, workers: int, repeats: int) -> Sample:
    """Worker processes fill the ring; this process only takes the uint8 pixels, as a GPU's copy engine would."""
    data = harness_data(root, pixels, workers=workers)
    with mock.patch("harness.measure.data.loader.stream.OnCpu", _Taken):
        _walk(_epoch(data, 0))

        def walk() -> int:
            return sum(_walk(_epoch(data, epoch)) for epoch in range(1, 1 + repeats))

        sample = clocked(walk)
    data.close()
    return sample


class _Taken:
    """Stands in for the device: pixels arrive, nothing more is done on the host."""

    def __init__(self, normaliser: object, out: torch.Tensor, flips: object) -> None:
        pass

    def add(self, pixels: torch.Tensor, start: int, *, pinned: bool) -> None:
        pass

    def finish(self, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return labels, labels


def dali(root: Path) -> Sample:
    """NVIDIA DALI on the CPU, fused random-crop decode; its pixels are not the reference's."""
    from nvidia.dali import fn, pipeline_def, types

    @pipeline_def(batch_size=BATCH, num_threads=1, device_id=None)
    def pipe() -> Any:
        jpegs, labels = fn.readers.file(file_root=str(root / "train"), random_shuffle=True, name="r")
        images = fn.decoders.image_random_crop(jpegs, device="cpu", output_type=types.RGB)
        images = fn.resize(images, size=(224, 224))
        mirror = fn.random.coin_flip()
        scaled = fn.crop_mirror_normalize(
            images, dtype=types.FLOAT, mean=[m * 255 for m in MEAN], std=[s * 255 for s in STD], mirror=mirror
        )
        return scaled, labels

    built = pipe()
    built.build()
    built.run()
    steps = built.epoch_size("r") // BATCH

    def walk() -> int:
        for _ in range(steps):
            built.run()
        return steps * BATCH

    return clocked(walk)


def _installed(module: str) -> bool:
    import importlib.util

    return importlib.util.find_spec(module) is not None


def _prepared(tree: Path, folder: Path) -> dict[str, Path]:
    stores = {"jpeg256": (), "raw256": ("--format=raw",), "raw256square": ("--format=raw", "--square")}
    for name, options in stores.items():
        with contextlib.redirect_stdout(sys.stderr):
            code = cli.main(["prepare", f"data.root={tree}", f"--out={folder / name}", "--workers=2", *options])
        assert code == 0
    return {name: folder / name for name in stores}


def _opening(scratch: Path, tree: Path, rounds: int) -> dict[str, Any]:
    """CPU-seconds to open ImageNet's manifest from the cache, against ImageFolder's scan, extrapolated."""
    root, cache = scratch / "imagenet-sized", scratch / "cache"
    if not root.exists():
        imagenet_sized_manifest(root, cache)
    code = (
        "import sys, time, tracemalloc; from harness.measure.data.store.manifest import open_manifest;"
        "t = time.process_time(); open_manifest(sys.argv[1]); seconds = time.process_time() - t;"
        "tracemalloc.start(); open_manifest(sys.argv[1]); print(seconds, tracemalloc.get_traced_memory()[1] / 2**20)"
    )
    opened, scans = [], []
    for _ in range(rounds):
        done = subprocess.run([sys.executable, "-c", code, str(root)], capture_output=True, text=True, check=True,
                              env={**os.environ, "XDG_CACHE_HOME": str(cache)})  # fmt: skip
        opened.append([float(value) for value in done.stdout.split()])
        start = time.process_time()
        files = len(ImageFolder(str(tree / "train")))
        scans.append((time.process_time() - start) / files)
    seconds, scan = sorted(o[0] for o in opened)[rounds // 2], sorted(scans)[rounds // 2] * 1_281_167
    print(f"\nopening 1,281,167 + 50,000 entries: {seconds:.2f} CPU-seconds, {opened[0][1]:.0f} MB at its peak;")
    print(f"ImageFolder's scan, from {files} files: {scan:.1f} CPU-seconds, {scan / seconds:.0f} times as long")
    return {"open_seconds": seconds, "peak_mb": opened[0][1], "imagefolder_scan_seconds_extrapolated": scan}


def run(images: int, rounds: int, scratch: Path) -> dict[str, Any]:
    """All tables of (b)."""
    tree = make_tree(scratch / f"tree-{images}", train_images=images, evaluation_images=64)
    mean_kb = np.mean([path.stat().st_size for path in (tree / "train").rglob("*.JPEG")]) / 1e3
    print(f"{images} generated JPEGs, mean {mean_kb:.0f} KB; {len(os.sched_getaffinity(0))} cores")
    with tempfile.TemporaryDirectory(dir=scratch) as temporary:
        stores = _prepared(tree, Path(temporary))
        tars = as_official_tars(tree, Path(temporary) / "tars")
        document = _tables(tree, tars, stores, rounds)
    document["opening"] = _opening(scratch, tree, rounds)
    document["mean_kb"] = mean_kb
    return document


def _tables(tree: Path, tars: Path, stores: dict[str, Path], rounds: int) -> dict[str, Any]:
    bind: Callable[..., Callable[[], Sample]] = functools.partial
    jpeg, raw, square = stores["jpeg256"], stores["raw256"], stores["raw256square"]
    one = [
        Row(REFERENCE, bind(reference, tree)),
        Row("the reference with tuned malloc", bind(reference, tree), tuned_malloc=True),
        *(Row(f"decode alone: {name}", bind(decoding, tree, name)) for name in decode.DECODERS),
        Row("originals, like for like", bind(finished, tree)),
        Row("official tars, like for like", bind(finished, tars)),
        Row("originals, like for like, torchvision.io", bind(finished, tree, decoder="torchvision")),
        Row("originals, float32, tuned malloc", bind(finished, tree), tuned_malloc=True),
        Row("originals, end to end, torchcodec", bind(to_device, tree, decoder="torchcodec"), tuned_malloc=True),
        Row("official tars, end to end, torchcodec", bind(to_device, tars, decoder="torchcodec"), tuned_malloc=True),
        Row("originals, end to end, torchvision.io", bind(to_device, tree, decoder="torchvision"), tuned_malloc=True),
        Row("originals, end to end, pillow", bind(to_device, tree, decoder="pillow"), tuned_malloc=True),
        Row("prepared jpeg256, like for like", bind(finished, jpeg, "jpeg256")),
        Row("prepared jpeg256, end to end", bind(to_device, jpeg, "jpeg256", repeats=2), tuned_malloc=True),
        Row("prepared raw256, resized crop, end to end", bind(to_device, raw, "raw256", repeats=4), tuned_malloc=True),
        Row("prepared raw256, random crop, end to end",
            bind(to_device, raw, "raw256", transform="random_crop", warm=10**9, repeats=20), tuned_malloc=True),
        Row("prepared raw256square, random crop, end to end",
            bind(to_device, square, "raw256square", transform="random_crop", warm=10**9, repeats=20),
            tuned_malloc=True),
    ]  # fmt: skip
    if _installed("nvidia.dali"):
        one.append(Row("DALI on the CPU, originals, float32 (other pixels)", bind(dali, tree)))
    measure(one, rounds)
    evaluation = [
        Row(EVALUATION_REFERENCE, bind(evaluation_reference, tree), tuned_malloc=True),
        Row("stored reference crops", bind(evaluation_stored, jpeg, "jpeg256", 40), tuned_malloc=True),
    ]
    measure(evaluation, rounds)
    document = {
        "one_core": table("One core, training, images per CPU-second", one, REFERENCE, "images/s"),
        "evaluation": table("One core, evaluation input, uint8", evaluation, EVALUATION_REFERENCE, "images/s"),
    }
    if len(os.sched_getaffinity(0)) >= 2:
        two = [
            *(Row(f"{REFERENCE}, {n} workers", bind(reference_workers, tree, n), cores=2) for n in (1, 2)),
            *(Row(f"originals, {n} workers", bind(harness_workers, tree, "originals", n, 1), cores=2) for n in (1, 2)),
            *(Row(f"official tars, {n} workers", bind(harness_workers, tars, "originals", n, 1), cores=2)
              for n in (1, 2)),
            *(Row(f"prepared jpeg256, {n} workers", bind(harness_workers, jpeg, "jpeg256", n, 3), cores=2)
              for n in (1, 2)),
            *(Row(f"prepared raw256, {n} workers", bind(harness_workers, raw, "raw256", n, 6), cores=2)
              for n in (1, 2)),
        ]  # fmt: skip
        measure(two, rounds)
        document["two_cores"] = table(
            "Worker processes on two cores, images per second of wall time", two, f"{REFERENCE}, 1 workers", "images/s"
        )
    return document
