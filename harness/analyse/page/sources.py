"""Where each row of the report comes from: run folders, commits, versions, and the command that does it again."""

import json
import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.record.folder import PROVENANCE, find_run_folders, is_finished, read_summary


@dataclass(frozen=True)
class Source:
    """One finished run as its provenance tells it; a row of the aggregate's document names it by `run_id`."""

    run_id: str
    seed: int
    folder: str
    overrides: tuple[str, ...]
    target: dict[str, Any] | None = None
    segments: tuple[dict[str, Any], ...] = field(default_factory=tuple)


def read_sources(root: Path) -> list[Source]:
    """Every finished run below `root`; their hashes have been verified by whoever built the document."""
    found = []
    for folder in find_run_folders(root):
        if not is_finished(folder):
            continue
        summary = read_summary(folder)
        provenance = json.loads((folder / PROVENANCE).read_text())
        found.append(
            Source(
                run_id=str(summary["run_id"]),
                seed=int(summary["seed"]),
                folder=folder.relative_to(root).as_posix(),
                overrides=tuple(provenance.get("overrides", ())),
                target=summary["target"],
                segments=tuple(provenance.get("segments", ())),
            )
        )
    return found


def sources_of(row: dict[str, Any], sources: list[Source]) -> list[Source]:
    """The runs behind a row, by seed."""
    return sorted((s for s in sources if s.run_id in row["runs"]), key=lambda s: (s.seed, s.run_id))


def commands(row: dict[str, Any], sources: list[Source]) -> list[str]:
    """The exact commands that repeat these runs: runs that differ by their seed alone make one sweep."""
    if row["kind"] != "measured":
        return []
    sweeps: dict[tuple[str, ...], list[int]] = {}
    for source in sources:
        shared = tuple(w for o in source.overrides if not o.startswith("seed=") for w in portable(o, source.target))
        if not any(o.startswith("model=") for o in shared):
            shared = (*shared, f"model={row['model']}")
        sweeps.setdefault(shared, []).append(source.seed)
    lines = []
    for overrides, seeds in sweeps.items():
        seed = f"seed={','.join(str(s) for s in sorted(set(seeds)))}"
        words = ["harness", "train", *(["-m"] if len(set(seeds)) > 1 else []), *overrides, seed]
        lines.append(shlex.join(words))
    return lines


def portable(override: str, target: dict[str, Any] | None) -> list[str]:
    """An override as another machine understands it: the level itself in place of the file it was read from."""
    if not override.startswith("target=") or not override.endswith((".yaml", ".yml")) or target is None:
        return [override]
    return [f"target.{name}={target[name]}" for name in ("metric", "value", "split")]


def code_and_hardware(sources: list[Source]) -> list[tuple[str, str]]:
    """Distinct facts about code, versions and machines, as (name, value); what is unknown is absent."""
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
