"""Before the first step: what all processes of a run must agree on, whose run it is, and whether it is done already."""

import sys
from contextlib import ExitStack, closing
from dataclasses import asdict
from pathlib import Path

import torch

from harness.measure.bill.report import remark
from harness.measure.config.compose import as_recorded, run_id
from harness.measure.config.schema import Config
from harness.measure.config.tracking import agents_run
from harness.measure.config.validate import remarks
from harness.measure.machine import device, distributed
from harness.measure.mirror.journal import Tracker, start
from harness.measure.stages.ending import Result
from harness.record.errors import BadInput, HarnessError
from harness.record.folders.folder import read_run
from harness.record.folders.writer import RunWriter
from harness.record.provenance import source_commit


def intent(config: Config, finished: bool) -> dict[str, str]:
    """What every process of a run must be about to do: the same run by the same code, and see it finished or not."""
    source = source_commit()
    version = f"{source['commit']}{' with changes' if source['dirty'] else ''}, torch {torch.__version__}"
    return {
        "run": f"{config.model.name} {run_id(config)}",
        "code": version,
        "record": "finished" if finished else "open",
    }


def already_finished(config: Config, folder: Path, fingerprint: str, world: distributed.World) -> Result:
    """The result of a run that has its record. A W&B agent that asks for it gets it: its run would count as crashed.

    Raises BadInput where the record is of other data: the run's name holds that of the data set, not its content.
    """
    done = read_run(folder)
    if done.fingerprint != fingerprint:
        raise BadInput(f"{folder} holds this run on other data; set another out=, or data.root= to the data it was on")
    print(f"{folder}: finished already ({done.outcome.replace('_', ' ')}), skipped", file=sys.stderr)
    if agents_run() is not None:
        images = max((row.images for row in done.curve), default=0)
        with closing(tracker_of(config, folder, world, images)) as tracker:
            tracker.finish(done.summary, folder)
    return Result(done.outcome, folder)


def say_remarks(config: Config) -> None:
    """Print what may be asked and is unwise or slow, and where a card's numbers are another network's; a line each."""
    for line in filter(None, [*remarks(config), remark(config.model.name), device.remark(config)]):
        print(f"harness: {line}", file=sys.stderr)


def claim(folder: Path, world: distributed.World, cleanup: ExitStack) -> tuple[RunWriter | None, bool]:
    """Rank 0's writer, holding the run's lock, and whether there is still something to do, on every rank.

    Raises RunLocked on every rank when another process is writing the run.
    """
    writer, unfinished, refusal = None, True, None
    if world.is_main:
        try:
            writer = RunWriter(folder)
            cleanup.callback(writer.close)
            unfinished = writer.claim()
        except HarnessError as error:
            refusal = error
    distributed.share_refusal(refusal, world)
    return writer, all(distributed.gather_objects(unfinished, world))


def tracker_of(config: Config, folder: Path, world: distributed.World, images: int) -> Tracker:
    """The mirror of the run, on rank 0; elsewhere one that does nothing. images: seen so far."""
    return start(
        asdict(config.tracking),
        run_id=run_id(config),
        folder=folder,
        config=as_recorded(config),
        resume_images=images,
        rank=world.rank,
    )
