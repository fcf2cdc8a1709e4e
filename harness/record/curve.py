"""The curve of a run: one JSON line per evaluation, append-only."""

import contextlib
import json
import os
from dataclasses import dataclass, field, fields
from itertools import pairwise
from pathlib import Path
from typing import Any

from harness.record.errors import RecordError
from harness.record.files import cannot_write

TIMING_FIELDS = ("train_seconds", "eval_seconds", "data_wait_seconds", "energy_joules")
"""Fields that differ between two runs of one seed; everything else is reproducible bit for bit on one machine."""


@dataclass(frozen=True)
class Evaluation:
    """One evaluation. Counts are integers over the whole split; ledger lines are cumulative MACs.

    step: optimiser steps done; epoch: epochs done (a fraction between whole ones); images: training images seen;
    loss: mean training loss since the previous evaluation; lr: the learning rate of the last step;
    train_seconds, eval_seconds, data_wait_seconds: cumulative over the run, train_seconds includes the waiting;
    energy_joules: cumulative, evaluation included, None where the hardware gives none.
    live_correct_top1, live_correct_top5: where a recipe has averaged weights judged, what the weights themselves score
    on the same images; None where there is no average. Both looks stand in `evaluation_macs`.
    correct_top5: None where an imported curve was not judged by it: missing is missing, never 0.
    loss, lr, train_seconds, eval_seconds, data_wait_seconds: None in an imported curve, of which nobody knows them.
    error_top1, error_top5: images by which a count that was read off a plot may be wrong; None where it was logged.
    """

    step: int
    epoch: float
    images: int
    train_forward_macs: int
    train_backward_macs: int
    evaluation_macs: int
    lost_macs: int
    correct_top1: int
    correct_top5: int | None = field(default=None, kw_only=True)
    total: int
    loss: float | None = None
    lr: float | None = None
    train_seconds: float | None = None
    eval_seconds: float | None = None
    data_wait_seconds: float | None = None
    energy_joules: float | None = None
    live_correct_top1: int | None = None
    live_correct_top5: int | None = None
    error_top1: int | None = None
    error_top5: int | None = None

    @property
    def looks(self) -> int:
        """How often the split was run through a network for this evaluation."""
        return 1 if self.live_correct_top1 is None else 2

    @property
    def train_macs(self) -> int:
        """Forward and backward MACs of training up to this evaluation."""
        return self.train_forward_macs + self.train_backward_macs

    def judged(self, metric: str) -> bool:
        """True where "top1" or "top5" was counted."""
        return metric == "top1" or self.correct_top5 is not None

    def correct(self, metric: str) -> int:
        """Correct images by "top1" or "top5". Raises ValueError where they were not counted (see `judged`)."""
        correct = self.correct_top1 if metric == "top1" else self.correct_top5
        if correct is None:
            raise ValueError(f"evaluation {self.step} was not judged by {metric}")
        return correct

    def as_line(self) -> str:
        """The JSON line, newline included; what is absent is left out."""
        row = {f.name: value for f in fields(self) if (value := getattr(self, f.name)) is not None}
        return json.dumps(row, allow_nan=False) + "\n"


FIELDS = tuple(f.name for f in fields(Evaluation))
_OPTIONAL = ("correct_top5", "energy_joules", "live_correct_top1", "live_correct_top5", "error_top1", "error_top5")
WATCHED = ("loss", "lr", "train_seconds", "eval_seconds", "data_wait_seconds")
"""Fields that a run of our own always has, and an imported curve never: all of them or none."""

_REQUIRED = frozenset(FIELDS) - set(_OPTIONAL) - set(WATCHED)
_INTEGERS = ("step", "images", "train_forward_macs", "train_backward_macs", "evaluation_macs", "lost_macs")


def parse_line(text: str) -> Evaluation:
    """One line to an Evaluation; raises ValueError on anything that is not one."""
    row: Any = json.loads(text)
    if not isinstance(row, dict) or not row.keys() >= _REQUIRED or not row.keys() <= set(FIELDS):
        raise ValueError("not an evaluation")
    if row.keys() & set(WATCHED) and not row.keys() >= set(WATCHED):
        raise ValueError(f"lacks {', '.join(name for name in WATCHED if name not in row)}")
    return Evaluation(**row)


def read_curve(path: Path) -> list[Evaluation]:
    """All evaluations of a file, in order; raises RecordError naming the first bad line."""
    return parse_rows(path.read_text(encoding="utf-8"), path)


def parse_rows(content: str, path: Path) -> list[Evaluation]:
    """All evaluations of a curve's text; `path` is named where a line is bad.

    Raises RecordError for the first bad one.
    """
    rows: list[Evaluation] = []
    for number, text in enumerate(content.splitlines(), start=1):
        try:
            rows.append(parse_line(text))
        except ValueError as error:
            raise RecordError(f"{path}: line {number} is truncated or not an evaluation ({error})") from error
    return rows


def append(path: Path, row: Evaluation) -> None:
    """Append one evaluation and flush it to disk; a line that fails half-way is cut off again.

    Raises HarnessError where it cannot be written.
    """
    before = path.stat().st_size if path.exists() else 0
    try:
        with open(path, "ab") as file:
            file.write(row.as_line().encode())
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        with contextlib.suppress(OSError):  # a file that cannot even be opened has not been written to
            os.truncate(path, before)
        raise cannot_write(path, error) from error


def keep_until(path: Path, step: int) -> None:
    """Cut the curve back to the evaluations at or before `step`: those after a checkpoint are done again."""
    if not path.exists():
        return
    kept: list[str] = []
    for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
        try:
            row = parse_line(line)
        except ValueError:
            break  # a line torn by a crash; everything after it was never acknowledged
        if row.step > step:
            break
        kept.append(line)
    os.truncate(path, len("".join(kept).encode()))


def monotone_defects(rows: list[Evaluation]) -> list[str]:
    """Reasons why a curve cannot be a ledger's: counters that fall, counts above the total. Empty when sound."""
    defects = []
    for number, row in enumerate(rows, start=1):
        best = row.total if row.correct_top5 is None else row.correct_top5
        if not 0 <= row.correct_top1 <= best <= row.total or row.total <= 0:
            defects.append(f"evaluation {number}: counts {row.correct_top1}, {row.correct_top5} of {row.total}")
        top1, top5 = row.live_correct_top1, row.live_correct_top5
        absent = top1 is None and top5 is None
        if not absent and (top1 is None or top5 is None or not 0 <= top1 <= top5 <= row.total):
            defects.append(f"evaluation {number}: live counts {top1}, {top5} of {row.total}")
    for number, (a, b) in enumerate(pairwise(rows), start=2):
        falls = [name for name in _INTEGERS if getattr(b, name) < getattr(a, name)]
        if b.step <= a.step:
            falls.append("step (not rising)")
        defects += [f"evaluation {number}: {name} falls" for name in falls]
    return defects
