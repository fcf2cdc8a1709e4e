"""The state of a training: what it trains with, and how far it is. The loop, a step, a checkpoint all work on it."""

from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import nn

from harness.measure.bill.phases import Bills
from harness.measure.config.level import target_of
from harness.measure.config.schema import Config
from harness.measure.data.protocol import ImageData, steps_per_epoch
from harness.measure.machine import distributed
from harness.measure.machine.device import Machine
from harness.measure.machine.signals import StopFlag
from harness.measure.mirror.journal import Tracker
from harness.measure.training.graph import GraphedUpdate
from harness.measure.training.progress import Display
from harness.measure.training.recipe.average import build_average
from harness.measure.training.recipe.loss import TrainingLoss
from harness.measure.training.recipe.optimiser import build_optimizer
from harness.record.curve import Evaluation
from harness.record.folders.writer import RunWriter
from harness.record.ledger import Ledger


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
    gpu_shared: bool = False
    ledger: Ledger = field(default_factory=Ledger)


class Training:
    """Everything one run trains with. `network` is `model`, compiled if asked; both share their weights.

    `parallel` is `network` with gradients averaged over the ranks; under cuda_graph `graphed` takes its steps. `curve`
    holds every evaluation so far, the same on every rank. `writer` is None on all ranks but the first.
    """

    def __init__(
        self,
        config: Config,
        folder: Path,
        machine: Machine,
        world: distributed.World,
        data: ImageData,
        model: nn.Module,
        bills: Bills,
        writer: RunWriter | None,
        stop: StopFlag,
    ) -> None:
        """Place `model` on the device and build what trains it from the config's recipe."""
        self.config, self.folder, self.machine, self.world = config, folder, machine, world
        self.data, self.bills, self.writer, self.stop = data, bills, writer, stop
        self.target = target_of(config)
        self.model = _placed(model, config, machine, world)
        self.network = self.model
        if config.compile:
            self.network = _compiled(self.model, config)
        self.parallel = self.network
        self.graphed: GraphedUpdate | None = None
        self.average = build_average(self.model, config.recipe)
        self.optimizer = build_optimizer(self.model, config.recipe, fused=machine.fused_optimizer)
        self.scaler = torch.amp.GradScaler(machine.device.type, enabled=machine.precision == "fp16")
        self.loss = TrainingLoss(
            label_smoothing=config.recipe.label_smoothing, auxiliary_weight=config.model.auxiliary_weight
        )
        self.steps_per_epoch = steps_per_epoch(data.train_images, config.recipe.batch_size, world.size)
        joined = 1 if config.sync_batchnorm else world.size
        # over which one BatchNorm takes its statistics in a full batch
        self.batchnorm_images = max(1, config.recipe.batch_size // config.recipe.accumulation_steps // joined)
        self.display = Display(
            model=config.model.name,
            seed=config.seed,
            epochs=config.budget.epochs,
            total_steps=config.budget.epochs * self.steps_per_epoch,
            target=self.target,
            quiet=not world.is_main,
        )
        self.tracker = Tracker()
        self.position = Position()
        self.curve: list[Evaluation] = []


SHAPES_PER_RESOLUTION = 8
"""Full and last batch, each in micro-batches of two sizes, in training; two of evaluation; and room for two."""


def _compiled(model: nn.Module, config: Config) -> nn.Module:
    """`model` compiled anew for each shape that the plan has; a shape too many is an error, never silently eager."""
    torch.compiler.reset()  # a sweep in one process: networks that share a forward() share its recompile limit
    phases = config.recipe.resolution_schedule
    resolutions = {config.data.resolution, *(phase.resolution for phase in phases)}
    torch._dynamo.config.recompile_limit = SHAPES_PER_RESOLUTION * len(resolutions)
    torch._dynamo.config.fail_on_recompile_limit_hit = True
    return torch.compile(model, dynamic=False)  # type: ignore[return-value]


def _placed(model: nn.Module, config: Config, machine: Machine, world: distributed.World) -> nn.Module:
    """`model` on the device, in the machine's memory format, its BatchNorms joined over the ranks if asked."""
    model = model.to(machine.device).to(memory_format=machine.memory_format)
    if config.sync_batchnorm and world.size > 1:
        model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
    return model
