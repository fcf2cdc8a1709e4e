"""Shapes in which tracking tools export curves, turned into one line an evaluation under a heading a quantity."""

import re
from dataclasses import replace

from harness.analyse.foreign.text.tables import TextLine, TextLines
from harness.record.errors import BadInput

_WANDB = re.compile(r"(?P<run>.+) - (?P<quantity>.+?)(?P<bound>__MIN|__MAX)?")
_TENSORBOARD = {"wall time", "step", "value"}


def reshaped(lines: TextLines) -> tuple[TextLines, list[str]]:
    """The same with one run a line, and notes on what was recognised."""
    if {name.lower() for name in lines.header} == _TENSORBOARD:
        return _tensorboard(lines), [f"TensorBoard's export: the run is {lines.path.stem}"]
    if any(_WANDB.fullmatch(name) for name in lines.header):
        return _wandb(lines)
    return lines, []


def _tensorboard(lines: TextLines) -> TextLines:
    """Wall time, Step, Value: the file's name is the run's."""
    kept = [line for line in lines.lines if line.cells]
    return replace(lines, header=["run", *lines.header], lines=[_with(line, run=lines.path.stem) for line in kept])


def _wandb(lines: TextLines) -> tuple[TextLines, list[str]]:
    """A column a run and quantity, "run - val/top1", beside its __MIN and __MAX; several runs side by side."""
    shared = [name for name in lines.header if not _WANDB.fullmatch(name)]
    columns: dict[str, dict[str, str]] = {}
    for name in lines.header:
        if (match := _WANDB.fullmatch(name)) and not match["bound"]:
            columns.setdefault(match["run"], {})[match["quantity"]] = name
    quantities = list(dict.fromkeys(q for by_quantity in columns.values() for q in by_quantity))
    if "run" in shared or set(shared) & set(quantities):
        raise BadInput(f"{lines.path}: line 1: a W&B export with a column of its own named like a quantity; rename it")
    made = [
        TextLine(line.where, {"run": run, **{n: line.cells[n] for n in shared}, **cells})
        for run, by_quantity in columns.items()
        for line in lines.lines
        if any((cells := {q: line.cells.get(by_quantity.get(q, ""), "") for q in quantities}).values())
    ]
    notes = [f"W&B's export: {', '.join(columns)}; columns __MIN and __MAX left out"]
    return replace(lines, header=["run", *shared, *quantities], lines=made), notes


def _with(line: TextLine, **cells: str) -> TextLine:
    return TextLine(line.where, cells | line.cells)
