"""(a) The harness's training loop, everything on, beside a bare loop and the loops of peers where they are installed.

Every method trains the same network on the same tensors (64 px, batch 32, fp32, channels_last, SGD with momentum, one
thread, tuned malloc). The feed itself keeps the clock: from the request for the first timed batch to that for the
first one after them, so that a loop is billed for all it does between batches and for nothing else. CPU-seconds.
"""

import contextlib
import functools
import importlib.util
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import nn

from harness import models
from harness.measure.config.compose import compose
from harness.measure.machine.signals import StopFlag
from harness.measure.run import run as harness_run
from tests.bench.core import Row, Sample, measure, median, table

MODELS = ("alexnet", "resnet18", "shufflenet_v2_x1_0", "mobilenet_v2")
MODES_MODELS = ("shufflenet_v2_x1_0", "efficientnet_b0", "resnet18", "mobilenet_v2", "alexnet")
TINY, TINY_STEPS = "tiny", 2000
WARM_UP = 3


class Tiny(nn.Module):
    """A network that costs next to nothing: what remains of a step is the loop."""

    def __init__(self, num_classes: int = 10) -> None:
        super().__init__()
        self.head = nn.Linear(3, num_classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Class scores from the mean colour."""
        return self.head(images.mean((2, 3)))


class Feed:
    """The same batch over and over, as an `ImageData` and as an iterable; notes when the timed part begins and ends."""

    name, classes, fingerprint, subset = "bench", 10, "0" * 64, True
    notes: dict[str, str | int] = {}  # noqa: RUF012  (the protocol's name)

    def __init__(self, steps: int, batch: int, side: int, warm_up: int = WARM_UP) -> None:
        generator = torch.Generator().manual_seed(0)
        images = torch.randn(batch, 3, side, side, generator=generator)
        self.batch = (images.contiguous(memory_format=torch.channels_last), torch.arange(batch) % 10)
        self.steps, self.warm_up = steps, warm_up
        self.train_images, self.evaluation_images = (steps + warm_up + 1) * batch, batch
        self.stamps: list[tuple[float, float]] = []

    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        first, last = self.warm_up, self.warm_up + self.steps
        for step in range(last + 1):  # the last one is not timed: evaluation and checkpoint follow it
            if step in (first, last):
                self.stamps.append(self.stamp())
            yield self.batch

    def stamp(self) -> tuple[float, float]:
        """Wall seconds and CPU-seconds since some origin."""
        return time.perf_counter(), time.process_time()

    def train_batches(self, **_: object) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        return iter(self)

    def evaluation_batches(self, **_: object) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        yield self.batch

    def start(self, *, world_size: int) -> None: ...

    def close(self) -> None: ...

    def sample(self) -> Sample:
        (wall, cpu), (wall_end, cpu_end) = self.stamps
        return Sample(self.steps, wall_end - wall, cpu_end - cpu)


def _network(name: str, memory_format: torch.memory_format = torch.channels_last) -> nn.Module:
    torch.manual_seed(0)
    return models.build(name, classes=10).to(memory_format=memory_format).train()


def _optimizer(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9, weight_decay=5e-4)


def bare(name: str, feed: Feed, memory_format: torch.memory_format = torch.channels_last) -> None:
    model = _network(name, memory_format)
    optimizer, loss_of = _optimizer(model), nn.CrossEntropyLoss()
    feed.batch = (feed.batch[0].contiguous(memory_format=memory_format), feed.batch[1])
    for images, labels in feed:
        loss_of(model(images), labels).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)


def timm_style(name: str, feed: Feed) -> None:
    """train_one_epoch of timm's train.py: a loss meter read every update and a schedule stepped every update."""
    from timm.scheduler import CosineLRScheduler
    from timm.utils import AverageMeter

    model = _network(name)
    optimizer, loss_of, meter = _optimizer(model), nn.CrossEntropyLoss(), AverageMeter()
    schedule = CosineLRScheduler(optimizer, t_initial=10_000, t_in_epochs=False)
    for update, (images, labels) in enumerate(feed):
        loss = loss_of(model(images), labels)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        meter.update(loss.item(), len(images))
        schedule.step_update(update, metric=meter.avg)


class _Stream(torch.utils.data.IterableDataset):  # type: ignore[type-arg]
    def __init__(self, feed: Feed) -> None:
        self.feed = feed

    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        return iter(self.feed)


def accelerate_loop(name: str, feed: Feed) -> None:
    from accelerate import Accelerator

    accelerator = Accelerator(cpu=True)
    model = _network(name)
    loader = torch.utils.data.DataLoader(_Stream(feed), batch_size=None)
    model, optimizer, loader = accelerator.prepare(model, _optimizer(model), loader)
    loss_of = nn.CrossEntropyLoss()
    for images, labels in loader:
        accelerator.backward(loss_of(model(images), labels))
        optimizer.step()
        optimizer.zero_grad()


def lightning_loop(name: str, feed: Feed, *, barebones: bool) -> None:
    import logging

    import lightning

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")

    class Module(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.network, self.loss_of = _network(name), nn.CrossEntropyLoss()

        def training_step(self, batch: Any, _: int) -> torch.Tensor:
            loss: torch.Tensor = self.loss_of(self.network(batch[0]), batch[1])
            if not barebones:
                self.log("loss", loss, prog_bar=True)
            return loss

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return _optimizer(self)

    with tempfile.TemporaryDirectory() as folder, open(os.devnull, "w") as silent, contextlib.redirect_stdout(silent):
        options: dict[str, Any] = {"barebones": True} if barebones else {"default_root_dir": folder}
        trainer = lightning.Trainer(max_epochs=1, accelerator="cpu", devices=1, **options)
        trainer.fit(Module(), torch.utils.data.DataLoader(_Stream(feed), batch_size=None))


def harness_loop(name: str, feed: Feed, precision: str = "fp32") -> None:
    """The whole of run.py: record, journal, billing, progress, learning-rate schedule, stop flag, data clock."""
    batch, side = len(feed.batch[0]), feed.batch[0].shape[-1]
    config = compose(["data=fake", "model=resnet18", "target=none", "budget.epochs=1", "device=cpu",
                      f"precision={precision}",
                      f"recipe.batch_size={batch}", f"data.resolution={max(side, 32)}", "threads=1",
                      "recipe.lr=1e-3", "recipe.schedule=cosine"])  # fmt: skip
    config = replace(config, model=replace(config.model, name=name, kwargs={}, auxiliary_weight=0.0))
    config.data.resolution = side
    with tempfile.TemporaryDirectory() as folder, open(os.devnull, "w") as silent, contextlib.redirect_stderr(silent):
        config.out = folder
        with mock.patch("harness.measure.run.build", return_value=feed):
            result = harness_run(config, overrides=[], stop=StopFlag())
    assert result.outcome == "budget_exhausted", result


LOOPS: dict[str, tuple[str | None, Callable[[str, Feed], None]]] = {
    "bare loop": (None, bare),
    "harness, everything on": (None, harness_loop),
    "timm-style": ("timm", timm_style),
    "accelerate": ("accelerate", accelerate_loop),
    "Lightning barebones": ("lightning", functools.partial(lightning_loop, barebones=True)),
    "Lightning defaults, loss on the bar": ("lightning", functools.partial(lightning_loop, barebones=False)),
}


def _work(loop: Callable[[str, Feed], None], name: str, steps: int, batch: int, side: int) -> Sample:
    feed = Feed(steps, batch, side)
    loop(name, feed)
    return feed.sample()


def run_modes(rounds: int, steps: int) -> dict[str, Any]:
    """What a step gains from the harness's settings for a CPU over PyTorch's: NCHW, fp32, glibc's own malloc."""
    document: dict[str, Any] = {"modes": {}}
    for name in MODES_MODELS:
        size = (steps, 32, 64)
        defaults = functools.partial(bare, memory_format=torch.contiguous_format)
        rows = [
            Row("PyTorch's defaults", functools.partial(_work, defaults, name, *size)),
            *(
                Row(
                    f"harness, precision={precision}",
                    functools.partial(_work, functools.partial(harness_loop, precision=precision), name, *size),
                    tuned_malloc=True,
                )
                for precision in ("fp32", "bf16")
            ),
        ]
        measure(rows, rounds)
        title = f"{name}: {steps} steps, batch 32, 64 px, steps per CPU-second"
        document["modes"][name] = table(title, rows, rows[0].name, "steps/s")
    return document


def run(rounds: int, steps: int) -> dict[str, Any]:
    """All tables of (a)."""
    sys.path.insert(0, str(Path.cwd()))
    models.ZOO[TINY] = Tiny
    document: dict[str, Any] = {"loops": {}}
    for name in (*MODELS, TINY):
        tiny = name == TINY
        size = (TINY_STEPS, 4, 8) if tiny else (steps, 32, 64)
        rows = [
            Row(method, functools.partial(_work, loop, name, *size), tuned_malloc=True)
            for method, (package, loop) in LOOPS.items()
            if package is None or importlib.util.find_spec(package) is not None
        ]
        measure(rows, rounds)
        title = f"{name}: {size[0]} steps, batch {size[1]}, {size[2]} px, steps per CPU-second"
        found = table(title, rows, "bare loop", "steps/s")
        base = median(rows[0])
        for row, entry in zip(rows, found, strict=True):
            rate = median(row)
            if rate is not None and base is not None:
                entry["added_microseconds_per_step"] = 1e6 * (1 / rate - 1 / base)
                if tiny:
                    print(f"{row.name}: {entry['added_microseconds_per_step']:+.0f} microseconds a step")
        document["loops"][name] = found
    return document
