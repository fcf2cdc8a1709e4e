"""Files into lines of named cells: CSV with any delimiter and encoding, and logs with a JSON object a line."""

import csv
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.analyse.foreign.text.numbers import decimal_mark
from harness.record.errors import BadInput

DELIMITERS = ",;\t|"


@dataclass(frozen=True)
class TextLine:
    """One line: where it stands, for messages, and its cells by heading, without spaces around them."""

    where: str
    cells: dict[str, str]


@dataclass(frozen=True)
class TextLines:
    """All lines of a file under one header. mark: "." or ",", before the decimals of its numbers."""

    path: Path
    header: list[str]
    lines: list[TextLine]
    mark: str = "."


def read_lines(path: Path) -> TextLines:
    """Read a table or a log. Raises BadInput with the line and the remedy where it cannot be read."""
    text = decoded(path)
    if not text.strip():
        raise BadInput(f"{path}: lacks a header: the file is empty")
    objects = _objects(path, text)
    return _table(path, text) if objects is None else objects


def decoded(path: Path) -> str:
    """The file's text: UTF-8, or UTF-16 where its first bytes say so. Raises BadInput for anything else."""
    try:
        data = path.read_bytes()
        encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
        return data.decode(encoding)
    except OSError as error:
        raise BadInput(f"{path}: not a readable CSV ({error.strerror})") from error
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise BadInput(f"{path}: line {line}: not UTF-8; save the file as UTF-8") from error


def _table(path: Path, text: str) -> TextLines:
    delimiter = _delimiter(text)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True, skipinitialspace=True)
    header: list[str] = []
    lines = []
    try:
        for cells in reader:
            where = f"{path}: line {reader.line_num}"
            stripped = [cell.strip() for cell in cells]
            if not any(stripped):
                continue
            if not header:
                header = stripped
                if len(set(header)) < len(header):
                    raise BadInput(f"{where}: two columns have one heading; rename one")
            elif len(stripped) > len(header):
                raise BadInput(f"{where}: more fields than the header names; quote a value that holds a {delimiter!r}")
            elif len(stripped) < len(header):
                raise BadInput(f"{where}: fewer fields than the header names; leave what is unknown empty, as a,,b")
            else:
                lines.append(TextLine(where, dict(zip(header, stripped, strict=True))))
    except csv.Error as error:
        raise BadInput(f"{path}: line {reader.line_num}: not a readable CSV ({error})") from error
    mark = decimal_mark(((line.where, cell) for line in lines for cell in line.cells.values()), delimiter)
    return TextLines(path, header, lines, mark)


def _delimiter(text: str) -> str:
    """The delimiter of the first line that is not empty; csv's own guess, the comma where there is one column."""
    first = next(line for line in text.splitlines() if line.strip())
    try:
        return str(csv.Sniffer().sniff(first, delimiters=DELIMITERS).delimiter)
    except csv.Error:
        return ","


def _objects(path: Path, text: str) -> TextLines | None:
    """Lines that hold a JSON object, also behind a logger's prefix; None where the first line holds none.

    Text around the objects is left out, as are lists and objects inside them.
    """
    lines: list[TextLine] = []
    for number, line in enumerate(text.splitlines(), start=1):
        start = line.find("{")
        if start < 0:
            continue
        where = f"{path}: line {number}"
        try:
            parsed: Any = json.loads(line[start:])
        except ValueError as error:
            if not lines:
                return None
            raise BadInput(f"{where}: a JSON object that does not end; cut the line out ({error})") from error
        if isinstance(parsed, dict):
            cells = {str(k): str(v) for k, v in parsed.items() if isinstance(v, (str, int, float))}
            lines.append(TextLine(where, cells))
    if not lines:
        return None
    header = list(dict.fromkeys(name for line in lines for name in line.cells))
    return TextLines(path, header, [TextLine(line.where, {n: line.cells.get(n, "") for n in header}) for line in lines])
