"""Which column is what, and in which unit: said by the user, by the heading, or guessed where there is no doubt."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import median

from harness.analyse.foreign.text.exports import reshaped
from harness.analyse.foreign.text.numbers import number
from harness.analyse.foreign.text.tables import TextLine, TextLines
from harness.record.errors import BadInput
from harness.record.target import METRICS

UNITS = {"fraction": 1.0, "percent": 100.0}

FACTS = (
    "run",
    "model",
    "published",
    "forward_macs",
    "title",
    "seed",
    "recipe",
    "planned_epochs",
    "resolution",
    "source",
    "constructor",
    "evaluated",
    "error_top1_points",
    "error_top5_points",
    "copies_per_image",
)
"""Columns that say one thing of a whole curve; `--set NAME=VALUE` gives one to all of them."""

_SAME = {
    "epoch": {"epoch", "epochs", "ep"},
    "images": {"images", "imagesseen", "samples", "samplesseen"},
    **{
        f"top{n}": {
            f"{a}{n}{b}" for a in ("top", "acctop", "accuracytop", "acc", "prec") for b in ("", "acc", "accuracy")
        }
        for n in (1, 5)
    },
    **{f"error{n}": {f"top{n}err", f"top{n}error", f"errtop{n}", f"err{n}"} for n in (1, 5)},
}
_STAGE = re.compile(r"^(?:val|valid|validation|eval|evaluation|test)(?=[a-z])")
_UNIT_WORDS = {"percent": ("%", "percent", "pct"), "fraction": ("fraction",)}


@dataclass(frozen=True)
class Reading:
    """What the user said of the files. names: our name -> heading; constants: our name -> value, for every curve;
    first_epoch: 0 where epochs are counted from 0, None where nobody said."""

    names: Mapping[str, str] = field(default_factory=dict)
    constants: Mapping[str, str] = field(default_factory=dict)
    unit: str | None = None
    first_epoch: int | None = None

    def __post_init__(self) -> None:
        known = {"epoch", "images", *METRICS, *FACTS}
        for option, given, allowed in (("--map", self.names, known), ("--set", self.constants, set(FACTS))):
            if unknown := sorted(set(given) - allowed):
                raise BadInput(f"{option} {unknown[0]}=...: use one of {', '.join(sorted(allowed))}")


@dataclass(frozen=True)
class Named:
    """Lines under our own names. Accuracies are fractions as text where they are there; notes: what was guessed."""

    lines: list[TextLine]
    mark: str
    scale: float
    first_epoch: int
    notes: list[str]


def named(raw: TextLines, reading: Reading) -> Named:
    """Give every column its name and the accuracies their unit. Raises BadInput where there is doubt."""
    shaped, notes = reshaped(raw)
    names = _find(shaped, reading)
    notes += [f"{ours} is column {theirs!r}" for ours, theirs in names.items() if ours != theirs.lower()]
    lines = [
        TextLine(line.where, {ours: line.cells[theirs] for ours, theirs in names.items()})
        for line in shaped.lines
        if any(line.cells[names[name]] for name in names if name in (*METRICS, "error1", "error5"))
    ]  # a line without an accuracy is no evaluation: a training log has many
    if not lines:
        raise BadInput(f"{raw.path}: no line in it with an accuracy")
    unit, how = _unit(lines, shaped.mark, [names[n] for n in names if n in METRICS or n.startswith("error")], reading)
    notes += [how] if how else []
    lines = [_without_errors(line, shaped.mark, UNITS[unit]) for line in lines]
    first = reading.first_epoch
    if first is None and {"train_loss", "eval_loss", "eval_top1"} <= {name.lower() for name in raw.header}:
        first = 0
        notes.append("timm's summary.csv: epochs are counted from 0")
    return Named(lines, shaped.mark, UNITS[unit], 1 if first is None else first, [f"{raw.path}: {n}" for n in notes])


def _plain(heading: str) -> str:
    """A heading without case, signs, unit and the name of the evaluated split."""
    text = heading.lower()
    for words in _UNIT_WORDS.values():
        for word in words:
            text = text.replace(word, "")
    return _STAGE.sub("", re.sub(r"[^a-z0-9]", "", text))


def _find(lines: TextLines, reading: Reading) -> dict[str, str]:
    """Our name -> heading, for every column that is known. Raises BadInput for two that could be one."""
    names: dict[str, str] = {}
    by_lower = {heading.lower().replace(" ", "_"): heading for heading in lines.header}
    for ours in (*FACTS, *_SAME):
        same = [h for h in lines.header if _plain(h) in _SAME.get(ours, ())]
        if ours in reading.names:
            if reading.names[ours] not in lines.header:
                have = ", ".join(lines.header)
                raise BadInput(f"{lines.path}: line 1: no column {reading.names[ours]!r} for {ours}; there are: {have}")
            names[ours] = reading.names[ours]
        elif ours in by_lower:
            names[ours] = by_lower[ours]
        elif len(same) > 1:
            raise BadInput(f"{lines.path}: line 1: {' and '.join(same)} could both be {ours}; say --map {ours}=HEADING")
        elif same:
            names[ours] = same[0]
    missing = [] if {"top1", "error1"} & set(names) else ["top1"]
    missing += [] if {"epoch", "images"} & set(names) else ["epoch or images"]
    if missing:
        raise BadInput(
            f"{lines.path}: line 1: lacks {' and '.join(missing)}; say which column it is, as --map "
            f"{missing[0].split()[0]}=HEADING (there are: {', '.join(lines.header)})"
        )
    return names


def _unit(lines: list[TextLine], mark: str, headings: list[str], reading: Reading) -> tuple[str, str]:
    """The unit of the accuracies, and a note where it was guessed."""
    if reading.unit:
        return reading.unit, ""
    said = {unit for unit, words in _UNIT_WORDS.items() for h in headings for w in words if w in h.lower()}
    cells = [(line, n, t) for line in lines for n, t in line.cells.items() if t and n in (*METRICS, "error1", "error5")]
    said |= {"percent"} if all(text.endswith("%") for _, _, text in cells) else set()
    if len(said) == 1:
        return said.pop(), ""
    values = [(number(text, mark, f"{line.where}: {name}"), line, name) for line, name, text in cells]
    highest, line, name = max(values, key=lambda v: v[0])
    if highest <= 1:
        return "fraction", "accuracies are read as fractions, since none is above 1 (else say --unit percent)"
    if median(value for value, _, _ in values) > 1:
        return "percent", "accuracies are read as percent, since most are above 1 (else say --unit fraction)"
    raise BadInput(
        f"{line.where}: {name} is {highest:g}, but most accuracies are fractions from 0 to 1; did you mean "
        f"{highest / 100:g}? If all are percent, say --unit percent"
    )


def _without_errors(line: TextLine, mark: str, scale: float) -> TextLine:
    """Errors turned into accuracies, in the same unit."""
    cells = dict(line.cells)
    for n in (1, 5):
        text = cells.pop(f"error{n}", "")
        if text and not cells.get(f"top{n}"):
            accuracy = scale - number(text, mark, f"{line.where}: top-{n} error")
            cells[f"top{n}"] = f"{accuracy:.10g}".replace(".", mark)
    return TextLine(line.where, cells)
