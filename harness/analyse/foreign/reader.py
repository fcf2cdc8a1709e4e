"""From a file, or an index of files, to checked curves: the front door of this room."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness.analyse.foreign.curve import ForeignCurve, curves_of, one_seed_once
from harness.analyse.foreign.macs import Counter
from harness.analyse.foreign.text.columns import Reading, named
from harness.analyse.foreign.text.index import file_of, is_index, joined
from harness.analyse.foreign.text.tables import read_lines
from harness.record.errors import BadInput
from harness.record.files import sha256_of


@dataclass(frozen=True)
class Origin:
    """The file that curves were read from, by its name and the sha256 of its bytes."""

    file: str
    sha256: str


@dataclass(frozen=True)
class Read:
    """What came of one file; notes: what was guessed."""

    source: Origin
    curves: list[ForeignCurve]
    notes: list[str]


def read_curves(
    path: Path, *, reading: Reading, dataset: dict[str, Any], count: Counter, tables: list[Path] | None = None
) -> list[Read]:
    """Read one file, or every file that an index names (tables: what else is said of its lines, see index.joined).

    dataset: train_images, evaluation_images, classes, resolution. Raises BadInput for the first thing that is unusable.
    """
    lines = read_lines(path)
    if not is_index(lines):
        if tables:
            raise BadInput(f"{path}: --join is for an index, a table with a column file")
        files = [_read(path, reading, {}, dataset, count)]
    else:
        files = [
            _read(file_of(line, path.parent), reading, line.cells, dataset, count)
            for line in joined(lines, tables or [])
        ]
    one_seed_once([curve for read in files for curve in read.curves])
    return files


def _read(path: Path, reading: Reading, facts: Mapping[str, str], dataset: dict[str, Any], count: Counter) -> Read:
    """One file. What the index says holds for its curves; what the command line sets, where the index is silent."""
    said = {**reading.constants, **{name: value for name, value in facts.items() if value}}
    said.setdefault("run", path.stem)
    unit = reading.unit or said.get("unit") or None
    if unit not in (None, "percent", "fraction"):
        raise BadInput(f"{path}: unit is {unit!r}: percent or fraction?")
    columns = named(read_lines(path), replace(reading, unit=unit))
    return Read(Origin(path.name, sha256_of(path)), curves_of(columns, said, dataset, count), columns.notes)
