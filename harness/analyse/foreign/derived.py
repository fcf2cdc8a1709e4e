"""Published curves in the form that may be committed: facts, bills and crossings, without the curves themselves.

A folder holds curves.csv and networks.csv (typed, with sources), macs.csv (counted), sources.csv and crossings.csv
(read off the curves). What follows from them needs no curve.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.analyse.foreign.macs import Stage, forward_macs_of, schedule, table_counter
from harness.analyse.foreign.text.tables import read_lines
from harness.record import units
from harness.record.errors import BadInput


@dataclass(frozen=True)
class Crossed:
    """One level of one curve: epochs, and PFLOP in the study's unit.

    The level was passed after low_pflop and not after high_pflop. That one and the confirmed values are None where the
    plot's error leaves it open, or no look confirms it.
    """

    epoch: float
    pflop: float
    low_pflop: float
    high_pflop: float | None
    confirmed_epoch: float | None
    confirmed_pflop: float | None


@dataclass(frozen=True)
class Published:
    """One curve. metrics: by which it was judged; crossed: (metric, level) -> crossing, absent for a miss."""

    curve: str
    model: str
    title: str
    published: str
    family: str
    averaged: bool
    digitised: bool
    remark: str
    repo: str
    metrics: tuple[str, ...]
    last_epoch: float
    spent_pflop: float
    forward_macs: int
    crossed: dict[tuple[str, float], Crossed]


def read_published(folder: Path) -> list[Published]:
    """Every curve of the folder. Raises BadInput where its files do not fit together."""
    tables = {
        n: _by(folder / f"{n}.csv", key)
        for n, key in (("curves", "curve"), ("networks", "model"), ("sources", "curve"))
    }
    count = table_counter(folder / "macs.csv")
    rows: dict[str, list[dict[str, str]]] = {}
    for line in read_lines(folder / "crossings.csv").lines:
        rows.setdefault(line.cells["curve"], []).append(line.cells)
    if unknown := sorted(set(rows) - set(tables["curves"])):
        raise BadInput(f"{folder}: crossings of {unknown[0]}, which curves.csv does not have")
    return [
        _published(facts, tables["networks"][facts["model"]], tables["sources"][name], rows.get(name, []), count)
        for name, facts in tables["curves"].items()
    ]


def _by(path: Path, key: str) -> dict[str, dict[str, str]]:
    return {line.cells[key]: line.cells for line in read_lines(path).lines}


def _published(
    facts: dict[str, str], network: dict[str, str], source: dict[str, str], rows: list[dict[str, str]], count: Any
) -> Published:
    sizes = schedule(facts["resolution"], f"{facts['curve']}: resolution")
    counted = [(epoch, size, count(facts["constructor"], size)) for epoch, size in sizes]
    if missing := [size for _, size, macs in counted if macs is None]:
        raise BadInput(f"macs.csv lacks {facts['constructor']} at {missing[0]} px: python -m results.imagenet_macs")
    stages = tuple(Stage(*stage) for stage in counted)
    per_epoch = float(source["last_images"]) / float(source["last_epoch"])

    def pflop(images: str) -> float:
        return units.paper_pflop(forward_macs_of(stages, round(per_epoch), int(images)))

    crossed = {
        (row["metric"], float(row["level"])): Crossed(
            float(row["first_epoch"]),
            pflop(row["first_images"]),
            pflop(row["low_images"]),
            pflop(row["high_images"]) if row["high_images"] else None,
            float(row["confirmed_epoch"]) if row["confirmed_epoch"] else None,
            pflop(row["confirmed_images"]) if row["confirmed_images"] else None,
        )
        for row in rows
    }
    return Published(
        curve=facts["curve"],
        model=facts["model"],
        title=network["title"],
        published=network["published"],
        family=facts["family"],
        averaged=facts["evaluated"] == "average",
        digitised=bool(facts["error_top1_points"]),
        remark=facts["remark"],
        repo=source["repo"],
        metrics=tuple(source["metrics"].split()),
        last_epoch=float(source["last_epoch"]),
        spent_pflop=pflop(source["last_images"]),
        forward_macs=stages[0].forward_macs,
        crossed=crossed,
    )
