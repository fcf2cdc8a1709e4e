"""What a config must satisfy before anything is loaded; each defect is one line that names the remedy."""

from dataclasses import is_dataclass
from typing import Any, get_type_hints

from harness.measure.config.cards import what_it_lacks
from harness.measure.config.level import target_of
from harness.measure.config.schema import Config
from harness.measure.config.tracking import refuse_what_wandb_would
from harness.measure.config.words import PATHS
from harness.models import ZOO
from harness.record.checked import path_name, published_date, seed_number
from harness.record.errors import BadInput


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
        raise BadInput(f"model.name={config.model.name}: no such architecture; {what_it_lacks(config.model.name)}")
    _within_limits(config, "")
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
    if config.recipe.optimizer == "rmsprop" and not (config.recipe.epsilon or 0) > 0:
        raise BadInput(
            f"recipe.epsilon={config.recipe.epsilon}: recipe.optimizer=rmsprop needs it above 0 (EfficientNet has "
            "0.001, MobileNet 1.0)"
        )
    if config.recipe.optimizer == "nesterov" and config.recipe.momentum == 0:
        raise BadInput("recipe.momentum=0: recipe.optimizer=nesterov needs it above 0; raise it or use sgd")
    if config.recipe.accumulation_steps > config.recipe.batch_size:
        raise BadInput("recipe.accumulation_steps is above recipe.batch_size: a micro-batch would be empty")
    for name in ("mean", "std"):
        if len(getattr(config.data, name)) not in (1, 3):
            raise BadInput(f"data.{name}: give one value, or three (red, green, blue)")
    if min(config.data.std) <= 0:
        raise BadInput("data.std: every value must be above 0")


def _within_limits(part: Any, prefix: str) -> None:
    """Raise BadInput for the first value outside the limits at its field."""
    for name, hint in get_type_hints(type(part), include_extras=True).items():
        value = getattr(part, name)
        for limit in getattr(hint, "__metadata__", ()):
            if not limit.holds(value):
                raise BadInput(f"{prefix}{name}={value}: {limit.words}")
        if is_dataclass(value):
            _within_limits(value, f"{prefix}{name}.")


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
