"""The words of the command line -> the runs they name, each composed once, and where they are to run."""

import itertools
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig

from harness.measure.config.compose import compose, compose_node, take_target_file
from harness.measure.sweep.job import Job
from harness.record.errors import BadInput


def jobs_of(overrides: list[str], *, multirun: bool) -> tuple[list[Job], DictConfig]:
    """Every run that was asked for, all composed before the first starts, and the launcher's config node.

    Raises BadInput for a word that is not Hydra's, a config that is none, a sweep without -m.
    """
    words, launcher = words_of(overrides, multirun=multirun)
    return [Job(job, compose(job)) for job in words], launcher


def words_of(overrides: list[str], *, multirun: bool) -> tuple[list[list[str]], DictConfig]:
    """The overrides of every run, not yet composed, and the launcher's config node."""
    parsed = _parse(overrides)
    fixed = [text for override, text in zip(parsed, overrides, strict=True) if not override.is_sweep_override()]
    hydra = compose_node(take_target_file(fixed)[0], with_hydra=True).hydra
    swept: dict[str, Any] = hydra.sweeper.get("params") or {}  # of an experiment, e.g. +experiment=remeasure
    if not multirun and swept:
        raise BadInput(f"this experiment is a sweep over {', '.join(swept)}: add -m")
    named = {override.get_key_element() for override in parsed}
    sweep = [f"{key}={values}" for key, values in swept.items() if key not in named]
    words = [*overrides, *sweep]
    jobs = expand(words) if multirun else [words]
    return [[word for word in job if not word.lstrip("+~").startswith("hydra")] for job in jobs], hydra.launcher


def expand(overrides: list[str]) -> list[list[str]]:
    """Every combination of comma-separated values, the last one varying fastest."""
    choices = [
        [f"{override.get_key_element()}={value}" for value in override.sweep_string_iterator()]
        if override.is_sweep_override()
        else [text]
        for override, text in zip(_parse(overrides), overrides, strict=True)
    ]
    return [list(job) for job in itertools.product(*choices)]


def _parse(overrides: list[str]) -> list[Any]:
    try:
        return list(OverridesParser.create().parse_overrides(overrides))
    except HydraException as error:
        raise BadInput(str(error).splitlines()[0]) from error
