"""Batches from images that are too many to hold: workers fill a ring with uint8 pixels, the device does the rest.

The unit of work is a chunk of at most CHUNK images of one batch, written straight into its slot of the ring. A batch
is assembled from its chunks in order; on a CUDA device each chunk is copied on a side stream while the previous step
computes. Nothing waits outside next(), so the training loop's clock around it sees every stall.
"""

from __future__ import annotations

import inspect
import logging
import os
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from harness.measure.config.schema import DataConfig, RecipeConfig
from harness.measure.data.keyed import epoch_order
from harness.measure.data.loader import sampling
from harness.measure.data.loader.assembly import Buffers, OnCpu, OnCuda
from harness.measure.data.loader.fill import Fill, Images, StreamTask
from harness.measure.data.loader.pixels import Normaliser
from harness.measure.data.loader.pool import WorkerPool
from harness.measure.data.protocol import Batch, rank_share, steps_per_epoch
from harness.measure.data.subset import Cut
from harness.record.errors import HarnessError

log = logging.getLogger(__name__)

CHUNK = 32  # images: about 60 ms of decoding, 4.8 MB at 224; small enough that a first batch comes from all workers
BATCHES_AHEAD = 2
MAX_WORKERS = 16


def default_workers() -> int:
    """Loader processes for this process's share of the machine: its cores but one, at least 1, at most 16.

    torchrun says how many processes share the node; Slurm how many cores each has, which not every site binds it to.
    """
    cores = len(os.sched_getaffinity(0))
    if "LOCAL_WORLD_SIZE" in os.environ:
        cores //= int(os.environ["LOCAL_WORLD_SIZE"])
    elif "SLURM_CPUS_PER_TASK" in os.environ:
        cores = min(cores, int(os.environ["SLURM_CPUS_PER_TASK"]))
    return max(1, min(MAX_WORKERS, cores - 1))


def _chunks(
    shares: Iterator[tuple[int, NDArray[np.int64]]], resolution: int, transform: str | None, **draws: Any
) -> Iterator[StreamTask]:
    """The tasks of some batches, each (position of its first image, indices); lazily, an epoch is long."""
    for position, batch in shares:
        for start in range(0, len(batch), CHUNK):
            yield StreamTask(batch[start : start + CHUNK], position, len(batch), start, resolution, transform, **draws)


