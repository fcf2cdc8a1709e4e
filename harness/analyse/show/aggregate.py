"""Finished records to one document, and the document to table, trend and figures."""

import json
from pathlib import Path
from typing import Any

from harness.analyse.evidence.runs.groups import Level, group_runs
from harness.analyse.evidence.runs.plans import PLANS
from harness.analyse.evidence.runs.run import read_records
from harness.analyse.show import pages
from harness.analyse.show.replay import replay
from harness.analyse.show.tables import csv_table
from harness.analyse.show.words import rounded
from harness.analyse.trend.document import Settings, group_document
from harness.record.errors import BadInput
from harness.record.files import cannot_write, write_atomic


def build(
    root: Path,
    asked: Level | None = None,
    *,
    draws: int = 10_000,
    seed: int = 0,
    recipe: str | None = None,
    plans: str = PLANS[0],
    skip_broken: bool = False,
) -> dict[str, Any]:
    """Return all groups below `root` as one plain document: what --json prints and trend.json holds.

    With `skip_broken` a record that cannot be read is left out and named under `left_out`, a key that is absent else.
    Raises RecordError where a record cannot be read, BadInput where no run has the recipe or no level is known.
    """
    records = read_records(root, skip_broken=skip_broken)
    runs = records.runs
    groups = group_runs(runs, asked)
    if recipe is not None and not any(t.plan.recipe == recipe for t in runs):
        names = ", ".join(sorted({t.plan.recipe for t in runs}))
        raise BadInput(f"no run of recipe {recipe!r} in {root}: it has {names}")
    settings = Settings(draws=draws, seed=seed, recipe=recipe, plans=plans)
    published = replay()
    compared = ("reduction_factor", "halving_months", "halving_interval_ols", "moore_factor", "frontier")
    document: dict[str, Any] = {
        "runs_finished": len(runs),
        "runs_unfinished": len(records.unfinished),
        **({"left_out": _left_out(root, records.broken)} if records.broken else {}),
        "published": {name: published[name] for name in compared},
        "groups": [group_document(group, settings) for group in groups],
    }
    plain: dict[str, Any] = rounded(document)
    return plain


def _left_out(root: Path, broken: dict[Path, str]) -> list[dict[str, str]]:
    """Each broken record by its place below `root`, and what is wrong with it."""
    named = {folder.relative_to(root).as_posix(): defect for folder, defect in broken.items()}
    return [{"record": name, "defect": defect.replace(f"{root}/", "")} for name, defect in named.items()]


def write(document: dict[str, Any], out: Path, *, figures: bool) -> list[Path]:
    """Write TABLE.md, table.csv, trend.json and the figures; return their paths.

    The figures of several groups have the group's key in their names. Raises BadInput where `out` cannot be written.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(out, error) from error
    groups = document["groups"]
    files = {
        "TABLE.md": pages.markdown(document),
        "table.csv": csv_table(document).csv(),
        "trend.json": json.dumps(document, indent=1, allow_nan=False) + "\n",
    }
    paths = []
    for name, content in files.items():
        write_atomic(out / name, content)
        paths.append(out / name)
    if not figures:
        return paths
    # matplotlib takes as long to import as everything else together: only where something is drawn
    from harness.analyse.show.figures.canvas import save
    from harness.analyse.show.figures.gallery import pictures

    for group in groups:
        suffix = "" if len(groups) == 1 else f"-{group['dataset']['name']}-{group['key']}"
        for name, picture in pictures(group, document["published"]).items():
            paths += save(picture, out, f"{name}{suffix}")
    return paths
