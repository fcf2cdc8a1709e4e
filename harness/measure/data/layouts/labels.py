"""Tables that say the class of each image of a flat split: image name -> class name."""

from __future__ import annotations

from pathlib import Path

from harness.measure.data.layouts.found import cannot_read
from harness.record.errors import BadInput


def tiny_annotations(path: Path) -> dict[str, str]:
    """Tiny ImageNet's val_annotations.txt: file name, class and a box, tab-separated."""
    labels = {}
    for number, line in enumerate(_lines(path), start=1):
        columns = line.split("\t")
        if len(columns) < 2:
            raise damaged(path, number)
        labels[columns[0].rsplit(".", 1)[0]] = columns[1].strip()
    return labels


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise cannot_read(path, error) from error
    except UnicodeDecodeError as error:
        raise damaged(path, 1) from error


def damaged(path: Path, line: int) -> BadInput:
    """One line for a table that cannot be read as what its name says."""
    return BadInput(f"{path} is damaged (line {line}): fetch it again from where the data set came from")