class StreamedData:
    """An `ImageData` over two `Images`; images.py and prepared.py make them."""

    def __init__(
        self,
        data: DataConfig,
        recipe: RecipeConfig,
        train: Images,
        evaluation: Images,
        *,
        part: Cut,
        subset: bool,
        notes: dict[str, str | int],
        device: torch.device,
    ) -> None:
        self.name, self.classes, self.fingerprint, self.subset = data.name, len(part.classes), part.fingerprint, subset
        self.train_images, self.evaluation_images = len(train.labels), len(evaluation.labels)
        self.train_split, self.evaluation_split = train, evaluation
        self._recipe, self._device, self._notes = recipe, device, notes
        self._workers = default_workers() if data.workers is None else data.workers
        self._max_resolution = max([data.resolution, *(phase.resolution for phase in recipe.resolution_schedule)])
        self._odd: dict[str, set[int]] = {"train": set(), "evaluation": set()}
        self._normaliser = Normaliser(data.mean, data.std, device)
        self._pool: WorkerPool | None = None
        self._live: dict[str, Generator[Batch, None, None]] = {}
        self._buffers = Buffers()
        self._copies = torch.cuda.Stream(device) if device.type == "cuda" else None

    @property
    def notes(self) -> dict[str, str | int]:
        """What goes into the record, with the count of files seen so far that only Pillow could read."""
        return {**self._notes, "odd_files": sum(len(seen) for seen in self._odd.values())}

    @property
    def worker_pids(self) -> list[int]:
        """The loader's processes, none before the first batch or `start`."""
        return [] if self._pool is None else self._pool.pids

    def start(self, *, world_size: int) -> None:
        """See `ImageData`. Raises BadInput where the system refuses the processes."""
        self._pool_for(self._max_resolution, world_size)

    def train_batches(
        self, *, seed: int, epoch: int, batch_size: int, start_batch: int, resolution: int, rank: int, world_size: int
    ) -> Iterator[Batch]:
        """See `ImageData`. A new call ends the iterator of the previous one."""
        order = epoch_order(self.train_images, seed=seed, epoch=epoch).numpy()
        recipe = self._recipe

        def share(batch: int) -> tuple[int, NDArray[np.int64]]:
            rows = order[batch * batch_size : (batch + 1) * batch_size]
            mine = rank_share(len(rows), rank, world_size)
            return batch * batch_size + mine.start, rows[mine]

        def flips(position: int, images: int) -> NDArray[np.bool_] | None:
            return sampling.flips(sampling.draws(seed, epoch, position, images)) if recipe.flip else None

        batches = range(start_batch, steps_per_epoch(self.train_images, batch_size, world_size))
        tasks = _chunks(
            (share(batch) for batch in batches),
            resolution,
            recipe.train_transform,
            randaugment=recipe.randaugment_magnitude if recipe.randaugment else None,
            seed=seed,
            epoch=epoch,
        )
        return self._begin("train", tasks, flips, resolution, world_size)

    def evaluation_batches(self, *, resolution: int, batch_size: int, rank: int, world_size: int) -> Iterator[Batch]:
        """See `ImageData`."""
        mine = rank_share(self.evaluation_images, rank, world_size)
        starts = range(mine.start, mine.stop, batch_size)
        shares = ((start, np.arange(start, min(start + batch_size, mine.stop))) for start in starts)
        return self._begin(
            "evaluation", _chunks(shares, resolution, None), lambda position, images: None, resolution, world_size
        )

    def close(self) -> None:
        """End the iterators and the worker processes; the next batch asked for starts them again."""
        for split in list(self._live):
            self._end(split)
        if self._pool is not None:
            if self._copies is not None:
                self._copies.synchronize()  # the last copies still read the ring
            self._pool.close()
            self._pool = None

    def _begin(
        self,
        split: str,
        tasks: Iterator[StreamTask],
        flips: Callable[[int, int], NDArray[np.bool_] | None],
        resolution: int,
        world_size: int,
    ) -> Iterator[Batch]:
        self._end(split)
        pool = self._pool_for(resolution, world_size)
        self._live[split] = iterator = self._batches(pool, split, tasks, flips)
        return iterator

    def _end(self, split: str) -> None:
        live = self._live.pop(split, None)
        if live is not None:
            live.close()

    def _pool_for(self, resolution: int, world_size: int) -> WorkerPool:
        """The running pool, started anew where a larger picture than planned is asked for, or after an error."""
        needed = CHUNK * max(resolution, self._max_resolution) ** 2 * 3
        if self._pool is not None and (self._pool.closed or self._pool.ring.slot_bytes < needed):
            if any(inspect.getgeneratorstate(live) != inspect.GEN_CLOSED for live in self._live.values()):
                raise HarnessError(f"{resolution} pixels asked for in mid-epoch, but the config plans for fewer")
            self.close()
        if self._pool is None:
            workers = self._workers
            ahead = max(BATCHES_AHEAD * self._recipe.batch_size // world_size, 2 * workers * CHUNK)
            self._pool = WorkerPool(
                Fill(self.train_split, self.evaluation_split),
                workers=workers,
                ahead=-(-ahead // CHUNK),
                slot_bytes=needed,
                pin=self._device.type == "cuda",
            )
        return self._pool

    def _batches(
        self,
        pool: WorkerPool,
        split: str,
        tasks: Iterator[StreamTask],
        flips: Callable[[int, int], NDArray[np.bool_] | None],
    ) -> Generator[Batch, None, None]:
        labels = (self.train_split if split == "train" else self.evaluation_split).labels
        indices: list[NDArray[np.int64]] = []  # of the batch's chunks so far
        with closing(pool.run(tasks)) as chunks:
            for task, slot, report in chunks:
                self._note_odd(split, report.odd)
                if not indices:
                    own_flips = flips(task.batch_position, task.batch_images)
                    assembly = self._assembly(task.batch_images, task.resolution, own_flips)
                pixels = pool.ring.block(slot, len(task.indices), task.resolution)
                pool.give_back(slot, assembly.add(pixels, task.start, pinned=pool.ring.pinned))
                indices.append(task.indices)
                if task.stop == task.batch_images:
                    yield assembly.finish(torch.from_numpy(labels[np.concatenate(indices)]))
                    indices = []

    def _assembly(self, images: int, resolution: int, flips: NDArray[np.bool_] | None) -> OnCpu | OnCuda:
        if self._copies is None:
            return OnCpu(self._normaliser, self._buffers.next(images, resolution), flips)
        return OnCuda(self._normaliser, self._copies, self._device, images, resolution, flips)

    def _note_odd(self, split: str, indices: tuple[int, ...]) -> None:
        images = self.train_split if split == "train" else self.evaluation_split
        for index in indices:
            if index not in self._odd[split]:
                self._odd[split].add(index)
                log.info("%s: not for the fast decoder, read by Pillow", images.path(index))
