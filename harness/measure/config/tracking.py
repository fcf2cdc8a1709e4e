"""What W&B's own variables say where the config does not, and what W&B would refuse after the run has begun."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

from harness.record.errors import BadInput

FROM_ENVIRONMENT = {
    "project": "WANDB_PROJECT",
    "entity": "WANDB_ENTITY",
    "dir": "WANDB_DIR",
    "run_name": "WANDB_NAME",
    "group": "WANDB_RUN_GROUP",
    "tags": "WANDB_TAGS",
}
MODES = ("auto", "online", "offline")
MODES_OF_WANDB = {
    "online": "online",
    "run": "online",
    "offline": "offline",
    "dryrun": "offline",
    "disabled": "disabled",
}
"""The words of WANDB_MODE, and what each means."""

TAG_CHARACTERS = 64
PROJECT_CHARACTERS = 128
NOT_IN_A_PROJECT = "/\\#?%:"
"""Limits of W&B's own client (wandb/sdk/wandb_settings.py and its server's answer for tags)."""


def from_environment(said: Sequence[str] = ()) -> dict[str, Any]:
    """The options that W&B's variables name, without those that were `said` in the config's own words."""
    left = ((name, os.environ.get(variable)) for name, variable in FROM_ENVIRONMENT.items() if name not in said)
    return {name: tags_of(value) if name == "tags" else value for name, value in left if value}


def tags_of(words: str) -> list[str]:
    """Tags that stand in one word, between commas."""
    return [tag.strip() for tag in words.split(",") if tag.strip()]


def agents_run() -> str | None:
    """The id that a W&B agent made for the run it starts, None where none does. W&B then takes no other id."""
    return (os.environ.get("WANDB_RUN_ID") or None) if os.environ.get("WANDB_SWEEP_ID") else None


def refuse_several_under_an_agent(trackings: Sequence[str]) -> None:
    """Raise BadInput where one command of an agent starts several tracked runs: they would share its one run on W&B."""
    if len(trackings) > 1 and "wandb" in trackings and (given := agents_run()):
        raise BadInput(
            f"a W&B agent asked for its run {given}, and this command starts several: let the agent's sweep vary "
            "what they differ in, or set tracking=none"
        )


def refuse_what_wandb_would(options: Mapping[str, Any], remedy: str = "tracking.") -> None:
    """Raise BadInput for a project, tags or a mode that W&B refuses. remedy: how the user's words for them begin."""
    project, told = str(options["project"]), f"{remedy}project={options['project']}"
    if bad := [character for character in project if character in NOT_IN_A_PROJECT]:
        raise BadInput(f"{told}: W&B takes no {bad[0]} in a project; the team is {remedy}entity=")
    if not 0 < len(project) <= PROJECT_CHARACTERS:
        raise BadInput(f"{told}: W&B takes 1 to {PROJECT_CHARACTERS} characters")
    for tag in options["tags"]:
        if not 0 < len(tag) <= TAG_CHARACTERS:
            raise BadInput(f"{remedy}tags: W&B takes 1 to {TAG_CHARACTERS} characters, not {len(tag)}: {tag}")
    if options["mode"] not in MODES:
        raise BadInput(f"tracking.mode={options['mode']}: use one of {', '.join(MODES)}")
    asked = os.environ.get("WANDB_MODE")
    if options["mode"] == "auto" and asked and asked not in MODES_OF_WANDB:
        raise BadInput(f"WANDB_MODE={asked}: use one of {', '.join(MODES_OF_WANDB)}, in small letters")
