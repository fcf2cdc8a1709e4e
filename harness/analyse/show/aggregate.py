"""Finished records to one document, and the document to table, trend and figures."""

import json
import textwrap
from pathlib import Path
from typing import Any

from harness.analyse.evidence.groups import Level, group_trials
from harness.analyse.evidence.trials import read_trials
from harness.analyse.show import table
from harness.analyse.show.figures import draw_curves, draw_thresholds, draw_trend
from harness.analyse.show.replay import replay
from harness.analyse.show.words import TERMINAL_COLUMNS, rounded
from harness.analyse.trend.study import Settings, study
from harness.record.errors import BadInput
from harness.record.files import cannot_write, write_atomic


def build(
    root: Path, asked: Level | None = None, *, draws: int = 10_000, seed: int = 0, recipe: str | None = None
) -> dict[str, Any]:
    """Return all groups below `root` as one plain document: what --json prints and trend.json holds.

    Raises RecordError where a record cannot be read, BadInput where no run has the recipe or no level is known.
    """
    trials, unfinished = read_trials(root)
    groups = group_trials(trials, asked)
    if recipe is not None and not any(t.plan.recipe == recipe for t in trials):
        names = ", ".join(sorted({t.plan.recipe for t in trials}))
        raise BadInput(f"no run of recipe {recipe!r} in {root}: it has {names}")
    settings = Settings(draws=draws, seed=seed, recipe=recipe)
    published = replay()
    compared = ("reduction_factor", "halving_months", "halving_interval_ols", "moore_factor", "slope", "intercept")
    document: dict[str, Any] = {
        "runs_finished": len(trials),
        "runs_unfinished": len(unfinished),
        "published": {name: published[name] for name in compared},
        "groups": [study(group, settings) for group in groups],
    }
    plain: dict[str, Any] = rounded(document)
    return plain


def write(document: dict[str, Any], out: Path, *, figures: bool) -> list[Path]:
    """TABLE.md, table.csv, trend.json and the figures; several groups have their key in the figures' names."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(out, error) from error
    groups = document["groups"]
    sections = [preface(document), *(table.markdown(g, document["published"]) for g in groups)]
    files = {
        "TABLE.md": "\n".join(s for s in sections if s),
        "table.csv": table.csv_text(groups),
        "trend.json": json.dumps(document, indent=1, allow_nan=False) + "\n",
    }
    paths = []
    for name, content in files.items():
        write_atomic(out / name, content)
        paths.append(out / name)
    for group in groups if figures else []:
        suffix = "" if len(groups) == 1 else f"-{group['dataset']['name']}-{group['key']}"
        if group["trend"] is not None:
            paths += draw_trend(group, out, f"trend{suffix}")
            paths += draw_thresholds(group, out, f"thresholds{suffix}")
            paths += draw_curves(group, out, f"curves{suffix}")
    return paths


def preface(document: dict[str, Any]) -> str:
    """What a reader must know before the tables: runs not counted, groups kept apart."""
    lines = []
    if document["runs_unfinished"]:
        lines.append(f"{document['runs_unfinished']} unfinished runs are not in here: start them again to resume.")
    if len(document["groups"]) > 1:
        lines.append(
            f"{len(document['groups'])} groups that must not be compared (data set, target or protocol differ), "
            "each on its own below; judge all at one level with --target FILE or --metric and --value."
        )
    return "\n".join(lines) + "\n" if lines else ""


def text(document: dict[str, Any]) -> str:
    """The short form for a terminal."""
    parts = [preface(document).strip()]
    for g in document["groups"]:
        d, t = g["dataset"], g["target"]
        parts.append(
            f"{d['name']}{' (subset)' if d['subset'] else ''}: cost to {t['metric']} {t['value']:.2%}, "
            f"{g['runs']} runs, key {g['key']}"
        )
        parts += [f"note: {note}" for note in g["notes"]]
        parts.append(table.terminal_table(g))
        parts.append(table.headline(g, document["published"], markdown=False))
        if g["rows"]:
            parts.append("What the headline hangs on\n" + table.sensitivity_table(g, markdown=False))
        if g["searches"]:
            parts.append("Minimum budget, beside the fixed plan\n" + table.search_table(g, markdown=False))
    return "\n\n".join(wrapped(p) for p in parts if p)


def wrapped(part: str) -> str:
    """Prose broken to the width of the tables; tables, which are narrower, pass as they are."""
    lines = [
        textwrap.wrap(line, TERMINAL_COLUMNS) if len(line) > TERMINAL_COLUMNS else [line] for line in part.splitlines()
    ]
    return "\n".join(line for broken in lines for line in broken)
