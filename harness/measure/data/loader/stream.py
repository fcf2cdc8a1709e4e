"""Batches from images that are too many to hold: workers fill a ring with uint8 pixels, the device does the rest.

The unit of work is a chunk of at most CHUNK images of one batch, written straight into its slot of the ring. A batch
is assembled from its chunks in order; on a CUDA device each chunk is copied on a side stream while the previous step
computes. Nothing waits outside next(), so the training loop's clock around it sees every stall.
"""

from __future__ import annotations

import inspect
import logging
import os
from collections import deque
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from harness.measure.config.schema import DataConfig, RecipeConfig
from harness.measure.data.keyed import epoch_order
from harness.measure.data.loader import sampling
from harness.measure.data.loader.assembly import Buffers, OnCpu, OnCuda
from harness.measure.data.loader.crew import Crew, Report, settle
from harness.measure.data.loader.device_decode import DeviceDecoder, Share
from harness.measure.data.loader.fill import Fill, Images, StreamTask, randaugment
from harness.measure.data.loader.pixels import Normaliser
from harness.measure.data.protocol import Batch, rank_share, steps_per_epoch
from harness.record.errors import HarnessError

log = logging.getLogger(__name__)

CHUNK = 32  # images: about 60 ms of decoding, 4.8 MB at 224; small enough that a first batch comes from all workers
BATCHES_AHEAD = 2
MAX_WORKERS = 16


@dataclass(frozen=True)
class Settings:
    """What a stream needs from the config: see conf/data and conf/recipe for the words."""

    transform: str
    flip: bool
    randaugment: bool
    batch_size: int
    mean: list[float]
    std: list[float]
    workers: int
    max_resolution: int


def settings_of(data: DataConfig, recipe: RecipeConfig) -> Settings:
    """The part of a config that a stream needs."""
    return Settings(
        transform=recipe.train_transform,
        flip=recipe.flip,
        randaugment=recipe.randaugment,
        batch_size=recipe.batch_size,
        mean=data.mean,
        std=data.std,
        workers=default_workers() if data.workers is None else data.workers,
        max_resolution=max([data.resolution, *(phase.resolution for phase in recipe.resolution_schedule)]),
    )


