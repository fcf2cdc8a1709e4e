"""A foreign curve, checked: what was trained, what its images cost, and what every evaluation found."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from harness.analyse.foreign.macs import Counter, Stage, constructor_of, schedule, stages
from harness.analyse.foreign.text.columns import Named
from harness.analyse.foreign.text.numbers import number
from harness.analyse.foreign.text.tables import TextLine
from harness.record.checked import path_name, published_date, seed_number
from harness.record.errors import BadInput
from harness.record.target import BEST, METRICS

MOST_EPOCHS = 5_000
"""Nobody trains longer on an image set: a larger figure counts iterations."""

CONTRADICTION = 0.02
"""Share of an epoch by which images and epoch x images an epoch may differ: batches are dropped and rounded."""

WHOLE = 0.01
"""Of an image: a count this near to a whole number is it. A float of 32 bits blurs an accuracy that much."""

EVALUATED = ("live", "average")


@dataclass(frozen=True)
class Look:
    """One evaluation. images: training images seen, cumulative; counts: correct images by metric, None where not
    logged; errors: by how many of them a count that was read off a plot may be wrong.
    """

    where: str
    epoch: float
    images: int
    total: int
    counts: Mapping[str, int | None]
    errors: Mapping[str, int | None]

    def judged(self, metric: str) -> bool:
        """True where the metric was logged."""
        return self.counts[metric] is not None

    def correct(self, metric: str) -> int:
        """Correct images. Raises ValueError where the metric was not logged."""
        if (count := self.counts[metric]) is None:
            raise ValueError(f"{self.where}: not judged by {metric}")
        return count


@dataclass(frozen=True)
class ForeignCurve:
    """A run of somebody else. constructor: which network was billed; stages: what its images cost, by epoch;
    images_an_epoch: that go through the network, copies included; facts: everything that was said of it."""

    run: str
    where: str
    model: str
    title: str
    published: str
    seed: int
    recipe: str
    planned_epochs: int
    constructor: str
    evaluated: str
    source: str
    images_an_epoch: int
    stages: tuple[Stage, ...]
    looks: tuple[Look, ...]
    facts: Mapping[str, str] = field(default_factory=dict)


def curves_of(
    columns: Named, reading_facts: Mapping[str, str], dataset: dict[str, Any], count: Counter
) -> list[ForeignCurve]:
    """Every run of a file. reading_facts: what is said of all of them. Raises BadInput naming line and remedy."""
    runs: dict[str, list[TextLine]] = {}
    for line in columns.lines:
        runs.setdefault(line.cells.get("run") or reading_facts.get("run") or "", []).append(line)
    if "" in runs:
        raise BadInput(f"{runs[''][0].where}: a line without a run; say --set run=NAME")
    return [_curve(run, lines, columns, reading_facts, dataset, count) for run, lines in runs.items()]


def _curve(
    run: str, lines: list[TextLine], columns: Named, shared: Mapping[str, str], dataset: dict[str, Any], count: Counter
) -> ForeignCurve:
    where = lines[0].where
    facts = dict(shared)
    for name in [n for n in lines[0].cells if n not in (*METRICS, "epoch", "images")]:
        if name.startswith("error_"):
            continue
        if len(values := {line.cells[name] for line in lines}) > 1:
            raise BadInput(f"{where}: run {run} has more than one {name}: {', '.join(sorted(values)[:3])}")
        facts[name] = lines[0].cells[name] or facts.get(name, "")
    for name in ("model", "published"):
        if name not in facts:
            raise BadInput(f"{where}: lacks {name}; add a column, or say --set {name}=VALUE")
    model = path_name(facts["model"], f"{where}: model")
    published_date(facts["published"], f"{where}: published")
    copies = (
        number(facts["copies_per_image"], columns.mark, f"{where}: copies_per_image")
        if facts.get("copies_per_image")
        else 1
    )
    images_an_epoch = round(copies * dataset["train_images"])
    said = facts.get("forward_macs")
    constructor = constructor_of(model, facts.get("constructor", ""))
    billed = stages(
        constructor,
        schedule(facts.get("resolution") or str(dataset["resolution"]), f"{where}: resolution"),
        number(said, columns.mark, f"{where}: forward_macs") if said else None,
        count,
        f"{where}: forward_macs",
    )
    evaluated = facts.get("evaluated") or "live"
    if evaluated not in EVALUATED:
        raise BadInput(f"{where}: evaluated is {evaluated!r}: which weights were judged, {' or '.join(EVALUATED)}?")
    looks = _looks(run, lines, columns, facts, images_an_epoch, dataset)
    return ForeignCurve(
        run=run,
        where=where,
        model=model,
        title=facts.get("title") or facts["model"],
        published=facts["published"],
        seed=_seed(facts["seed"], where) if facts.get("seed") else 0,
        recipe=facts.get("recipe") or "foreign",
        planned_epochs=_planned(facts.get("planned_epochs", ""), looks[-1], columns.mark, where),
        constructor=constructor,
        evaluated=evaluated,
        source=facts.get("source", ""),
        images_an_epoch=images_an_epoch,
        stages=billed,
        looks=looks,
        facts=facts,
    )


def _looks(
    run: str,
    lines: list[TextLine],
    columns: Named,
    facts: Mapping[str, str],
    images_an_epoch: int,
    dataset: dict[str, Any],
) -> tuple[Look, ...]:
    looks = [_look(line, columns, facts, images_an_epoch, dataset["evaluation_images"]) for line in lines]
    for a, b in pairwise(looks):
        if b.images <= a.images:
            raise BadInput(f"{b.where}: epoch or images does not rise within run {run}")
    if looks[0].images == 0:
        _untrained(looks[0], dataset["classes"])
        looks = looks[1:]
    if not looks:
        raise BadInput(f"{lines[0].where}: run {run} has no evaluation after training began")
    last = looks[-1]
    if last.images < images_an_epoch / 10 and last.correct("top1") > 10 * last.total / dataset["classes"]:
        raise BadInput(
            f"{last.where}: the whole run saw {last.images} images, under a tenth of an epoch of {images_an_epoch}, "
            "and learned; are images counted in thousands?"
        )
    return tuple(looks)


def _look(line: TextLine, columns: Named, facts: Mapping[str, str], images_an_epoch: int, total: int) -> Look:
    accuracy = {n: number(line.cells[n], columns.mark, f"{line.where}: {n}") for n in METRICS if line.cells.get(n)}
    if "top1" not in accuracy:
        raise BadInput(f"{line.where}: top1 is missing; leave the line out, or give it")
    counts: dict[str, int | None] = dict.fromkeys(METRICS)
    errors: dict[str, int | None] = dict.fromkeys(METRICS)
    for name, value in accuracy.items():
        fraction = value / columns.scale
        if fraction > 1:
            hint = f"; did you mean {value / 100:g}?" if 1 < value <= 100 else ""
            raise BadInput(f"{line.where}: {name} is {value:g}, but it is a fraction from 0 to 1{hint}")
        counts[name] = math.floor(fraction * total + WHOLE)  # what is not a whole image is not counted
        points = line.cells.get(f"error_{name}_points") or facts.get(f"error_{name}_points")
        if points:
            errors[name] = math.ceil(
                number(points, columns.mark, f"{line.where}: error_{name}_points") / 100 * total - WHOLE
            )
    if counts["top5"] is not None and (counts["top1"] or 0) > counts["top5"]:
        raise BadInput(f"{line.where}: top1 is above top5")
    epoch, images = _when(line, columns, images_an_epoch)
    return Look(line.where, epoch, images, total, counts, errors)


def _when(line: TextLine, columns: Named, images_an_epoch: int) -> tuple[float, int]:
    """Epochs done and images seen. Raises BadInput where the two contradict each other, or count something else."""
    cells = line.cells
    epoch = None
    if text := cells.get("epoch", "").partition("/")[0]:  # pycls writes 1/100
        epoch = number(text, columns.mark, f"{line.where}: epoch") + (1 - columns.first_epoch)
        if epoch > MOST_EPOCHS:
            raise BadInput(f"{line.where}: epoch is {text}; are these iterations? Divide by the iterations of an epoch")
    if cells.get("images"):
        images = round(number(cells["images"], columns.mark, f"{line.where}: images"))
        if epoch is None:
            epoch = images / images_an_epoch
        elif abs(images / images_an_epoch - epoch) > CONTRADICTION * max(1.0, epoch):
            raise BadInput(
                f"{line.where}: epoch {epoch:g} is {round(epoch * images_an_epoch)} images at {images_an_epoch} each, "
                f"but images is {images}: correct one, or the images of an epoch (--train-images)"
            )
        return epoch, images
    if epoch is None:
        raise BadInput(f"{line.where}: neither epoch nor images; leave the line out, or give one")
    return epoch, round(epoch * images_an_epoch)


def _untrained(look: Look, classes: int) -> None:
    """A look before any training is left out; above chance it is none."""
    for metric in METRICS:
        chance = min(BEST[metric], classes) / classes
        if look.judged(metric) and look.correct(metric) > 2 * chance * look.total:
            raise BadInput(
                f"{look.where}: {metric} {look.correct(metric) / look.total:.1%} after 0 images, where guessing gives "
                f"{chance:.1%}; does the log count epochs from 0? Say --epochs-from 0"
            )


def _planned(text: str, last: Look, mark: str, where: str) -> int:
    """The planned length; the curve's own where nobody said. Raises BadInput where the curve is longer."""
    if not text:
        return math.ceil(last.epoch - 1e-9)
    planned = round(number(text, mark, f"{where}: planned_epochs"))
    if planned < math.floor(last.epoch):
        raise BadInput(f"{last.where}: epoch {last.epoch:g} of a plan of {planned}: correct planned_epochs")
    return planned


def _seed(text: str, where: str) -> int:
    """A seed is read as an integer: a float would round two large ones into one."""
    try:
        value = int(text)
    except ValueError as error:
        raise BadInput(f"{where}: seed is {text!r}, not a whole number") from error
    return seed_number(value, f"{where}: seed")


def one_seed_once(curves: list[ForeignCurve]) -> None:
    """Raise BadInput where two runs claim to be one seed of one plan: the analysis would take them for repetitions."""
    seen: dict[tuple[str, ...], ForeignCurve] = {}
    for c in curves:
        other = seen.setdefault((c.model, c.recipe, c.facts.get("planned_epochs", ""), str(c.seed)), c)
        if other is not c:
            raise BadInput(
                f"{c.where}: runs {other.run} and {c.run} are both {c.model}, recipe {c.recipe}, seed {c.seed}: give a "
                "column seed, or say --map recipe=run where each is a recipe of its own"
            )
