"""One measured run, every stage in order: from a config to a sealed run folder."""

import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from harness.measure.bill.card import remark
from harness.measure.bill.phases import Bills
from harness.measure.config.compose import as_recorded, recorded, run_folder, run_id
from harness.measure.config.level import target_of
from harness.measure.config.schema import Config
from harness.measure.config.tracking import agents_run
from harness.measure.config.validate import remarks
from harness.measure.config.words import unquoted
from harness.measure.data.keyed import keyed_seed
from harness.measure.data.protocol import ImageData, steps_per_epoch
from harness.measure.data.sources import build
from harness.measure.machine import distributed
from harness.measure.machine.device import prepare, resolve, seed_everything
from harness.measure.machine.signals import StopFlag
from harness.measure.mirror.journal import Tracker, start
from harness.measure.training import checkpoint
from harness.measure.training.loop import Diverged, Loop, Stopped
from harness.measure.training.state import Training
from harness.measure.training.summary import summarise
from harness.models import build as build_network
from harness.record.errors import (
    EXIT_DIVERGED,
    EXIT_DONE,
    EXIT_ERROR,
    EXIT_INTERRUPTED,
    BadInput,
    HarnessError,
    OutOfMemory,
)
from harness.record.folders.folder import is_finished, read_run
from harness.record.folders.writer import RunWriter
from harness.record.provenance import segment, source_commit
from harness.record.target import Target

_EXIT_CODES = {
    "reached": EXIT_DONE,
    "budget_exhausted": EXIT_DONE,
    "diverged": EXIT_DIVERGED,
    "out_of_memory": EXIT_ERROR,  # in records of before it left runs open
    "interrupted": EXIT_INTERRUPTED,
}


SMALL_BATCHNORM_IMAGES = 16
"""Below so many images BatchNorm's statistics are too noisy to train the same network (Wu and He 2018, figure 1)."""

OUT_OF_MEMORY = (
    "out of memory; start it again and it resumes, where another program had taken the memory; else lower "
    "recipe.batch_size, raise recipe.accumulation_steps or take more GPUs"
)
"""It says nothing of the plan, so it is no outcome: nothing is sealed, and no later start skips the run."""


@dataclass(frozen=True)
class Result:
    """What became of a run."""

    outcome: str
    folder: Path

    @property
    def exit_code(self) -> int:
        """The process's exit code for this outcome."""
        return _EXIT_CODES[self.outcome]


def run(
    config: Config,
    *,
    overrides: Sequence[str] = (),
    stop: StopFlag | None = None,
    search: dict[str, Any] | None = None,
) -> Result:
    """Train `config` until its target or the end of its budget and leave a record.

    `stop` hears the signals that end it; without one (a notebook, a thread) the run takes them for itself where it can,
    and gives them back. `search` is what the record says of the search that this run belongs to, if any: the level that
    is looked for (`level`, a target) and its rule. Raises BadInput before anything is written; HarnessError when the
    disk fails, OutOfMemory (the run resumes).
    """
    if stop is None:
        with StopFlag() as own:
            return run(config, overrides=overrides, stop=own, search=search)
    config = resolve(config)
    folder = run_folder(config)
    world = distributed.join(
        config.device, wait_seconds=config.join_seconds, collective_seconds=config.collective_seconds, stop=stop
    )
    with ExitStack() as cleanup:
        cleanup.push(_part_on_error(world))
        finished = is_finished(folder)
        distributed.agree(_intent(config, finished), world)
        if finished:
            with closing(build(replace(config.data, decoder=None), config.recipe, torch.device("cpu"))) as data:
                return _already_finished(config, folder, data.fingerprint, world)
        machine = prepare(config, world.local_rank)
        if world.is_main:
            for line in filter(None, [*remarks(config), remark(config.model.name)]):
                print(f"harness: {line}", file=sys.stderr)
        seed_everything(config.seed)
        data = build(config.data, config.recipe, machine.device)
        cleanup.callback(data.close)
        distributed.agree({"data set": data.fingerprint[:12]}, world)
        _check_fits(
            config, data, world.size, target_of(config) if search is None else Target.from_dict(search["level"])
        )
        model = build_network(config.model.name, classes=data.classes, **config.model.kwargs)
        bills = Bills(model)
        bill = bills.at(config.data.resolution)
        bills.foresee(config.recipe, config.data.resolution)
        writer, open_to_us = _claim(folder, world, cleanup)
        if not open_to_us:
            return _already_finished(config, folder, data.fingerprint, world)
        begun = checkpoint.load(folder, world)
        cleanup.push(_say_why_it_stays_open(config, folder, writer))
        data.start(world_size=world.size)  # before progress, mirror and heartbeat start threads
        if writer is not None:
            stretch = segment(device_name=machine.name, world_size=world.size, threads=torch.get_num_threads())
            writer.open(config=recorded(config), segment=stretch, overrides=portable(overrides))
        training = Training(config, folder, machine, world, data, model, bills, writer, stop)
        cleanup.callback(training.display.close)
        _warn_of_small_batchnorm(training)
        if world.rank > 0:
            seed_everything(keyed_seed("rank", config.seed, world.rank))  # dropout must not repeat rank 0's masks
        checkpoint.restore(training, begun)
        training.tracker = _tracker(config, folder, world, training.position.images)
        cleanup.callback(training.tracker.close)
        outcome, diverged_at_step, remedy = train(training)
        if outcome == "interrupted":
            _leave_interrupted(training)
        elif writer is not None:
            summary = summarise(training, bill, outcome=outcome, diverged_at_step=diverged_at_step)
            if search is not None:
                summary |= {"kind": "search", "search": search}
            writer.finish(summary)
            training.tracker.finish(summary, folder)
        if remedy:
            training.display.say(remedy)  # once the record is sealed: what is said decides nothing
        training.display.say(f"{outcome.replace('_', ' ')}: {folder}")
        return Result(outcome, folder)


