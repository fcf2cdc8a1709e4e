"""The training loop: bill every step, evaluate on schedule, stop at the target."""

import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from harness.measure.bill.phases import Bills
from harness.measure.config.schema import Config
from harness.measure.data.protocol import Batch, ImageData, steps_per_epoch
from harness.measure.machine import distributed
from harness.measure.machine.device import Machine, energy_counter
from harness.measure.machine.signals import StopFlag
from harness.measure.mirror.journal import Tracker
from harness.measure.training import resume
from harness.measure.training.evaluate import Counts, evaluate
from harness.measure.training.loss import TrainingLoss
from harness.measure.training.progress import Display
from harness.measure.training.schedule import learning_rate
from harness.measure.training.step import optimise_step
from harness.record.curve import Evaluation
from harness.record.ledger import Ledger
from harness.record.target import Target, reached
from harness.record.units import macs_to_pflop, paper_pflop
from harness.record.writer import RunWriter

EVALUATION_BATCH = 256  # images, at 224 pixels or on a CPU


class Diverged(Exception):
    """The loss stopped being a number; `step` is the first such optimiser step."""

    def __init__(self, step: int) -> None:
        super().__init__(f"the loss is not finite at step {step}; lower recipe.lr or choose another recipe")
        self.step = step


class Stopped(Exception):
    """A signal asked the run to stop; its checkpoint is written."""


@dataclass
class Position:
    """How far a run is. All of it goes into the checkpoint."""

    epoch: int = 0
    batch: int = 0
    step: int = 0
    images: int = 0
    loss_sum: float = 0.0
    loss_count: int = 0
    train_seconds: float = 0.0
    eval_seconds: float = 0.0
    data_wait_seconds: float = 0.0
    energy_joules: float | None = None
    ledger: Ledger = field(default_factory=Ledger)


