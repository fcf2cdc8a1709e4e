"""What a config must satisfy before anything is loaded; each defect is one line that names the remedy."""

import difflib
from collections.abc import Sequence
from typing import Any

from harness.measure.config.level import target_of
from harness.measure.config.schema import Config
from harness.measure.config.tracking import refuse_what_wandb_would
from harness.measure.config.words import PATHS
from harness.models import ZOO
from harness.record.checked import path_name, published_date, seed_number
from harness.record.errors import BadInput

CHOICES: dict[str, Sequence[str]] = {
    "recipe.optimizer": ("sgd", "nesterov", "rmsprop", "adamw"),
    "recipe.schedule": ("step", "exponential", "cosine", "onecycle", "constant"),
    "recipe.average": ("none", "ema"),
    "recipe.train_transform": ("none", "random_crop", "resized_crop", "shift"),
    "device": ("auto", "cpu", "cuda"),
    "precision": ("auto", "fp32", "tf32", "bf16", "fp16"),
    "memory_format": ("auto", "channels_last", "contiguous"),
    "fused_optimizer": ("auto", "true", "false"),
}
POSITIVE = [
    "budget.epochs",
    "budget.utilisation",
    "recipe.epochs",
    "recipe.batch_size",
    "recipe.accumulation_steps",
    "recipe.lr",
    "recipe.schedule_factor",
    "recipe.schedule_every_epochs",
    "data.resolution",
    "evaluations_per_epoch",
    "log_every_steps",
    "checkpoint_minutes",
    "join_seconds",
    "collective_seconds",
]
NOT_NEGATIVE = [
    "seed",
    "recipe.momentum",
    "recipe.weight_decay",
    "recipe.warmup_epochs",
    "recipe.label_smoothing",
    "recipe.gradient_clip_norm",
    "recipe.mixup_alpha",
    "model.auxiliary_weight",
]
BELOW_ONE = ("recipe.momentum",)
POSITIVE_OR_NONE = (
    "data.images_per_class",
    "data.evaluation_images_per_class",
    "threads",
    "budget.max_gpu_hours",
)


def remarks(config: Config) -> list[str]:
    """What may be asked and is unwise, a line each: a card names the recipes that do not suit its architecture."""
    own = config.model.recipes.get(config.recipe.name) or {}
    if "unsuited" not in own:
        return []
    return [
        f"recipe={config.recipe.name} does not suit {config.model.name}: {own['unsuited']}; "
        f"its own is recipe={config.model.default_recipe}"
    ]


def validate(config: Config) -> None:
    """Raise BadInput for the first value that cannot be used."""
    if config.model.name not in ZOO:
        near = difflib.get_close_matches(config.model.name, ZOO, n=3, cutoff=0.4)
        hint = f"did you mean {', '.join(near)}?" if near else "add its constructor to models/__init__.py"
        raise BadInput(f"model.name={config.model.name}: no such architecture in models.ZOO; {hint}")
    for name, allowed in CHOICES.items():
        if (value := _get(config, name)) not in allowed:
            raise BadInput(f"{name}={value}: use one of {', '.join(allowed)}")
    for name in POSITIVE:
        if not _get(config, name) > 0:
            raise BadInput(f"{name}={_get(config, name)}: it must be above 0")
    for name in NOT_NEGATIVE:
        if not _get(config, name) >= 0:
            raise BadInput(f"{name}={_get(config, name)}: it must not be negative")
    for name in BELOW_ONE:
        if not _get(config, name) < 1:
            raise BadInput(f"{name}={_get(config, name)}: it must be below 1")
    for name in POSITIVE_OR_NONE:
        if (value := _get(config, name)) is not None and not value > 0:
            raise BadInput(f"{name}={value}: it must be above 0, or null for no limit")
    for name in PATHS:
        if _get(config, name) == "":
            raise BadInput(f"{name}= is empty: give a folder, or leave the word out")
    if config.tracking.name == "wandb":
        refuse_what_wandb_would(vars(config.tracking))
    seed_number(config.seed, "seed")
    if path_name(config.data.name, "data.name") != config.data.name:
        raise BadInput(f"data.name={config.data.name}: it names a folder, so it has no slash")
    published_date(config.model.published, "model.published")
    _validate_classes(config.data.classes)
    _validate_target(config)
    _validate_resolutions(config)
    _validate_plan(config)
    if not config.recipe.label_smoothing <= 1:
        raise BadInput(f"recipe.label_smoothing={config.recipe.label_smoothing}: it must be at most 1")
    if (decay := config.recipe.average_decay) is not None and not 0 < decay < 1:
        raise BadInput(f"recipe.average_decay={decay}: it must be above 0 and below 1, or null for no upper limit")
    if config.recipe.optimizer == "rmsprop" and not (config.recipe.epsilon or 0) > 0:
        raise BadInput(
            f"recipe.epsilon={config.recipe.epsilon}: recipe.optimizer=rmsprop needs it above 0 (EfficientNet has "
            "0.001, MobileNet 1.0)"
        )
    if config.recipe.optimizer == "nesterov" and config.recipe.momentum == 0:
        raise BadInput("recipe.momentum=0: recipe.optimizer=nesterov needs it above 0; raise it or use sgd")
    if config.recipe.accumulation_steps > config.recipe.batch_size:
        raise BadInput("recipe.accumulation_steps is above recipe.batch_size: a micro-batch would be empty")
    if config.data.workers is not None and config.data.workers < 0:
        raise BadInput(f"data.workers={config.data.workers}: it must not be negative; null = as many as pay here")
    if not 0 < config.data.crop_ratio <= 1:
        raise BadInput(f"data.crop_ratio={config.data.crop_ratio}: it must be above 0 and at most 1")
    for name in ("mean", "std"):
        if len(getattr(config.data, name)) not in (1, 3):
            raise BadInput(f"data.{name}: give one value, or three (red, green, blue)")
    if min(config.data.std) <= 0:
        raise BadInput("data.std: every value must be above 0")


