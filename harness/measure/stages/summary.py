"""run.json: what a finished run says of itself."""

from dataclasses import asdict
from typing import Any

import torch

from harness.measure.config.compose import run_id
from harness.measure.training.state import Training
from harness.record.protocol import PROTOCOL_VERSION
from harness.record.target import unconfirmed


def summarise(training: Training, *, outcome: str, diverged_at_step: int | None) -> dict[str, Any]:
    """The keys of `RUN_KEYS` of the run folder, without the hashes. The bill is per image at the base resolution."""
    config, data, position = training.config, training.data, training.position
    bill = training.bills.at(config.data.resolution)
    totals: dict[str, Any] = {"step": position.step, "images": position.images, **position.ledger.as_dict()}
    for name in ("train_seconds", "eval_seconds", "data_wait_seconds", "energy_joules"):
        value = getattr(position, name)
        if value is not None:
            totals[name] = round(value, 3)
    return {
        "protocol_version": PROTOCOL_VERSION,
        "kind": "calibration" if config.calibration else "measured",
        "run_id": run_id(config),
        "model": config.model.name,
        "title": config.model.title,
        "published": config.model.published,
        "fidelity": asdict(config.model.fidelity),
        "recipe": config.recipe.name,
        "seed": config.seed,
        "dataset": {
            "name": data.name,
            "fingerprint": data.fingerprint,
            "subset": data.subset,
            "train_images": data.train_images,
            "evaluation_images": data.evaluation_images,
            "classes": data.classes,
            "resolution": config.data.resolution,
            "notes": data.notes,
        },
        "target": None if training.target is None else training.target.as_dict(),
        "planned_epochs": config.budget.epochs,
        "declared": config.declared,
        "evaluations_per_epoch": config.evaluations_per_epoch,
        "batch_size": config.recipe.batch_size,
        "outcome": outcome,
        "unconfirmed": [] if training.target is None else unconfirmed(training.curve, training.target),
        "diverged_at_step": diverged_at_step,
        "bill": {
            **bill.as_recorded(),
            **({} if bill.recomputed_macs == 0 else {"recomputed_macs": bill.recomputed_macs}),
        },
        "totals": totals,
        "hardware": {
            "device": training.machine.device.type,
            "device_name": training.machine.name,
            "world_size": training.world.size,
            "batchnorm_images": training.batchnorm_images,
            "precision": training.machine.precision,
            "memory_format": "channels_last" if training.machine.channels_last else "contiguous",
            "compile": config.compile,
            "cuda_graph": config.cuda_graph,
            "gpu_alone": None if position.energy_joules is None else not position.gpu_shared,
            "threads": torch.get_num_threads(),
        },
    }
