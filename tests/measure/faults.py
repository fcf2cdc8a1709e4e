"""Runs in processes of their own, with a fault at an exact event. Importable by the processes it starts.

Every process is forked from a server that has imported torch once, so that a run costs a fraction of a second.
"""

import base64
import functools
import hashlib
import os
import pickle
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from subprocess import TimeoutExpired
from typing import Any
from unittest.mock import patch

import torch
from torch import nn

from harness import models
from harness.measure import run
from harness.measure.config.compose import compose
from harness.measure.config.schema import Config
from harness.measure.machine.signals import StopFlag
from harness.measure.training import checkpoint
from harness.measure.training import loop as train
from harness.measure.training.state import Training
from harness.record.errors import HarnessError
from harness.record.folders import writer
from tests.forked import Forked

TRAIN_IMAGES, EVALUATION_IMAGES, BATCH, EPOCHS = 240, 90, 32, 3
STEPS_PER_EPOCH = 8  # seven of 32 images and one of 16
SMALL = [
    "data=fake", "target=none", "model=alexnet", "model.name=net", "model.min_resolution=16", "data.resolution=16",
    f"budget.epochs={EPOCHS}", "evaluations_per_epoch=2", "device=cpu", "threads=1", "recipe.lr=0.05",
]  # fmt: skip
STATEFUL = [
    *SMALL,
    "+model.kwargs.norm=true",
    "+model.kwargs.dropout=0.3",
    "recipe.average=ema",
    "recipe.average_decay=0.9",
]
STATEFUL += ["recipe.accumulation_steps=2", "recipe.train_transform=random_crop", "recipe.mixup_alpha=0.2"]
"""A run with everything that has a state: BatchNorm, dropout, momentum, weight average, augmentation, mixup."""


