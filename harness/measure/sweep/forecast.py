"""What a run or a sweep would cost, and whether everything it needs is there. Starts nothing."""

import importlib.util
import shutil
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from harness.measure.bill.cache import bill_of, count_at_once
from harness.measure.bill.memory import FLOAT_BYTES, states_per_weight
from harness.measure.config.compose import run_folder, run_id
from harness.measure.config.gpus import GPUS
from harness.measure.config.level import target_of
from harness.measure.config.schema import Config
from harness.measure.data.protocol import ImageData
from harness.measure.data.sources import build
from harness.measure.machine.device import resolve
from harness.record.errors import BadInput, RecordError
from harness.record.folders.folder import Run, find_run_folders, is_finished, read_run
from harness.record.folders.sweep import queue
from harness.record.target import crossing_of
from harness.record.units import macs_to_flops

KNOWN_SIZES = {"imagenet": (1_281_167, 50_000, 1000)}
"""Training images, evaluation images and classes, to forecast on a machine where the data is not (FACTS of ILSVRC)."""


@dataclass(frozen=True)
class DataSize:
    """What is counted of a data set; fingerprint: None where the set is not here and its size is a known fact."""

    name: str
    train_images: int
    evaluation_images: int
    classes: int
    fingerprint: str | None = None


@dataclass(frozen=True)
class Forecast:
    """One run's forecast. basis: where the epochs come from; disk: while it runs.

    train_forward_macs: forward passes of training, what the study's unit counts; macs: all of training and evaluation.
    """

    run_id: str
    model: str
    seed: int
    forward_macs: int
    epochs: float
    basis: str
    train_forward_macs: int
    macs: int
    gpu_hours: float
    disk_bytes: int


def forecast(configs: Sequence[Config]) -> list[Forecast]:
    """A row for every run; finished ones cost nothing. Raises BadInput where the size of the data is not known."""
    sets = {key: _data_size(config) for key, config in _by_data(configs).items()}
    networks = {str(network): network for network in (_network(config, sets[str(config.data)]) for config in configs)}
    count_at_once(networks.values())
    bills = {key: bill_of(**network) for key, network in networks.items()}
    history: dict[Path, list[Run]] = {}
    rows = []
    for config in map(_resolved, configs):
        size = sets[str(config.data)]
        bill = bills[str(_network(config, size))]
        folder = run_folder(config).parent
        if folder not in history:
            history[folder] = _history(folder)
        epochs, basis = _expected_epochs(config, size, history[folder])
        images = int(epochs * size.train_images)
        evaluations = int(epochs * config.evaluations_per_epoch) * size.evaluation_images * bill.evaluation_macs
        finished = is_finished(run_folder(config))
        macs = 0 if finished else images * bill.spent_macs + evaluations
        speed = GPUS[config.budget.gpu].peak_flops_per_second * config.budget.utilisation
        rows.append(
            Forecast(
                run_id=run_id(config),
                model=config.model.name,
                seed=config.seed,
                forward_macs=bill.forward_macs,
                epochs=epochs,
                basis="finished" if finished else basis,
                train_forward_macs=0 if finished else images * bill.forward_macs,
                macs=macs,
                gpu_hours=macs_to_flops(macs) / speed / 3600,
                # two checkpoints for a moment: the new one is whole before the old one goes
                disk_bytes=0 if finished else 2 * (1 + states_per_weight(config.recipe)) * bill.params * FLOAT_BYTES,
            )
        )
    return rows


def _network(config: Config, size: DataSize) -> dict[str, Any]:
    """What `bill_of` needs to know."""
    model, resolution = config.model, config.data.resolution
    return {"name": model.name, "kwargs": model.kwargs, "classes": size.classes, "resolution": resolution}


