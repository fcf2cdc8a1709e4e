"""One measured run, every stage in order: from a config to a sealed run folder."""

from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from typing import Any

import torch

from harness.measure.bill.phases import Bills
from harness.measure.config.compose import recorded, run_folder
from harness.measure.config.level import target_of
from harness.measure.config.schema import Config
from harness.measure.config.words import portable
from harness.measure.data.keyed import keyed_seed
from harness.measure.data.sources import build
from harness.measure.machine import distributed
from harness.measure.machine.device import prepare, resolve, seed_everything
from harness.measure.machine.signals import StopFlag
from harness.measure.stages.ending import Result, conclude, reason_left, train
from harness.measure.stages.fits import check_fits, warn_of_small_batchnorm
from harness.measure.stages.opening import already_finished, claim, intent, say_remarks, tracker_of
from harness.measure.training import checkpoint
from harness.measure.training.state import Training
from harness.models import build as build_network
from harness.record.folders.folder import is_finished
from harness.record.provenance import segment
from harness.record.target import Target


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
    level = target_of(config) if search is None else Target.from_dict(search["level"])
    world = distributed.join(
        config.device, wait_seconds=config.join_seconds, collective_seconds=config.collective_seconds, stop=stop
    )
    with ExitStack() as cleanup:
        cleanup.enter_context(distributed.lost_on_error(world))
        finished = is_finished(folder)
        distributed.agree(intent(config, finished), world)
        if finished:
            with closing(build(replace(config.data, decoder=None), config.recipe, torch.device("cpu"))) as data:
                return already_finished(config, folder, data.fingerprint, world)
        machine = prepare(config, world.local_rank)
        if world.is_main:
            say_remarks(config)
        seed_everything(config.seed)
        data = cleanup.enter_context(closing(build(config.data, config.recipe, machine.device)))
        decoder = str(data.notes.get("decoder"))
        distributed.agree({"data set": data.fingerprint[:12], "decoder": decoder}, world)
        check_fits(config, data, world.size, level)
        model = build_network(config.model.name, classes=data.classes, **config.model.kwargs)
        bills = Bills(model)
        bills.count_phases(config.recipe, config.data.resolution)
        writer, open_to_us = claim(folder, world, cleanup)
        if not open_to_us:
            return already_finished(config, folder, data.fingerprint, world)
        begun = checkpoint.load(folder, world)
        cleanup.enter_context(reason_left(config, folder, writer))
        data.start(world_size=world.size)  # before progress, mirror and heartbeat start threads
        if writer is not None:
            stretch = segment(device_name=machine.name, world_size=world.size, threads=torch.get_num_threads())
            writer.open(config=recorded(config), segment=stretch, overrides=portable(overrides))
        training = Training(config, folder, machine, world, data, model, bills, writer, stop)
        cleanup.callback(training.display.close)
        warn_of_small_batchnorm(training)
        if world.rank > 0:
            seed_everything(keyed_seed("rank", config.seed, world.rank))  # dropout must not repeat rank 0's masks
        checkpoint.restore(training, begun)
        del begun  # a copy of all weights and momenta in the host's memory
        training.tracker = tracker_of(config, folder, world, training.position.images)
        cleanup.callback(training.tracker.close)
        return conclude(training, train(training), search)