class Net(nn.Module):
    """A network for 16-pixel images that trains in a millisecond a step."""

    def __init__(self, num_classes: int, norm: bool = False, dropout: float = 0.0) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=not norm)
        self.norm = nn.BatchNorm2d(8) if norm else nn.Identity()
        self.dropout = nn.Dropout(dropout) if dropout else nn.Identity()
        self.head = nn.Linear(8 * 8 * 8, num_classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(self.dropout(torch.relu(self.norm(self.conv(images))).flatten(1)))


@dataclass(frozen=True)
class Fault:
    """What happens to the process at its event number `at` (from 0, in the order of the trace)."""

    at: int
    act: Callable[[Path], None]


@dataclass(frozen=True)
class Order:
    """A run to start. Its trace (a line per event), stderr and weights go into `notes`."""

    overrides: list[str]
    notes: Path
    fault: Fault | None = None
    environment: dict[str, str] = field(default_factory=dict)


def kill(number: int, _folder: Path) -> None:
    """A signal to this very process."""
    os.kill(os.getpid(), number)


def two_sigints(folder: Path) -> None:
    """Ctrl-C, and once more at once."""
    for _ in range(2):
        kill(signal.SIGINT, folder)


def fill_disk(name: str, folder: Path) -> None:
    """The next whole write of `name` meets the kernel's own "no space left on device"."""
    (folder / f".{name}.{os.getpid()}.tmp").symlink_to("/dev/full")


def forbid_writing(folder: Path) -> None:
    """From now on this process may read the run folder and not write it. Root may always, so it becomes nobody."""
    folder.chmod(0o555)
    if os.geteuid() == 0:
        os.setegid(65534)
        os.seteuid(65534)


def exhaust_memory(_folder: Path) -> None:
    """What torch raises where a device has no memory left."""
    raise torch.OutOfMemoryError("no memory left")


class _Trace:
    """Wraps the functions whose begin and end are the events of a run."""

    def __init__(self, path: Path, fault: Fault | None, folder: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self._fault, self._folder, self._count = fault, folder, 0

    def event(self, name: str) -> None:
        os.write(self._file, f"{name}\n".encode())  # survives a SIGKILL
        self._count += 1
        if self._fault is not None and self._count - 1 == self._fault.at:
            self._fault.act(self._folder)

    def wrap(self, owner: Any, name: str, label: Callable[..., str] | str) -> None:
        inner = getattr(owner, name)

        @functools.wraps(inner)
        def traced(*args: Any, **kwargs: Any) -> Any:
            said = label if isinstance(label, str) else label(*args)
            self.event(f"{said} begins")
            result = inner(*args, **kwargs)
            self.event(f"{said} ends")
            return result

        setattr(owner, name, traced)


def perform(order: Order, config: Config) -> None:
    """The body of a process: train as `harness train` does with the order's words, composed, and exit with its code."""
    os.environ.update(order.environment)
    order.notes.mkdir(parents=True, exist_ok=True)
    rank = order.environment.get("RANK", "0")
    log = os.open(order.notes / f"stderr{rank}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(log, 2)
    models.ZOO["net"] = Net
    trace = _Trace(order.notes / f"trace{rank}", order.fault, run.run_folder(run.resolve(config)))
    trace.wrap(train, "optimise_step", "step")
    trace.wrap(train, "evaluate", "evaluation")
    trace.wrap(writer.RunWriter, "note_macs", "journal")
    trace.wrap(writer.RunWriter, "append", "curve")
    trace.wrap(checkpoint, "save", "checkpoint")
    trace.wrap(os, "fsync", "flush")
    trace.wrap(os, "replace", lambda _, path: f"replacing {Path(path).name}")
    _note_weights(order.notes / f"weights{rank}")
    try:
        code = run.run(config, overrides=order.overrides, stop=StopFlag().install()).exit_code
    except HarnessError as error:
        print(f"harness: {error}", file=sys.stderr)
        code = error.exit_code
    sys.stderr.flush()
    os._exit(code)


def _note_weights(path: Path) -> None:
    """At the end of a run, write a digest of weights, momenta, averages and the random state."""
    inner = run.train

    def train_and_note(training: Training) -> Any:
        result = inner(training)
        whole = hashlib.sha256(torch.get_rng_state().numpy().tobytes())
        for tensor in _tensors([training.model.state_dict(), training.optimizer.state_dict()["state"]]):
            whole.update(tensor.contiguous().numpy().tobytes())
        if training.average is not None:
            for tensor in _tensors(training.average.state_dict()):
                whole.update(tensor.contiguous().numpy().tobytes())
        path.write_text(whole.hexdigest())
        torch.save(training.model.state_dict(), path.with_suffix(".pt"))
        return result

    run.train = train_and_note


def _tensors(node: Any) -> list[torch.Tensor]:
    if isinstance(node, torch.Tensor):
        return [node]
    values = node.values() if isinstance(node, dict) else node if isinstance(node, list) else []
    return [tensor for value in values for tensor in _tensors(value)]


_BODY = """
import base64, pickle, sys
from tests.measure.faults import perform
perform(*pickle.loads(base64.b64decode(sys.argv[1])))
"""


def start(order: Order) -> Forked:
    """Begin a run in a process of its own."""
    (out,) = [word for word in order.overrides if word.startswith("out=")] or [None]
    config = _composed(tuple(word for word in order.overrides if word != out))
    if out is not None:
        config = replace(config, out=out.removeprefix("out="))
    return Forked(["-c", _BODY, base64.b64encode(pickle.dumps((order, config))).decode()])


@functools.cache
def _composed(overrides: tuple[str, ...]) -> Config:
    """Once for all processes of the same words: half of the time of each would be Hydra's."""
    with patch.dict(models.ZOO, net=Net):
        return compose(list(overrides))


def finish(process: Forked, seconds: float = 120) -> int:
    """Wait for a run; its exit code, or the negative number of the signal that killed it."""
    try:
        return process.wait(seconds)
    except TimeoutExpired:
        process.kill()
        raise


def perform_and_wait(order: Order) -> int:
    """Run to the end; see `finish`."""
    return finish(start(order))


def perform_together(orders: Sequence[Order]) -> list[int]:
    """Several at once, the processes of one run, to their ends; see `finish`."""
    return [finish(process) for process in [start(order) for order in orders]]


sigkill = functools.partial(kill, signal.SIGKILL)
sigterm = functools.partial(kill, signal.SIGTERM)
sigusr2 = functools.partial(kill, signal.SIGUSR2)
sigint = functools.partial(kill, signal.SIGINT)
sigstop = functools.partial(kill, signal.SIGSTOP)