def respect_cap(configs: Sequence[Config], rows: Sequence[Forecast]) -> None:
    """Raise BadInput when the forecast exceeds budget.max_gpu_hours."""
    budget, hours = configs[0].budget, sum(row.gpu_hours for row in rows)
    if budget.max_gpu_hours is not None and hours > budget.max_gpu_hours:
        raise BadInput(
            f"the forecast is {hours:.3g} {budget.gpu}-hours, above budget.max_gpu_hours={budget.max_gpu_hours:g}; "
            "raise the cap or sweep over less (`harness plan` shows the runs)"
        )


def missing(configs: Sequence[Config], launcher: str) -> list[str]:
    """What the runs name but this machine does not have; a line each."""
    lines = []
    for config in _by_data(configs).values():
        try:
            _load(config)
        except BadInput as error:
            lines.append(f"data: {error}")
    lines = list(dict.fromkeys(lines))  # several subsets of a set that is not here
    if launcher == "slurm":
        if shutil.which("sbatch") is None or queue() is None:
            lines.append(
                "launcher: no Slurm answers here (sbatch, squeue); plan on a login node, or hydra/launcher=local"
            )
        if importlib.util.find_spec("submitit") is None:
            lines.append("launcher: submitit is not installed: pip install -e '.[slurm]'")
    if configs[0].tracking.name == "wandb" and importlib.util.find_spec("wandb") is None:
        lines.append("tracking: wandb is not installed: pip install wandb, or tracking=none")
    return lines


def _resolved(config: Config) -> Config:
    try:
        return resolve(config)
    except BadInput:
        return config  # asks for a GPU that this machine lacks: the cluster's matter


def _load(config: Config) -> ImageData:
    return build(config.data, config.recipe, torch.device("cpu"))


def _by_data(configs: Sequence[Config]) -> dict[str, Config]:
    """A config for each set or subset, by all that is said of it."""
    return {str(config.data): config for config in configs}


def _data_size(config: Config) -> DataSize:
    try:
        data = _load(config)
    except BadInput:
        asked = config.data
        is_cut = (asked.classes, asked.images_per_class, asked.evaluation_images_per_class) != (None, None, None)
        if asked.name not in KNOWN_SIZES or is_cut:
            raise
        return DataSize(config.data.name, *KNOWN_SIZES[config.data.name])
    return DataSize(data.name, data.train_images, data.evaluation_images, data.classes, data.fingerprint)


def _history(folder: Path) -> list[Run]:
    """Finished runs below an architecture's folder."""
    try:
        folders = find_run_folders(folder)
        return [read_run(folder) for folder in folders if is_finished(folder)]
    except RecordError:
        return []  # none yet, or a damaged one, which `harness check` reports


def _is_alike(run: Run, config: Config, size: DataSize) -> bool:
    """True for a measured run that reached its level with this architecture, data, recipe and length of plan."""
    known = {"resolution": config.data.resolution, **{k: v for k, v in asdict(size).items() if v is not None}}
    asked = (config.model.name, config.recipe.name, config.budget.epochs)
    return (
        (run.summary["kind"], run.outcome) == ("measured", "reached")
        and (run.model, run.summary["recipe"], run.summary["planned_epochs"]) == asked
        and known.items() <= run.summary["dataset"].items()
    )


def _expected_epochs(config: Config, size: DataSize, history: Sequence[Run]) -> tuple[float, str]:
    """Epochs until the target, and why: measured here before (any seed), published, else the whole plan."""
    target, planned = target_of(config), float(config.budget.epochs)
    if target is None:
        return planned, "whole plan"
    measured = [
        run.curve[index].epoch
        for run in history
        if _is_alike(run, config, size)
        for index in [crossing_of(run.curve, target.metric, target.value, target.confirm)]
        if index is not None
    ]
    if measured:
        return min(planned, statistics.median(measured)), f"measured, n = {len(measured)}"
    if config.data.name in KNOWN_SIZES and config.model.expected_epochs is not None:
        return min(planned, config.model.expected_epochs), "published"
    return planned, "whole plan"