def _intent(config: Config, finished: bool) -> dict[str, str]:
    """What every process of a run must be about to do."""
    source = source_commit()
    version = f"{source['commit']}{' with changes' if source['dirty'] else ''}, torch {torch.__version__}"
    return {
        "run": f"{config.model.name} {run_id(config)}",
        "code": version,
        "record": "finished" if finished else "open",
    }


def _part_on_error(world: distributed.World) -> Callable[[object, object, object], None]:
    """An exit that leaves the others where this process failed: they must not wait for it."""

    def part(error: object, _value: object, _trace: object) -> None:
        if error is not None and not (isinstance(error, type) and issubclass(error, BadInput)):
            distributed.lose(world)

    return part


def _claim(folder: Path, world: distributed.World, cleanup: ExitStack) -> tuple[RunWriter | None, bool]:
    """Rank 0's writer, holding the run's lock, and whether there is still something to do, on every rank.

    Raises RunLocked on every rank when another process is writing the run.
    """
    writer, fresh, refusal = None, True, None
    if world.is_main:
        try:
            writer = RunWriter(folder)
            cleanup.callback(writer.close)
            fresh = writer.claim()
        except HarnessError as error:
            refusal = error
    distributed.share_refusal(refusal, world)
    return writer, all(distributed.gather_objects(fresh, world))


def train(training: Training) -> tuple[str, int | None, str]:
    """The outcome, the step at which the loss stopped being a number, and what to do about a failure.

    Raises OutOfMemory where the memory does not suffice, and any other error of the training as it is.
    """
    writer = training.writer
    try:
        return Loop(training).run(), None, ""
    except Diverged as error:
        return "diverged", error.step, str(error)
    except Stopped:
        if writer is not None:
            writer.state("interrupted", **checkpoint.facts(training))
        return "interrupted", None, ""
    except Exception as error:
        short = _short_of_memory(error)
        last_line = f"{type(error).__name__}: {str(error).strip().splitlines()[-1] if str(error) else ''}"
        if writer is not None:
            with suppress(HarnessError):  # the disk may be what failed; the error itself is on its way up
                why = OUT_OF_MEMORY if short else last_line
                writer.state("failed", **{**checkpoint.facts(training), "error": why})
        if short:
            raise OutOfMemory(f"{training.folder}: {OUT_OF_MEMORY}") from error
        raise


def _warn_of_small_batchnorm(training: Training) -> None:
    """Spread over many processes, a network with BatchNorm is another network than on one."""
    normed = any(isinstance(module, torch.nn.modules.batchnorm._BatchNorm) for module in training.model.modules())
    if normed and training.batchnorm_images < SMALL_BATCHNORM_IMAGES:
        training.display.say(
            f"note: BatchNorm sees {training.batchnorm_images} images at a time, fewer than {SMALL_BATCHNORM_IMAGES}; "
            "use fewer processes or micro-batches, or sync_batchnorm=true on GPUs"
        )


