"""Where each row of the report comes from: run folders, commits, versions, and the command that does it again."""

import json
import shlex
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from harness.record.folders.folder import CONFIG, PROVENANCE, find_run_folders, is_finished, read_summary


@dataclass(frozen=True)
class Source:
    """One finished run as its provenance tells it; a row of the aggregate's document names it by `run_id`."""

    run_id: str
    seed: int
    folder: str
    overrides: tuple[str, ...]
    target: dict[str, Any] | None = None
    segments: tuple[dict[str, Any], ...] = field(default_factory=tuple)
    settings: dict[str, Any] = field(default_factory=dict)


def read_sources(root: Path, left_out: Collection[str] = ()) -> list[Source]:
    """Return every finished run below `root`, without the folders `left_out`, as `Source.folder` names them.

    Their hashes were verified when the document was built.

    Raises RecordError where a run.json cannot be read.
    """
    sources = []
    for folder in find_run_folders(root):
        name = folder.relative_to(root).as_posix()
        if not is_finished(folder) or name in left_out:
            continue
        summary = read_summary(folder)
        provenance = json.loads((folder / PROVENANCE).read_text(encoding="utf-8"))
        sources.append(
            Source(
                run_id=str(summary["run_id"]),
                seed=int(summary["seed"]),
                folder=name,
                overrides=tuple(provenance.get("overrides", ())),
                target=summary["target"],
                segments=tuple(provenance.get("segments", ())),
                settings=_settings((folder / CONFIG).read_text(encoding="utf-8")),
            )
        )
    return sources


def sources_of(row: dict[str, Any], sources: list[Source]) -> list[Source]:
    """Return the runs behind a row, by seed."""
    return sorted((s for s in sources if s.run_id in row["runs"]), key=lambda s: (s.seed, s.run_id))


@dataclass(frozen=True)
class Reproduction:
    """How to run a row again: a block for each command and commit, and the folders that hold its numbers."""

    title: str
    words: str
    blocks: list[dict[str, str]]
    folders: list[tuple[str, int]]


def reproductions(rows: list[dict[str, Any]], sources: list[Source]) -> list[Reproduction]:
    """Return one for each row; rows of one architecture never print the same command for different settings."""
    differing = {row["model"]: _differing(row["model"], rows, sources) for row in rows}
    made = []
    for row in rows:
        runs = sources_of(row, sources)
        settings = f", {row['apart']}" if row["apart"] else ""
        words = f"recipe {row['recipe']}, {row['planned_epochs']} epochs planned{settings}, n = {row['n']}"
        blocks = [] if row["kind"] != "measured" else commands(row["model"], runs, differing[row["model"]])
        made.append(Reproduction(row["title"], words, blocks, [(s.folder, s.seed) for s in runs]))
    return made


def commands(model: str, sources: list[Source], differing: set[str]) -> list[dict[str, str]]:
    """Return the exact commands that repeat these runs, each with its commit.

    Runs that differ by their seed alone make one sweep; `differing` settings are written out.
    """
    sweeps: dict[tuple[tuple[str, ...], str], list[int]] = {}
    for source in sources:
        shared = [w for o in source.overrides if not o.startswith("seed=") for w in portable(o, source.target)]
        given = {word.partition("=")[0] for word in shared}
        shared += [] if "model" in given else [f"model={model}"]
        shared += [f"{name}={source.settings.get(name)}" for name in sorted(differing - given)]
        sweeps.setdefault((tuple(shared), _commit(source)), []).append(source.seed)
    blocks = []
    for (overrides, commit), seeds in sweeps.items():
        chosen = sorted(set(seeds))
        words = ["harness", "train", *(["-m"] if chosen[1:] else []), *overrides, f"seed={','.join(map(str, chosen))}"]
        blocks.append({"command": shlex.join(words), "commit": commit})
    return blocks


def _differing(model: str, rows: list[dict[str, Any]], sources: list[Source]) -> set[str]:
    """Settings that are not the same in all runs of an architecture, as overrides name them."""
    mine = [s.settings for row in rows if row["model"] == model for s in sources_of(row, sources)]
    return {name for settings in mine for name in settings if any(s.get(name) != settings[name] for s in mine)}


SHORT = 12
"""Digits of a commit that git tells apart; the facts of the page have all of them."""


def _commit(source: Source) -> str:
    """The commits a run was trained at, short, in order: more than one where it was resumed at another."""
    segments = [s for s in source.segments if s.get("commit")]
    seen = [f"{s['commit'][:SHORT]}{' with uncommitted changes' if s.get('dirty') else ''}" for s in segments]
    return ", ".join(dict.fromkeys(seen)) or "unknown"


def _settings(text: str) -> dict[str, Any]:
    """The `recipe:` and `budget:` blocks of a resolved config, a line a setting: recipe.lr -> 0.05."""
    config = yaml.safe_load(text) or {}
    blocks = {name: config.get(name) or {} for name in ("recipe", "budget")}
    return {f"{block}.{name}": value for block, settings in blocks.items() for name, value in settings.items()}


def portable(override: str, target: dict[str, Any] | None) -> list[str]:
    """Return an override as another machine understands it: the level itself in place of the file it was read from."""
    if not override.startswith("target=") or not override.endswith((".yaml", ".yml")) or target is None:
        return [override]
    return [f"target.{name}={target[name]}" for name in ("metric", "value", "split")]


def code_and_hardware(sources: list[Source]) -> list[tuple[str, str]]:
    """Return distinct facts about code, versions and machines, as (name, value); what is unknown is absent."""
    segments = [s for source in sources for s in source.segments]
    facts: dict[str, set[str]] = {}
    for segment in segments:
        if commit := segment.get("commit"):
            facts.setdefault("commit", set()).add(
                commit + (" with uncommitted changes" if segment.get("dirty") else "")
            )
        for name, words in (("device_name", "device"), ("cpu_model", "processor"), ("python", "Python")):
            if segment.get(name):
                facts.setdefault(words, set()).add(str(segment[name]))
        for package, version in (segment.get("packages") or {}).items():
            facts.setdefault(package, set()).add(str(version))
        if segment.get("started_utc"):
            facts.setdefault("started (UTC)", set()).add(str(segment["started_utc"])[:10])
    return [(name, ", ".join(sorted(values))) for name, values in facts.items()]