def _validate_plan(config: Config) -> None:
    """What the recipe begins must begin, and change something, within the planned epochs."""
    epochs, warmup = config.budget.epochs, config.recipe.warmup_epochs
    if warmup > epochs:
        raise BadInput(
            f"recipe.warmup_epochs={warmup:g} is longer than the plan, budget.epochs={epochs}: the run would end "
            "before recipe.lr is reached; shorten it or raise budget.epochs"
        )
    now, begun = config.data.resolution, -1
    for phase in sorted(config.recipe.resolution_schedule, key=lambda phase: phase.from_epoch):
        where = f"recipe.resolution_schedule: the phase from epoch {phase.from_epoch} at {phase.resolution} pixels"
        if not 0 <= phase.from_epoch < epochs:
            raise BadInput(f"{where} begins outside the plan of {epochs} epochs; leave it out or raise budget.epochs")
        if phase.from_epoch == begun or (phase.from_epoch > 0 and phase.resolution == now):
            raise BadInput(f"{where} changes nothing; leave it out")
        now, begun = phase.resolution, phase.from_epoch


def _validate_classes(wanted: Any) -> None:
    """A number of classes, a list of their names, or None for all."""
    if isinstance(wanted, list):
        if not wanted or not all(isinstance(name, str) for name in wanted):
            raise BadInput(f"data.classes={wanted}: give class names as [name,name,...], a number, or null for all")
        twice = sorted({name for name in wanted if wanted.count(name) > 1})
        if twice:
            raise BadInput(f"data.classes names {', '.join(twice)} twice: name each class once")
    elif wanted is not None and (not isinstance(wanted, int) or isinstance(wanted, bool) or wanted <= 0):
        raise BadInput(f"data.classes={wanted}: give a number above 0, class names as [name,name,...], or null for all")


def _get(config: Config, dotted: str) -> Any:
    value: Any = config
    for part in dotted.split("."):
        value = getattr(value, part)
    return value


def _validate_target(config: Config) -> None:
    level = config.target
    if (level.metric is None) != (level.value is None):
        raise BadInput("target: give both target.metric and target.value, or target=none")
    if level.metric is None and (level.also.top1, level.also.top5) != (None, None):
        raise BadInput("target.also: there is no level beside it; give target=NAME, or target.metric and target.value")
    if config.calibration and level.metric is not None:
        raise BadInput("calibration=true: such a run sets a level and stops at none; add target=none")
    target_of(config)


def _validate_resolutions(config: Config) -> None:
    wanted = [("data.resolution", config.data.resolution)]
    wanted += [("recipe.resolution_schedule", phase.resolution) for phase in config.recipe.resolution_schedule]
    for name, resolution in wanted:
        if resolution < config.model.min_resolution:
            raise BadInput(
                f"{name}={resolution}: too small for {config.model.name}, which needs {config.model.min_resolution} "
                "or more; raise it or choose another model"
            )