def _leave_interrupted(training: Training) -> None:
    """Nobody leaves before rank 0 has asked for a requeue; and the signal may have come to another rank first.

    All is saved by now: another that was told a second time to end, and has left, takes nothing from the run.
    """
    training.tracker.interrupted()
    heard = [training.stop.signal_name]
    with suppress(RuntimeError):
        heard = distributed.gather_objects(training.stop.signal_name, training.world)
    if training.world.is_main:
        training.stop.signal_name = next((name for name in heard if name is not None), None)
        training.stop.requeue_if_running()
    with suppress(RuntimeError):
        distributed.barrier(training.world)


def _say_why_it_stays_open(
    config: Config, folder: Path, writer: RunWriter | None
) -> Callable[[object, object, object], None]:
    """An exit for what ends before its first step: another program has the memory, or the checkpoint fits no more."""

    def leave_open(_kind: object, error: object, _trace: object) -> None:
        short = isinstance(error, Exception) and not isinstance(error, HarnessError) and _short_of_memory(error)
        if writer is not None and (short or isinstance(error, BadInput)):
            known = {"model": config.model.name, "seed": config.seed, "planned_epochs": config.budget.epochs}
            with suppress(HarnessError):
                writer.fail(OUT_OF_MEMORY if short else str(error), **known)
        if short:
            raise OutOfMemory(f"{folder}: {OUT_OF_MEMORY}")  # the exit's own error names the one it came from

    return leave_open


def _short_of_memory(error: Exception) -> bool:
    """Whether memory is what this process lacks, or another of this run, to which the connection broke; tells them."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError) or "DefaultCPUAllocator" in str(error):
        distributed.tell(OUT_OF_MEMORY)
        return True
    return distributed.told() == OUT_OF_MEMORY


def _already_finished(config: Config, folder: Path, fingerprint: str, world: distributed.World) -> Result:
    """The run's name holds that of the data set, not its content: a record of other data is not this run's.

    A W&B agent that asks for it gets it: its run would count as crashed.
    """
    done = read_run(folder)
    if done.fingerprint != fingerprint:
        raise BadInput(f"{folder} holds this run on other data; set another out=, or data.root= to the data it was on")
    outcome = done.outcome
    print(f"{folder}: finished already ({outcome.replace('_', ' ')}), skipped", file=sys.stderr)
    if agents_run() is not None:
        tracker = _tracker(config, folder, world, max((row.images for row in done.curve), default=0))
        with closing(tracker):
            tracker.finish(done.summary, folder)
    return Result(outcome, folder)


def _check_fits(config: Config, data: ImageData, world_size: int, level: Target | None) -> None:
    """What can only be checked once the data set is known."""
    if config.recipe.batch_size > data.train_images:
        raise BadInput(
            f"recipe.batch_size={config.recipe.batch_size} is larger than the training set of {data.train_images} "
            "images: lower it"
        )
    if data.classes < 2:
        raise BadInput(f"data.classes={data.classes}: one class is no question; take 2 or more")
    if level is not None:
        level.says_something(data.classes)
    steps = steps_per_epoch(data.train_images, config.recipe.batch_size, world_size)
    if steps == 0:
        raise BadInput(f"an epoch of {data.train_images} images holds no batch of 2 or more images per process")
    if config.recipe.batch_size < 2 * world_size * config.recipe.accumulation_steps:
        raise BadInput(
            f"recipe.batch_size={config.recipe.batch_size} over {world_size} processes and "
            f"{config.recipe.accumulation_steps} micro-batches leaves under 2 images each; raise it"
        )
    if config.sync_batchnorm and world_size > 1 and config.device != "cuda":
        raise BadInput("sync_batchnorm=true: torch has it for GPUs only; use device=cuda or leave it off")
    if config.evaluations_per_epoch > steps:
        raise BadInput(
            f"evaluations_per_epoch={config.evaluations_per_epoch}, but an epoch has {steps} steps; lower it"
        )


def portable(overrides: Sequence[str]) -> list[str]:
    """Overrides without the paths and devices of the machine they were given on; of a target file only its name."""
    local = ("out=", "data.root=", "device=", "hydra/", "threads=", "tracking")
    kept = [override for override in overrides if not override.lstrip("+~").startswith(local)]
    return [
        _named(override) if override.lstrip("+").startswith("target=") and "/" in override else override
        for override in kept
    ]


def _named(override: str) -> str:
    return f"target={Path(unquoted(override.partition('=')[2])).name}"


def _tracker(config: Config, folder: Path, world: distributed.World, images: int) -> Tracker:
    """The mirror of the run, on rank 0; elsewhere one that does nothing. images: seen so far."""
    if not world.is_main:
        return Tracker()
    whole = as_recorded(config)
    return start(config.tracking, run_id=run_id(config), folder=folder, config=whole, resume_images=images)
