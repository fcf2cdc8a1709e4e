"""An index: one table that names a file a line and says what each curve is, so that all come in with one command."""

from pathlib import Path

from harness.analyse.foreign.text.tables import TextLine, TextLines, read_lines
from harness.record.errors import BadInput


def is_index(lines: TextLines) -> bool:
    """True for a table whose lines name files."""
    return "file" in lines.header


def joined(index: TextLines, tables: list[Path]) -> list[TextLine]:
    """The index's lines with what further tables say. A table's first column names the line it belongs to.

    A later table overrides. Raises BadInput where a line has no match, or a table has two.
    """
    lines = index.lines
    header = set(index.header)
    for path in tables:
        table = read_lines(path)
        key, *rest = table.header
        if key not in header:
            raise BadInput(f"{path}: line 1: its first column, {key}, is none of the index's")
        by_key: dict[str, TextLine] = {}
        for line in table.lines:
            if by_key.setdefault(line.cells[key], line) is not line:
                raise BadInput(f"{line.where}: {key} {line.cells[key]!r} stands there twice")
        for line in lines:
            if line.cells[key] not in by_key:
                raise BadInput(f"{line.where}: {path} says nothing of {key} {line.cells[key]!r}; add a line")
        lines = [TextLine(x.where, x.cells | {n: by_key[x.cells[key]].cells[n] for n in rest}) for x in lines]
        header |= set(rest)
    return lines


def file_of(line: TextLine, folder: Path) -> Path:
    """The file that a line names, inside the index's folder. Raises BadInput for one elsewhere, or missing."""
    name = line.cells["file"]
    path = folder / name
    if not name or Path(name).is_absolute() or ".." in Path(name).parts:
        raise BadInput(f"{line.where}: file is {name!r}: name a file below the index's folder")
    if not path.is_file():
        raise BadInput(f"{line.where}: {path} is missing; fetch it, or take the line out")
    return path
