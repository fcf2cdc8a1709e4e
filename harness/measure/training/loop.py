"""The training loop: bill every step, evaluate on schedule, stop at the target."""

import math
import time
from collections.abc import Iterator
from functools import partial

import torch
from torch import nn

from harness.measure.data.loader.waiting import Waiting, recorder
from harness.measure.data.protocol import Batch
from harness.measure.machine import distributed
from harness.measure.machine.device import alone_on, energy_counter
from harness.measure.training import checkpoint
from harness.measure.training.evaluate import Counts, evaluate
from harness.measure.training.graph import GraphedUpdate
from harness.measure.training.recipe.schedule import learning_rate
from harness.measure.training.state import Training
from harness.measure.training.step import optimise_step, update
from harness.record.curve import Evaluation
from harness.record.target import all_confirmed, complete

EVALUATION_BATCH = 256  # images, at 224 pixels or on a CPU


class Diverged(Exception):
    """`what` (the loss, the outputs in an evaluation) stopped being a number; `step`: the first such optimiser step."""

    def __init__(self, step: int, what: str = "the loss is") -> None:
        super().__init__(f"{what} not finite at step {step}; lower recipe.lr or choose another recipe")
        self.step = step


class Stopped(Exception):
    """A signal asked the run to stop; its checkpoint is written."""