def default_workers() -> int:
    """Loader processes for this process's share of the machine: its cores but one, at least 1, at most 16."""
    peers = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))  # torchrun; Slurm binds each task to its own cores
    return max(1, min(MAX_WORKERS, len(os.sched_getaffinity(0)) // peers - 1))


@dataclass(frozen=True)
class Planned:
    """Rows [start, stop) of a batch whose first image has `position` in the epoch; `batch` holds its indices."""

    position: int
    batch: NDArray[np.int64]
    start: int
    stop: int


def _chunks(shares: Iterator[tuple[int, NDArray[np.int64]]]) -> Iterator[Planned]:
    for position, batch in shares:
        for start in range(0, len(batch), CHUNK):
            yield Planned(position, batch, start, min(start + CHUNK, len(batch)))


class StreamedData:
    """An `ImageData` over two `Images`; folder.py and prepared.py make them."""

    def __init__(
        self,
        name: str,
        train: Images,
        evaluation: Images,
        *,
        classes: int,
        fingerprint: str,
        subset: bool,
        notes: dict[str, str | int],
        settings: Settings,
        device: torch.device,
        device_decoder: DeviceDecoder | None = None,
    ) -> None:
        self.name, self.classes, self.fingerprint, self.subset = name, classes, fingerprint, subset
        self.train_images, self.evaluation_images = len(train.labels), len(evaluation.labels)
        self._train, self._evaluation = train, evaluation
        self._settings, self._device = settings, device
        self._notes = notes
        self._device_decoder = device_decoder
        self._odd: dict[str, set[int]] = {"train": set(), "evaluation": set()}
        self._normaliser = Normaliser(settings.mean, settings.std, device)
        self._crew: Crew | None = None
        self._live: dict[str, Generator[Batch, None, None]] = {}
        self._free: dict[str, deque[tuple[int, torch.cuda.Event | None]]] = {}
        self._buffers = Buffers()
        self._copies = torch.cuda.Stream(device) if device.type == "cuda" else None

    @property
    def notes(self) -> dict[str, str | int]:
        """What goes into the record, with the count of files seen so far that only Pillow could read."""
        return {**self._notes, "odd_files": sum(len(seen) for seen in self._odd.values())}

    def train_batches(
        self, *, seed: int, epoch: int, batch_size: int, start_batch: int, resolution: int, rank: int, world_size: int
    ) -> Iterator[Batch]:
        """See `ImageData`. A new call ends the iterator of the previous one."""
        order = epoch_order(self.train_images, seed=seed, epoch=epoch).numpy()
        settings = self._settings

        def share(batch: int) -> tuple[int, NDArray[np.int64]]:
            rows = order[batch * batch_size : (batch + 1) * batch_size]
            mine = rank_share(len(rows), rank, world_size)
            return batch * batch_size + mine.start, rows[mine]

        def task(slot: int, position: int, indices: NDArray[np.int64]) -> StreamTask:
            return StreamTask(
                slot, indices, resolution, settings.transform, settings.randaugment, seed, epoch, position
            )

        def flips(position: int, images: int) -> NDArray[np.bool_] | None:
            return sampling.flips(sampling.draws(seed, epoch, position, images)) if settings.flip else None

        batches = range(start_batch, steps_per_epoch(self.train_images, batch_size, world_size))
        shares = (share(b) for b in batches)
        if self._device_decoder is not None:
            return self._decoded_on_device(self._device_decoder, shares, seed, epoch, resolution)
        return self._begin("train", shares, task, flips, resolution)

    def evaluation_batches(self, *, resolution: int, batch_size: int, rank: int, world_size: int) -> Iterator[Batch]:
        """See `ImageData`."""
        mine = rank_share(self.evaluation_images, rank, world_size)
        starts = range(mine.start, mine.stop, batch_size)
        shares = ((start, np.arange(start, min(start + batch_size, mine.stop))) for start in starts)

        def task(slot: int, position: int, indices: NDArray[np.int64]) -> StreamTask:
            return StreamTask(slot, indices, resolution, None)

        return self._begin("evaluation", shares, task, lambda position, images: None, resolution)

    def close(self) -> None:
        """Ends the iterators and the worker processes; the next batch asked for starts them again."""
        for split in list(self._live):
            self._end(split)
        if self._crew is not None:
            if self._copies is not None:
                self._copies.synchronize()  # the last copies still read the ring
            self._crew.close()
            self._crew = None

    def _decoded_on_device(
        self, decoder: DeviceDecoder, shares: Iterator[Share], seed: int, epoch: int, resolution: int
    ) -> Iterator[Batch]:
        def numbers(position: int, images: int) -> NDArray[np.float64]:
            return sampling.draws(seed, epoch, position, images)

        settings = self._settings
        for batch in decoder.batches(shares, numbers, settings.transform, resolution):
            self._note_odd("train", tuple(batch.odd))
            own = numbers(batch.position, len(batch.indices))
            if settings.randaugment:
                randaugment(batch.pixels, own)
            flips = torch.from_numpy(sampling.flips(own)).to(self._device) if settings.flip else None
            labels = torch.from_numpy(self._train.labels[batch.indices]).to(self._device, non_blocking=True)
            yield self._normaliser.on_device(batch.pixels, flips), labels

    def _begin(
        self,
        split: str,
        shares: Iterator[tuple[int, NDArray[np.int64]]],
        task: Callable[[int, int, NDArray[np.int64]], StreamTask],
        flips: Callable[[int, int], NDArray[np.bool_] | None],
        resolution: int,
    ) -> Iterator[Batch]:
        self._end(split)
        crew = self._crew_for(resolution)
        self._live[split] = iterator = self._batches(crew, split, shares, task, flips, resolution)
        return iterator

    def _end(self, split: str) -> None:
        live = self._live.pop(split, None)
        if live is not None:
            live.close()

    def _crew_for(self, resolution: int) -> Crew:
        """The running crew, started anew where a larger picture than planned is asked for."""
        needed = CHUNK * max(resolution, self._settings.max_resolution) ** 2 * 3
        if self._crew is not None and self._crew.slot_bytes < needed:
            if any(inspect.getgeneratorstate(live) != inspect.GEN_CLOSED for live in self._live.values()):
                raise HarnessError(f"{resolution} pixels asked for in mid-epoch, but the config plans for fewer")
            self.close()
        if self._crew is None:
            ahead = max(BATCHES_AHEAD * self._settings.batch_size, 2 * self._settings.workers * CHUNK)
            slots = -(-ahead // CHUNK) if self._settings.workers else 1
            # an evaluation may come first, and what is made in inference mode could not be written by training
            with torch.inference_mode(False):
                self._crew = Crew(
                    Fill(self._train, self._evaluation),
                    workers=self._settings.workers,
                    slots=2 * slots,
                    slot_bytes=needed,
                    pin=self._device.type == "cuda",
                )
            self._free = {
                "train": deque((slot, None) for slot in range(slots)),
                "evaluation": deque((slot, None) for slot in range(slots, 2 * slots)),
            }
        return self._crew

    def _batches(
        self,
        crew: Crew,
        split: str,
        shares: Iterator[tuple[int, NDArray[np.int64]]],
        task: Callable[[int, int, NDArray[np.int64]], StreamTask],
        flips: Callable[[int, int], NDArray[np.bool_] | None],
        resolution: int,
    ) -> Generator[Batch, None, None]:
        free = self._free[split]
        labels = self._train.labels if split == "train" else self._evaluation.labels
        planned = _chunks(shares)  # lazily, so that an epoch of ImageNet is not laid out in memory
        started: deque[tuple[Planned, StreamTask, Callable[[], Report]]] = deque()

        def top_up() -> None:
            while free:
                copied = free[0][1]  # the event of the slot's last copy to the device
                if copied is not None and not copied.query():
                    if started:
                        return  # the device still reads the slot; the tasks under way suffice for now
                    copied.synchronize()
                if (chunk := next(planned, None)) is None:
                    return
                slot, _ = free.popleft()
                work = task(slot, chunk.position + chunk.start, chunk.batch[chunk.start : chunk.stop])
                started.append((chunk, work, crew.submit(work)))

        try:
            top_up()
            while started:
                first = started[0][0]
                assembly = self._assembly(len(first.batch), resolution, flips(first.position, len(first.batch)))
                while True:
                    chunk, work, wait = started[0]
                    self._note_odd(split, wait())
                    pixels = crew.block(work.slot, chunk.stop - chunk.start, resolution)
                    copied = assembly.add(pixels, chunk.start, pinned=crew.pinned)
                    started.popleft()
                    free.append((work.slot, copied))
                    top_up()
                    if chunk.stop == len(chunk.batch):
                        break
                yield assembly.finish(torch.from_numpy(labels[first.batch]))
        finally:
            for _, _, wait in started:
                settle(wait)
            free.extend((work.slot, None) for _, work, _ in started)

    def _assembly(self, images: int, resolution: int, flips: NDArray[np.bool_] | None) -> OnCpu | OnCuda:
        if self._copies is None:
            return OnCpu(self._normaliser, self._buffers.next(images, resolution), flips)
        return OnCuda(self._normaliser, self._copies, self._device, images, resolution, flips)

    def _note_odd(self, split: str, indices: Report) -> None:
        images = self._train if split == "train" else self._evaluation
        for index in indices:
            if index not in self._odd[split]:
                self._odd[split].add(index)
                log.info("%s: not for the fast decoder, read by Pillow", images.path(index))
