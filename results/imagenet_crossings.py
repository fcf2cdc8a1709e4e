"""What of the published ImageNet curves may be committed: where each comes from, and where it crosses every level.

    IMAGENET_CURVES=/path/to/curves python -m results.imagenet_crossings

The curves themselves stay where they are. A test compares these files with the curves where they are at hand.
"""

import csv
import io
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from harness.analyse.foreign.crossings import crossings_of
from harness.analyse.foreign.curve import ForeignCurve
from harness.analyse.foreign.macs import table_counter
from harness.analyse.foreign.reader import Read, read_curves
from harness.analyse.foreign.records import dataset_block
from harness.analyse.foreign.text.columns import Reading
from harness.paths import ROOT
from harness.record.errors import BadInput
from harness.record.files import write_atomic
from harness.record.target import METRICS

FOLDER = ROOT / "results" / "imagenet_curves"
VARIABLE = "IMAGENET_CURVES"
IMAGENET = {"train_images": 1_281_167, "evaluation_images": 50_000, "classes": 1000, "resolution": 224}
SOURCES = (
    "curve",
    "file",
    "sha256",
    "repo",
    "path_in_repo",
    "commit",
    "licence",
    "eval_kind",
    "metrics",
    "looks",
    "last_epoch",
    "last_images",
)
CROSSINGS = (
    "curve",
    "metric",
    "level",
    "first_epoch",
    "first_images",
    "low_images",
    "high_images",
    "confirmed_epoch",
    "confirmed_images",
)


def main() -> None:
    """Write sources.csv and crossings.csv. Raises BadInput where the curves are not at hand."""
    folder = curves_folder()
    if folder is None:
        raise BadInput(f"{VARIABLE} names no folder with index.csv; set it to where the curves are")
    for name, text in derived(folder).items():
        write_atomic(FOLDER / name, text)
        print(f"wrote {FOLDER / name}")


def curves_folder() -> Path | None:
    """The folder that IMAGENET_CURVES names; None where it is unset or holds no index."""
    named = os.environ.get(VARIABLE)
    return Path(named) if named and (Path(named) / "index.csv").is_file() else None


def read_all(folder: Path) -> list[Read]:
    """Every curve of the index, with what this repository says of it."""
    return read_curves(
        folder / "index.csv",
        reading=Reading(unit="percent"),
        dataset=dataset_block("imagenet", IMAGENET, None),
        count=table_counter(FOLDER / "macs.csv"),
        tables=[FOLDER / "curves.csv", FOLDER / "networks.csv"],
    )


def derived(folder: Path) -> dict[str, str]:
    """The text of each committed file, by its name."""
    read = read_all(folder)
    pairs = [(r.source, curve) for r in read for curve in r.curves]
    sources = [
        {
            **curve.facts,
            "sha256": source.sha256,
            "metrics": " ".join(m for m in METRICS if any(look.judged(m) for look in curve.looks)),
            "looks": len(curve.looks),
            "last_epoch": _short(curve.looks[-1].epoch),
            "last_images": curve.looks[-1].images,
        }
        for source, curve in pairs
    ]
    rows = [row for _, curve in pairs for row in _crossing_rows(curve)]
    return {"sources.csv": _csv(SOURCES, sources), "crossings.csv": _csv(CROSSINGS, rows)}


def _crossing_rows(curve: ForeignCurve) -> Iterable[dict[str, Any]]:
    for c in crossings_of(curve):
        yield {
            "curve": curve.facts["curve"],
            "metric": c.metric,
            "level": _short(c.level),
            "first_epoch": _short(c.first.epoch),
            "first_images": c.first.images,
            "low_images": c.low_images,
            "high_images": c.high_images,
            "confirmed_epoch": None if c.confirmed is None else _short(c.confirmed.epoch),
            "confirmed_images": None if c.confirmed is None else c.confirmed.images,
        }


def _short(value: float) -> str:
    return f"{value:.6g}"


def _csv(columns: Sequence[str], rows: Iterable[dict[str, Any]]) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


if __name__ == "__main__":
    main()