class Loop:
    """Takes one `Training` to its target or to the end of its plan."""

    def __init__(self, training: Training) -> None:
        self._training = training
        per_epoch, steps = training.config.evaluations_per_epoch, training.steps_per_epoch
        self._evaluation_batches = {round(k * steps / per_epoch) for k in range(1, per_epoch + 1)}
        self._losses: list[torch.Tensor] = []
        self._read_every = training.config.log_every_steps if training.machine.device.type == "cuda" else 1
        self._waiting = Waiting(recorder(training.machine.device))
        counter = energy_counter(training.machine.device)
        # of all processes or of none: they add it up together
        self._energy = counter if all(distributed.gather_objects(counter is not None, training.world)) else None
        self._saved_at = time.monotonic()

    def run(self) -> str:
        """Train until the target or the end of the plan; returns the outcome. Raises Diverged or Stopped."""
        training = self._training
        if self._complete():
            return "reached"  # stopped between the last evaluation and the seal
        training.parallel = distributed.parallel(training.network, training.world)
        if training.config.cuda_graph:
            training.graphed = GraphedUpdate(partial(update, training), training.optimizer, training.machine.device)
        training.display.started(training.position.images)
        try:
            while training.position.epoch < training.config.budget.epochs:
                if self._train_epoch():
                    return "reached"
                training.position.epoch += 1
                training.position.batch = 0
        finally:
            training.graphed = None  # it holds the training: weights would stay on the GPU until Python looks for rings
        confirmed = training.target is not None and all_confirmed(training.curve, training.target)
        return "reached" if confirmed else "budget_exhausted"  # the plan may end before the looks past the crossing

    def _train_epoch(self) -> bool:
        """The rest of the current epoch; True when the run may stop: its target is confirmed."""
        training = self._training
        config, position = training.config, training.position
        resolution = config.recipe.resolution_at(position.epoch, config.data.resolution)
        bill = training.bills.at(resolution)
        training.parallel.train()
        started, joules = self._clock()
        for images, labels in self._batches(resolution):
            lr = learning_rate(
                config.recipe, step=position.step, steps_per_epoch=training.steps_per_epoch, epochs=config.budget.epochs
            )
            global_images = self._images_in(position.batch)
            self._losses.append(optimise_step(training, images, labels, lr, global_images))
            position.step += 1
            position.batch += 1
            position.images += global_images
            position.ledger.bill_training(
                global_images, forward_macs=bill.forward_macs, backward_macs=bill.backward_macs
            )
            self._note_macs()
            if len(self._losses) >= self._read_every:
                self._read_losses()
            if position.step % config.log_every_steps == 0:
                self._show(lr, started)
            due, saved = position.batch in self._evaluation_batches, False
            if due:
                self._read_losses()
                self._add_time(started, joules)
                row = self._evaluate(lr)
                saved = config.checkpoint_at_evaluations
                if saved:
                    self._save()
                training.tracker.log(row)  # after the checkpoint: what is mirrored is not taken back
                if self._complete():
                    return True
            stopping, saving = self._agree()
            if (stopping or saving) and not saved:
                if not due:
                    self._read_losses()
                    self._add_time(started, joules)
                self._save()
            if stopping:
                raise Stopped
            if due or saving:
                started, joules = self._clock()  # what evaluating and saving took is not training
        return False

    def _agree(self) -> tuple[bool, bool]:
        """Whether to stop and whether a checkpoint is due, the same on every rank: clocks and signals are not."""
        training = self._training
        overdue = time.monotonic() - self._saved_at > 60 * training.config.checkpoint_minutes
        stopping, saving = distributed.sum_integers([training.stop.signal_name is not None, overdue], training.world)
        return stopping > 0, saving > 0

    def _batches(self, resolution: int) -> Iterator[Batch]:
        """The epoch's remaining batches; the time a step waits for one is on the clock of its own."""
        training, position = self._training, self._training.position
        batches = training.data.train_batches(
            seed=training.config.seed,
            epoch=position.epoch,
            batch_size=training.config.recipe.batch_size,
            start_batch=position.batch,
            resolution=resolution,
            rank=training.world.rank,
            world_size=training.world.size,
        )
        yield from self._waiting.over(batches)

    def _images_in(self, batch: int) -> int:
        """Images of a global batch, the last one of an epoch being partial."""
        size = self._training.config.recipe.batch_size
        return min(size, self._training.data.train_images - batch * size)

    def _read_losses(self) -> None:
        """Bring pending losses to the host, where a step that is not finite ends the run."""
        if not self._losses:
            return
        position = self._training.position
        first = position.step - len(self._losses) + 1
        pending = torch.stack(self._losses) if len(self._losses) > 1 else self._losses[0].view(1)
        for offset, value in enumerate(distributed.mean(pending, self._training.world).tolist()):
            if not math.isfinite(value):
                raise Diverged(first + offset)
            position.loss_sum += value
            position.loss_count += 1
        self._losses.clear()

    def _evaluate(self, lr: float) -> Evaluation:
        """One evaluation: counted, billed, appended to the curve."""
        training, position = self._training, self._training.position
        self._note_company()
        started, joules = self._clock()
        counts = self._look(training.network if training.average is None else training.average)
        live = None if training.average is None else self._look(training.network)
        training.machine.synchronise()
        position.eval_seconds += time.perf_counter() - started
        self._add_energy(joules)
        row = Evaluation(
            step=position.step,
            epoch=round(position.step / training.steps_per_epoch, 6),
            images=position.images,
            **position.ledger.as_dict(),
            correct_top1=counts.correct_top1,
            correct_top5=counts.correct_top5,
            total=counts.total,
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
        training.curve.append(row)
        if training.writer is not None:
            training.writer.append(row)
        training.display.evaluation(training.curve)
        return row

    def _look(self, network: nn.Module) -> Counts:
        """Run the evaluation split through a network once, and bill it."""
        training, resolution = self._training, self._training.config.data.resolution
        distributed.share_buffers(network, training.world)
        counts = evaluate(
            network,
            training.data,
            training.machine,
            training.world,
            resolution=resolution,
            batch_size=self._evaluation_batch(),
        )
        macs = training.bills.at(resolution).evaluation_macs
        training.position.ledger.bill_evaluation(counts.total, evaluation_macs=macs)
        self._note_macs()
        if counts.not_finite:
            raise Diverged(training.position.step, "the network's outputs in an evaluation are")
        return counts

    def _evaluation_batch(self) -> int:
        """On a GPU a small network at 64 pixels waits for launches, not for arithmetic: fewer and larger batches."""
        if self._training.machine.device.type != "cuda":
            return EVALUATION_BATCH
        return max(EVALUATION_BATCH, EVALUATION_BATCH * 224**2 // self._training.config.data.resolution**2)

    def _complete(self) -> bool:
        return self._training.target is not None and complete(self._training.curve, self._training.target)

    def _show(self, lr: float, started: float) -> None:
        training, position = self._training, self._training.position
        loss = position.loss_sum / max(position.loss_count, 1)
        elapsed = position.train_seconds + time.perf_counter() - started
        waiting = (position.data_wait_seconds + self._waiting.seconds) / max(elapsed, 1e-9)
        rate = training.display.step(
            step=position.step,
            epoch=position.step / training.steps_per_epoch,
            images=position.images,
            loss=loss,
            train_forward_macs=position.ledger.train_forward_macs,
            waiting=waiting,
        )
        metrics = {"loss": loss, "lr": lr, "images_per_second": rate, "data_wait_share": waiting}
        training.tracker.log_step(position.images, metrics)

    def _clock(self) -> tuple[float, float | None]:
        return time.perf_counter(), None if self._energy is None else self._energy()

    def _add_time(self, started: float, joules: float | None) -> None:
        self._training.machine.synchronise()
        self._training.position.train_seconds += time.perf_counter() - started
        self._training.position.data_wait_seconds += self._waiting.take_seconds()
        self._add_energy(joules)

    def _add_energy(self, joules: float | None) -> None:
        if self._energy is not None and joules is not None:
            position = self._training.position
            used = sum(distributed.gather_objects(self._energy() - joules, self._training.world))
            position.energy_joules = (position.energy_joules or 0.0) + used

    def _note_company(self) -> None:
        """Whether others compute on a GPU of this run, whose joules it counts; looked for at each evaluation."""
        if self._energy is not None:
            training, position = self._training, self._training.position
            others = not alone_on(training.machine.device)
            position.gpu_shared |= distributed.sum_integers([others], training.world)[0] > 0

    def _note_macs(self) -> None:
        if self._training.writer is not None:
            ledger = self._training.position.ledger
            self._training.writer.note_macs(ledger.done_macs + ledger.lost_macs)

    def _save(self) -> None:
        """Write a checkpoint; every rank calls it at the same step."""
        self._saved_at = time.monotonic()
        checkpoint.save(self._training)
