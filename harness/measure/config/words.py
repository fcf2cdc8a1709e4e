"""The words of the command line as Hydra's grammar takes them: a path, and an option of sbatch, count as typed."""

import functools
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from harness.record.errors import BadInput

PATHS = ("out", "data.root", "tracking.dir")
"""Keys whose value is a path; `target` is one too where its value ends as a YAML file's name."""

_LAUNCHER = "hydra.launcher."
_FUNCTIONS = ("choice(", "glob(", "range(", "interval(", "sort(", "shuffle(", "null", "${")
_INSTEAD = {
    "hydra.run": "out= is the root of the run folders",
    "hydra.sweep.": "out= is the root of the run folders",
    "hydra/sweeper": "a sweep is comma-separated values with -m",
    "hydra.sweeper": "a sweep is comma-separated values with -m",
    "hydra.verbose": "what a run prints is always the same",
}


def as_typed(words: list[str]) -> list[str]:
    """The same words, with quotes for Hydra around what its grammar would take apart. Twice is as once."""
    return [_typed(word) for word in words]


@functools.lru_cache(maxsize=4096)
def parsed(word: str) -> Any:
    """Hydra's own reading of a word, for reading alone: it is kept, for a run's words are asked for again and again.

    Raises BadInput in one line where it is none of Hydra's.
    """
    try:
        return OverridesParser.create().parse_override(word)
    except HydraException as error:
        key, _, value = word.partition("=")
        told = str(error).splitlines()[0].removesuffix(f": {word}")
        raise BadInput(
            f"{word}: not a word that Hydra reads ({told}); quote its value, and all of it for the shell: "
            f'"{key}={quoted(value)}"'
        ) from error


def unquoted(value: str) -> str:
    """A value without the quotes that Hydra would take off."""
    return str(parsed(f"word={value}").value()) if value[:1] in ("'", '"') else value


def quoted(value: str) -> str:
    """`value` as a quoted string of Hydra's grammar."""
    escaped = re.sub(r"(\\*)'", r"\1\1\\'", value)
    trailing = len(escaped) - len(escaped.rstrip("\\"))
    return f"'{escaped}{chr(92) * trailing}'"


def refuse_without_effect(words: list[str]) -> None:
    """Raise BadInput for a word of Hydra's own that would change nothing here: only its launcher is taken from it."""
    for word in words:
        key = word.lstrip("+~").partition("=")[0]
        if re.match(r"hydra[./]", key) and key != "hydra/launcher" and not key.startswith(_LAUNCHER):
            instead = next((told for name, told in _INSTEAD.items() if key.startswith(name)), None)
            told = instead or "of Hydra's own words only hydra/launcher and hydra.launcher.* are"
            raise BadInput(f"{word}: not obeyed here; {told}")


def portable(words: Sequence[str]) -> list[str]:
    """The words without the paths and devices of the machine they were given on; of a target file only its name."""
    local = ("out=", "data.root=", "device=", "hydra/", "threads=", "tracking")
    kept = [word for word in words if not word.lstrip("+~").startswith(local)]
    return [
        f"target={Path(unquoted(word.partition('=')[2])).name}"
        if word.lstrip("+").startswith("target=") and "/" in word
        else word
        for word in kept
    ]


def at_home(path: str) -> str:
    """A path with ~ as the home folder; as it is where there is none."""
    return os.path.expanduser(path)


def _typed(word: str) -> str:
    key, equals, value = word.partition("=")
    name = key.lstrip("+")
    if not equals or value.startswith(("'", '"', *_FUNCTIONS)):
        return word
    if name.startswith(_LAUNCHER):
        return word if value.startswith(("[", "{")) or not _is_split(word) else f"{key}={quoted(value)}"
    if name in PATHS or (name == "target" and value.endswith((".yaml", ".yml"))):
        return f"{key}={','.join(part if _is_plain(key, part) else quoted(part) for part in value.split(','))}"
    return word


def _is_split(word: str) -> bool:
    """True where Hydra would make several of it, or nothing."""
    try:
        return bool(parsed(word).is_sweep_override())
    except BadInput:
        return True


def _is_plain(key: str, value: str) -> bool:
    """True where Hydra reads exactly these characters."""
    try:
        return bool(parsed(f"{key}={value}").value() == value)
    except BadInput:
        return False
