"""Feeding a GPU: the loop on one batch in memory, fed by worker processes from a prepared set, and the whole harness.

    python -m tests.bench.gpu_feed                      # a GPU machine, 16 cores: about 10 minutes
    python -m tests.bench.gpu_feed --models resnet18 --images 20000 --pixels raw256

Makes a set of 224-px JPEGs (a few hundred photographs, repeated), prepares it, and prints images per second of the
bare loop on one synthetic batch on the device, the same loop fed by the harness's loader, and the whole harness.
Without a GPU it runs a toy size on the CPU to show that it works: no result is written then, whatever the options.
"""

import argparse
import contextlib
import io
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from harness import cli
from harness.measure.config.compose import compose
from harness.measure.config.schema import Config
from harness.measure.data.protocol import Batch
from harness.measure.data.sources import build
from harness.measure.machine.device import prepare, resolve
from harness.measure.machine.signals import StopFlag
from harness.measure.run import run as harness_run
from harness.record.curve import read_curve
from harness.record.folders.folder import CURVE
from harness.record.protocol import PROTOCOL_VERSION
from tests.bench import core, gpu
from tests.bench.images import photograph


def make_tree(root: Path, images: int, distinct: int) -> Path:
    """`images` JPEGs of 224 px short side under 10 classes, hard links to `distinct` generated ones."""
    for split, count in (("train", images), ("val", max(50, images // 50))):
        for i in range(count):
            folder = root / split / f"n{i % 10:08d}"
            folder.mkdir(parents=True, exist_ok=True)
            path, source = folder / f"{i}.JPEG", root / "distinct" / f"{i % distinct}.JPEG"
            if not source.exists():
                source.parent.mkdir(parents=True, exist_ok=True)
                image = photograph(i % distinct, 256, 341).resize((298, 224), Image.Resampling.BILINEAR)
                stream = io.BytesIO()
                image.save(stream, "JPEG", quality=96, subsampling=0)
                source.write_bytes(stream.getvalue())
            if not path.exists():
                os.link(source, path)
    return root


def configured(args: argparse.Namespace, name: str, root: Path, out: Path) -> Config:
    """The config of a run as a user would start it."""
    return resolve(compose([
        "data=prepared", f"data.root={root}", f"data.pixels={args.pixels}", f"data.resolution={args.resolution}",
        f"model={name}", "target=none", f"recipe.batch_size={args.batch}", f"budget.epochs={args.epochs + 1}",
        f"out={out}", f"data.workers={args.workers}", f"compile={str(args.compile).lower()}",
    ]))  # fmt: skip


def bare(config: Config, batches: Iterator[Batch], warm: int) -> float:
    """Images per second of the plainest loop with the run's own precision and memory format."""
    machine, step = gpu.bare_step(config)
    images, start = 0, 0.0
    for number, batch in enumerate(batches):
        if number == warm:
            machine.synchronise()
            images, start = 0, time.perf_counter()
        step(*batch)
        images += len(batch[1])
    machine.synchronise()
    return images / (time.perf_counter() - start)


def synthetic(config: Config, steps: int) -> Iterator[Batch]:
    """One batch on the device, over and over: what no loader can pass."""
    machine = prepare(config, 0)
    side, batch = config.data.resolution, config.recipe.batch_size
    images = torch.randn(batch, 3, side, side, device=machine.device).to(memory_format=machine.memory_format)
    labels = torch.arange(batch, device=machine.device) % 10
    for _ in range(steps):
        yield images, labels


def fed(config: Config, epochs: int) -> tuple[float, float]:
    """Images per second with the harness's loader, and with the loader alone."""
    machine = prepare(config, 0)
    data = build(config.data, config.recipe, machine.device)

    def walk() -> Iterator[Batch]:
        for epoch in range(epochs):
            yield from data.train_batches(
                seed=0, epoch=epoch, batch_size=config.recipe.batch_size, start_batch=0,
                resolution=config.data.resolution, rank=0, world_size=1,
            )  # fmt: skip

    rate = bare(config, walk(), warm=3)
    machine.synchronise()
    start = time.perf_counter()
    seen = sum(len(labels) for _, labels in walk())
    machine.synchronise()
    alone = seen / (time.perf_counter() - start)
    data.close()
    return rate, alone


def whole(config: Config) -> tuple[float, float]:
    """Images per second and the share of time waiting for data of `harness train`, its first epoch left out."""
    with contextlib.redirect_stderr(io.StringIO()):
        result = harness_run(config, overrides=[], stop=StopFlag())
    rows = read_curve(result.folder / CURVE)
    first, last = rows[0], rows[-1]
    seconds = last.train_seconds - first.train_seconds
    return (last.images - first.images) / seconds, (last.data_wait_seconds - first.data_wait_seconds) / seconds


def measure(args: argparse.Namespace, scratch: Path) -> list[dict[str, Any]]:
    """One entry per model: medians over rounds, interleaved."""
    tree = make_tree(scratch / f"tree-{args.images}", args.images, args.distinct)
    store = scratch / f"{args.pixels}-{args.images}-{args.resolution}"
    encoding, side = ("raw", args.pixels[3:]) if args.pixels.startswith("raw") else ("jpeg", args.pixels[4:])
    with contextlib.redirect_stdout(sys.stderr):
        code = cli.main(["prepare", f"data.root={tree}", f"--out={store}", f"--format={encoding}",
                         f"--short-side={side.removesuffix('square')}", f"data.resolution={args.resolution}",
                         *(["--square"] if side.endswith("square") else [])])  # fmt: skip
    if code:
        raise SystemExit(code)
    found = []
    for name in args.models.split(","):
        rounds: dict[str, list[float]] = {"bare": [], "fed": [], "loader_alone": [], "harness": [], "waiting": []}
        for turn in range(args.rounds):
            with tempfile.TemporaryDirectory() as out:
                config = configured(args, name, store, Path(out))
                rounds["bare"].append(bare(config, synthetic(config, args.steps), warm=min(20, args.steps // 3)))
                rate, alone = fed(config, args.epochs)
                rounds["fed"].append(rate)
                rounds["loader_alone"].append(alone)
                rate, waiting = whole(config)
                rounds["harness"].append(rate)
                rounds["waiting"].append(waiting)
            print(f"{name}: round {turn + 1} of {args.rounds} done", file=sys.stderr)
        middle = {key: statistics.median(values) for key, values in rounds.items()}
        print(
            f"{name:20} bare {middle['bare']:9,.0f}  fed {middle['fed']:9,.0f} ({middle['fed'] / middle['bare']:.2f})  "
            f"harness {middle['harness']:9,.0f} ({middle['harness'] / middle['bare']:.2f}, waiting "
            f"{middle['waiting']:.0%})  loader alone {middle['loader_alone']:9,.0f} images/s"
        )
        found.append({"model": name, "precision": config.precision, "rounds": rounds, "medians": middle})
    return found


def main() -> None:
    """Measure on a GPU, or show at a toy size that the script runs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    here = torch.cuda.is_available()
    parser.add_argument("--models", default="alexnet,resnet18,shufflenet_v2_x1_0,mobilenet_v2" if here else "resnet18")
    parser.add_argument("--pixels", default="jpeg224" if here else "jpeg64", help="jpegN, rawN, rawNsquare")
    parser.add_argument("--resolution", type=int, default=224 if here else 64)
    parser.add_argument("--images", type=int, default=50_000 if here else 200)
    parser.add_argument("--distinct", type=int, default=500 if here else 10)
    parser.add_argument("--batch", type=int, default=512 if here else 20)
    parser.add_argument("--steps", type=int, default=150 if here else 4)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3 if here else 1)
    parser.add_argument("--workers", default="null", help="loader processes; null as many as the harness takes")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--scratch", type=Path, default=Path(tempfile.gettempdir()) / "harness-bench-gpu-feed")
    parser.add_argument("--out", type=Path, default=core.RESULTS)
    args = parser.parse_args()
    if not here:
        print(gpu.NOT_A_GPU)
    facts = core.circumstances()
    found = measure(args, args.scratch)
    if not here:
        print(gpu.NOT_A_GPU)
        return
    settings = {key: str(value) for key, value in vars(args).items() if key not in ("scratch", "out")}
    document = {"circumstances": facts, "protocol": PROTOCOL_VERSION, "settings": settings, "models": found}
    core.write(f"gpu-{torch.cuda.get_device_name().replace(' ', '-').lower()}-{args.pixels}", document, args.out)


if __name__ == "__main__":
    main()