@dataclass
class Training:
    """Everything one run trains with. `network` is `model`, compiled if asked; both share their weights."""

    config: Config
    folder: Path
    target: Target | None
    machine: Machine
    world: distributed.World
    data: ImageData
    model: nn.Module
    network: nn.Module
    average: AveragedModel | None
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    loss: TrainingLoss
    bills: Bills
    writer: RunWriter | None
    display: Display
    tracker: Tracker
    stop: StopFlag
    position: Position = field(default_factory=Position)

    def __post_init__(self) -> None:
        self.steps_per_epoch = steps_per_epoch(self.data.train_images, self.config.recipe.batch_size, self.world.size)
        per_epoch = self.config.evaluations_per_epoch
        self.evaluation_batches = {round(k * self.steps_per_epoch / per_epoch) for k in range(1, per_epoch + 1)}
        self._losses: list[torch.Tensor] = []
        self._read_every = self.config.log_every_steps if self.machine.device.type == "cuda" else 1
        self._energy = energy_counter(self.machine.device)
        self._saved_at = time.monotonic()
        self.parallel = self.network  # from the first step on, with gradients averaged over the ranks

    def train(self) -> str:
        """Train until the target or the end of the plan; returns the outcome. Raises Diverged or Stopped."""
        if distributed.any_true(self.writer is not None and self._target_reached(self.writer.rows()[-1:]), self.world):
            return "reached"  # stopped between the last evaluation and the seal
        self.parallel = distributed.parallel(self.network, self.world)
        self.display.started(self.position.images)
        while self.position.epoch < self.config.budget.epochs:
            if self._train_epoch():
                return "reached"
            self.position.epoch += 1
            self.position.batch = 0
        return "budget_exhausted"

    def _train_epoch(self) -> bool:
        """The rest of the current epoch; True when the target was reached in it."""
        config, position = self.config, self.position
        resolution = config.recipe.resolution_at(position.epoch, config.data.resolution)
        bill = self.bills.at(resolution)
        self.parallel.train()
        started, joules = self._clock()
        for images, labels in self._batches(resolution):
            lr = learning_rate(
                config.recipe, step=position.step, steps_per_epoch=self.steps_per_epoch, epochs=config.budget.epochs
            )
            global_images = self._images_in(position.batch)
            self._losses.append(optimise_step(self, images, labels, lr, global_images))
            position.step += 1
            position.batch += 1
            position.images += global_images
            position.ledger.bill_training(
                global_images, forward_macs=bill.forward_macs, backward_macs=bill.backward_macs
            )
            self._journal()
            if len(self._losses) >= self._read_every:
                self._read_losses()
            if position.step % config.log_every_steps == 0:
                self._show(lr, started)
            due, saved = position.batch in self.evaluation_batches, False
            if due:
                self._read_losses()
                self._add_time(started, joules)
                row = self._evaluate(lr)
                saved = config.checkpoint_at_evaluations
                if saved:
                    self.save()
                self.tracker.log(row, self._derived(row))  # after the checkpoint: what is mirrored is not taken back
                if self._target_reached([row]):
                    return True
            stopping, saving = self._agree()
            if (stopping or saving) and not saved:
                if not due:
                    self._read_losses()
                    self._add_time(started, joules)
                self.save()
            if stopping:
                raise Stopped
            if due or saving:
                started, joules = self._clock()  # what evaluating and saving took is not training
        return False

    def _agree(self) -> tuple[bool, bool]:
        """Whether to stop and whether a checkpoint is due, the same on every rank: clocks and signals are not."""
        overdue = time.monotonic() - self._saved_at > 60 * self.config.checkpoint_minutes
        stopping, saving = distributed.sum_integers([self.stop.signal_name is not None, overdue], self.world)
        return stopping > 0, saving > 0

    def _batches(self, resolution: int) -> Iterator[Batch]:
        """The epoch's remaining batches; the time a step waits for one is on the clock of its own."""
        batches = self.data.train_batches(
            seed=self.config.seed,
            epoch=self.position.epoch,
            batch_size=self.config.recipe.batch_size,
            start_batch=self.position.batch,
            resolution=resolution,
            rank=self.world.rank,
            world_size=self.world.size,
        )
        while True:
            asked = time.perf_counter()
            batch = next(batches, None)
            self.position.data_wait_seconds += time.perf_counter() - asked
            if batch is None:
                return
            yield batch

    def _images_in(self, batch: int) -> int:
        """Images of a global batch, the last one of an epoch being partial."""
        size = self.config.recipe.batch_size
        return min(size, self.data.train_images - batch * size)

    def _read_losses(self) -> None:
        """Bring pending losses to the host, where a step that is not finite ends the run."""
        if not self._losses:
            return
        first = self.position.step - len(self._losses) + 1
        pending = torch.stack(self._losses) if len(self._losses) > 1 else self._losses[0].view(1)
        for offset, value in enumerate(distributed.mean(pending, self.world).tolist()):
            if not math.isfinite(value):
                raise Diverged(first + offset)
            self.position.loss_sum += value
            self.position.loss_count += 1
        self._losses.clear()

    def _evaluate(self, lr: float) -> Evaluation:
        """One evaluation: counted, billed, appended to the curve."""
        position = self.position
        started, joules = self._clock()
        counts = self._look(self.network if self.average is None else self.average)
        live = None if self.average is None else self._look(self.network)
        self.machine.synchronise()
        position.eval_seconds += time.perf_counter() - started
        self._add_energy(joules)
        row = Evaluation(
            step=position.step,
            epoch=round(position.step / self.steps_per_epoch, 6),
            images=position.images,
            **position.ledger.as_dict(),
            **asdict(counts),
            loss=position.loss_sum / max(position.loss_count, 1),
            lr=lr,
            train_seconds=round(position.train_seconds, 3),
            eval_seconds=round(position.eval_seconds, 3),
            data_wait_seconds=round(position.data_wait_seconds, 3),
            energy_joules=position.energy_joules,
            live_correct_top1=None if live is None else live.correct_top1,
            live_correct_top5=None if live is None else live.correct_top5,
        )
        position.loss_sum, position.loss_count = 0.0, 0
        if self.writer is not None:
            self.writer.append(row)
        self.display.evaluation(row)
        return row

    def _look(self, network: nn.Module) -> Counts:
        """Run the evaluation split through a network once, and bill it."""
        distributed.share_buffers(network, self.world)
        resolution = self.config.data.resolution
        batch_size = self._evaluation_batch()
        counts = evaluate(network, self.data, self.machine, self.world, resolution=resolution, batch_size=batch_size)
        macs = self.bills.at(resolution).evaluation_macs
        self.position.ledger.bill_evaluation(counts.total, evaluation_macs=macs)
        self._journal()
        return counts

    def _evaluation_batch(self) -> int:
        """On a GPU a small network at 64 pixels waits for launches, not for arithmetic: fewer and larger batches."""
        if self.machine.device.type != "cuda":
            return EVALUATION_BATCH
        return max(EVALUATION_BATCH, EVALUATION_BATCH * 224**2 // self.config.data.resolution**2)

    def _derived(self, row: Evaluation) -> dict[str, float]:
        return {
            "top1": row.correct_top1 / row.total,
            "top5": row.correct_top5 / row.total,
            "spent_pflop": macs_to_pflop(row.train_macs),
            "paper_pflop": paper_pflop(row.train_forward_macs),
            "images_per_second": row.images / max(row.train_seconds, 1e-9),
            "data_wait_share": row.data_wait_seconds / max(row.train_seconds, 1e-9),
        }

    def _target_reached(self, rows: list[Evaluation]) -> bool:
        target = self.target
        return target is not None and any(reached(r.correct(target.metric), r.total, target.value) for r in rows)

    def _show(self, lr: float, started: float) -> None:
        position = self.position
        loss = position.loss_sum / max(position.loss_count, 1)
        elapsed = position.train_seconds + time.perf_counter() - started
        waiting = position.data_wait_seconds / max(elapsed, 1e-9)
        rate = self.display.step(
            step=position.step,
            epoch=position.step / self.steps_per_epoch,
            images=position.images,
            loss=loss,
            train_macs=position.ledger.train_macs,
            waiting=waiting,
        )
        metrics = {"loss": loss, "lr": lr, "images_per_second": rate, "data_wait_share": waiting}
        self.tracker.log_step(position.images, metrics)

    def _clock(self) -> tuple[float, float | None]:
        return time.perf_counter(), None if self._energy is None else self._energy()

    def _add_time(self, started: float, joules: float | None) -> None:
        self.machine.synchronise()
        self.position.train_seconds += time.perf_counter() - started
        self._add_energy(joules)

    def _add_energy(self, joules: float | None) -> None:
        if self._energy is not None and joules is not None:
            used = sum(distributed.gather_objects(self._energy() - joules, self.world))
            self.position.energy_joules = (self.position.energy_joules or 0.0) + used

    def _journal(self) -> None:
        if self.writer is not None:
            ledger = self.position.ledger
            self.writer.journal(ledger.done_macs + ledger.lost_macs)

    def save(self) -> None:
        """Write a checkpoint; every rank calls it at the same step."""
        self._saved_at = time.monotonic()
        resume.save(self)
