"""The words of the command line -> the runs they name, each composed once, and where they are to run."""

import copy
import itertools
import sys
from pathlib import Path
from typing import Any

from hydra.core.override_parser.types import Glob, Transformer
from omegaconf import DictConfig, open_dict

from harness.measure.config.compose import (
    Composed,
    base,
    compose,
    compose_node,
    nearest,
    options,
    run_folder,
    take_target_file,
    without_numbers,
)
from harness.measure.config.words import PATHS, as_typed, parsed, quoted, refuse_without_effect
from harness.measure.sweep.job import Job
from harness.record.errors import BadInput


def jobs_of(overrides: list[str], *, multirun: bool) -> tuple[list[Job], DictConfig]:
    """Every run that was asked for, once, all composed before the first starts, and the launcher's config node.

    Raises BadInput for a word that is not Hydra's or has no effect here, a config that is none, a sweep without -m.
    """
    known: Composed = {}
    words, launcher = words_of(overrides, multirun=multirun, known=known)
    jobs: dict[Path, Job] = {}
    for job in words:
        config = compose(job, known=known)
        jobs.setdefault(run_folder(config), Job(job, config))
    if twice := len(words) - len(jobs):
        print(f"harness: {twice} of {len(words)} runs are named twice; each is done once", file=sys.stderr)
    return list(jobs.values()), launcher


def words_of(
    overrides: list[str], *, multirun: bool, known: Composed | None = None
) -> tuple[list[list[str]], DictConfig]:
    """The overrides of every run, not yet composed, and the launcher's config node.

    known: what was composed on the way is left here, for `compose`.
    Raises BadInput for several values without -m, and for a word without effect.
    """
    words = as_typed(overrides)
    refuse_without_effect(words)
    asked = [parsed(word) for word in words]
    for override, word in zip(asked, words, strict=True):
        if override.is_sweep_override() and (not multirun or override.key_or_group == "hydra/launcher"):
            raise BadInput(one_is_asked(word))
    named = {override.key_or_group for override in asked}
    jobs: list[list[str]] = []
    launchers = []
    for chosen in expand([word for word in words if _is_experiment(word)]):
        left = iter(chosen)
        mine = [next(left) if _is_experiment(word) else word for word in words]
        fixed = [word for word in mine if not parsed(word).is_sweep_override()]
        same = list(without_numbers(take_target_file(fixed)[0]))
        node = compose_node(same, with_hydra=True)
        hydra = node.hydra
        launchers.append(hydra.launcher)
        if known is not None:
            rest = copy.deepcopy(node)
            with open_dict(rest):
                del rest["hydra"]
            known[tuple(_not_hydras(same))] = base(rest)
        swept: dict[str, Any] = hydra.sweeper.get("params") or {}  # of an experiment, e.g. +experiment=remeasure
        if not multirun and swept:
            raise BadInput(f"this experiment is a sweep over {', '.join(swept)}: add -m")
        jobs += expand([*mine, *(f"{key}={values}" for key, values in swept.items() if key not in named)])
    return [_not_hydras(job) for job in jobs], launchers[0]


def _not_hydras(words: list[str]) -> list[str]:
    return [word for word in words if not word.lstrip("+~").startswith("hydra")]


def one_is_asked(word: str) -> str:
    """What to say of a sweep where one run, or one place to run at, is asked for."""
    key, _, value = word.partition("=")
    if key.lstrip("+") == "hydra/launcher":
        return f"{word}: a sweep runs in one place; give one launcher"
    return f"{word}: several values are a sweep: add -m. A value that holds a comma is quoted: \"{key}='{value}'\""


def expand(overrides: list[str]) -> list[list[str]]:
    """Every combination of comma-separated values, the last one varying fastest."""
    return [list(job) for job in itertools.product(*map(_choices, overrides))]


def _choices(word: str) -> list[str]:
    override = parsed(word)
    if not override.is_sweep_override():
        return [word]
    key, value = override.get_key_element(), override.value()
    if override.is_interval_sweep():
        raise BadInput(f"{word}: an interval names no runs; give values between commas, or range(FIRST,END,STEP)")
    if override.key_or_group in PATHS:  # Hydra's own text of a value escapes what a path holds
        texts = [str(getattr(one, "text", one)) for one in override.sweep_iterator(Transformer.identity)]
        return [f"{key}={quoted(text)}" for text in texts]
    if not isinstance(value, Glob):
        return [f"{key}={one}" for one in override.sweep_string_iterator()]
    names = options(override.key_or_group)
    if not (chosen := value.filter(names)):
        raise BadInput(f"{word}: no such {override.key_or_group}{nearest(''.join(value.include), names)}")
    return [f"{key}={name}" for name in chosen]


def _is_experiment(word: str) -> bool:
    return word.lstrip("+").startswith("experiment=")
