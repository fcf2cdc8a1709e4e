"""Short ways to load a set through the config and to walk its batches."""

import copy
import functools
import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import torch

from harness.measure.config.compose import compose
from harness.measure.config.schema import Config
from harness.measure.data.loader.stream import StreamedData
from harness.measure.data.protocol import Batch
from harness.measure.data.sources import build

SIDE = 56


@functools.cache
def _config(data: str) -> Config:
    return compose([f"data={data}", "data.root=.", f"data.resolution={SIDE}", "data.workers=0", "model=resnet18"])


def load(root: Path | str | None, data: str = "imagenet", **changes: object) -> StreamedData:
    """The set at a small resolution; `changes` are keys of conf/data or conf/recipe."""
    config = copy.deepcopy(_config(data))
    for key, value in {"root": None if root is None else str(root), "batch_size": 8, **changes}.items():
        section = config.data if hasattr(config.data, key) else config.recipe
        assert hasattr(section, key), key
        setattr(section, key, value)
    loaded = build(config.data, config.recipe, torch.device("cpu"))
    assert isinstance(loaded, StreamedData)
    return loaded


def train(
    data: StreamedData,
    *,
    seed: int = 3,
    epoch: int = 1,
    batch_size: int = 8,
    start_batch: int = 0,
    resolution: int = SIDE,
    rank: int = 0,
    world_size: int = 1,
) -> Iterator[Batch]:
    """An epoch, each batch a copy: the loader writes over what it gave two batches ago."""
    batches = data.train_batches(
        seed=seed,
        epoch=epoch,
        batch_size=batch_size,
        start_batch=start_batch,
        resolution=resolution,
        rank=rank,
        world_size=world_size,
    )
    return ((images.clone(), labels) for images, labels in batches)


def evaluation(
    data: StreamedData, *, batch_size: int = 5, rank: int = 0, world_size: int = 1, resolution: int = SIDE
) -> list[Batch]:
    """The evaluation split, copied likewise."""
    batches = data.evaluation_batches(resolution=resolution, batch_size=batch_size, rank=rank, world_size=world_size)
    return [(images.clone(), labels) for images, labels in batches]


def digest(batches: Iterable[Batch]) -> list[str]:
    """A hash per batch."""
    return [hashlib.sha256(x.numpy().tobytes() + y.numpy().tobytes()).hexdigest() for x, y in batches]
