"""Plans: what was asked of an architecture, and in which words two of them are told apart."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from harness.record.words import several

CALIBRATION = "calibration"
"""The kind of a run that sets a level and is used for nothing else (`calibration=true`)."""

PLANS = ("declared", "cheapest")
"""Which plan of an architecture stands in the trend: the experiment's (`declared=true`), or the one of least cost."""

_SAYS_NOTHING = re.compile(
    r"(?m)^  (?:epochs:.*|frozen: \[\]|ema_decay: 0\.0|average: none|average_decay: null|epsilon: null"
    r"|(?<=  average: none\n  )average_decay: .*"
    r"|(?<=  randaugment: false\n  )randaugment_magnitude: .*|(?<=  randaugment: true\n  )randaugment_magnitude: 9)\n"
)
_OF_RMSPROP = re.compile(r"(?m)^  epsilon: .*\n")


@dataclass(frozen=True, slots=True)
class Plan:
    """What was asked of an architecture, the seed apart: runs of one plan are repetitions of one another.

    settings: the `recipe:` block of config.yaml, so that two learning rates are two plans; the length stands in
    `planned_epochs`. Empty where nobody wrote one. world_size: processes that shared each batch. batchnorm_images:
    images that a BatchNorm saw at a time, which makes another network of one spread over many GPUs; None where the
    record is older than the question.
    """

    model: str
    recipe: str
    planned_epochs: int
    batch_size: int | None
    resolution: int
    kind: str
    settings: str
    world_size: int
    batchnorm_images: int | None

    @classmethod
    def of(cls, summary: dict[str, Any], settings: str) -> "Plan":
        """The plan of a finished run: its run.json and `settings`; raises KeyError where run.json lacks a part."""
        hardware = summary["hardware"]
        return cls(
            model=summary["model"],
            recipe=summary["recipe"],
            planned_epochs=summary["planned_epochs"],
            batch_size=summary["batch_size"],
            resolution=summary["dataset"]["resolution"],
            kind=summary["kind"],
            settings=settings,
            world_size=hardware.get("world_size", 1),
            batchnorm_images=hardware.get("batchnorm_images"),
        )

    def __str__(self) -> str:
        batch = self.batch_size or "unknown"
        words = f"recipe {self.recipe}, {self.planned_epochs} epochs, batch {batch}, {self.resolution} px"
        return words if self.kind == "measured" else f"{words}, {self.kind}"


def recipe_settings(config_text: str) -> str:
    """The `recipe:` block of a resolved config, its length and what it does not use apart; empty where it has none.

    Keys came and went with versions; where they say that something is off, records with and without are one plan.
    """
    block = re.search(r"^recipe:.*\n(?:[ \t#-].*\n|\n)*", config_text + "\n", re.MULTILINE)
    if block is None:
        return ""
    settings = _SAYS_NOTHING.sub("", block[0])
    return settings if "\n  optimizer: rmsprop\n" in settings else _OF_RMSPROP.sub("", settings)


def told_apart(plans: Sequence[Plan]) -> list[str]:
    """For each plan the settings that the same architecture has otherwise under the same recipe, as in `lr 0.05`.

    Mostly empty. The batch size is left out: `str(plan)` says it.
    """
    same: dict[tuple[str, str], list[Plan]] = {}
    for plan in plans:
        same.setdefault((plan.model, plan.recipe), []).append(plan)
    differing = []
    for plan in plans:
        alike = same[plan.model, plan.recipe]
        rivals = {p.settings for p in alike} - {plan.settings}
        own = _parsed(plan.settings) if rivals else {}
        others = [_parsed(text) for text in rivals]
        names = [n for n in own if n != "batch_size" and any(other.get(n) != own[n] for other in others)]
        words = [f"{name} {own[name]}" for name in names]
        if any(p.world_size != plan.world_size for p in alike):
            words.append(several(plan.world_size, "process"))
        if any(p.batchnorm_images != plan.batchnorm_images for p in alike if p.batch_size == plan.batch_size):
            words.append(f"{plan.batchnorm_images or 'unknown'} images per BatchNorm")
        differing.append(", ".join(words))
    return differing


def _parsed(settings: str) -> dict[str, Any]:
    import yaml

    block: dict[str, Any] = (yaml.safe_load(settings) or {}).get("recipe", {}) if settings else {}
    return block
