"""The level to reach: the one predicate that says whether a look reached it, the one function that says when it counts.

A look is one evaluation. `reached` judges a look, `crossing` a sequence of them. The training loop and the analysis
both use these two and no others, so that a run stops where its curve is read.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol

from harness.record.errors import BadInput

METRICS = ("top1", "top5")
BEST = {"top1": 1, "top5": 5}
"""How many guesses an image has under each metric."""


class Look(Protocol):
    """What of an evaluation a target needs: `harness.record.curve.Evaluation` is one."""

    @property
    def total(self) -> int:
        """Images looked at."""

    def judged(self, metric: str) -> bool:
        """True where this metric was counted; an imported curve may lack one."""

    def correct(self, metric: str) -> int:
        """Images that are right by this metric."""


@dataclass(frozen=True)
class Target:
    """A frozen accuracy level.

    metric: "top1" or "top5"; value: a fraction in (0, 1]; split: the evaluated split; evaluations_per_epoch: how often
    the level is looked for, which bounds how finely the cost is resolved; source: where the value comes from.
    confirm: looks in a row that must be at the level, the first of them being the crossing (1 is the rule of
    Hernandez & Brown 2020 and of protocol 1); past_evaluations: looks after the one that confirms, before the run
    stops; also: further levels watched in the same run, as (metric, value).
    """

    metric: str
    value: float
    split: str
    evaluations_per_epoch: int
    source: str
    confirm: int = 1
    past_evaluations: int = 0
    also: tuple[tuple[str, float], ...] = ()

    def __post_init__(self) -> None:
        for metric, value in self.levels:
            if metric not in METRICS:
                raise BadInput(f"target.metric is {metric!r}: use one of {', '.join(METRICS)}")
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 1:
                hint = f": did you mean {value / 100:g}?" if _is_percent(value) else ""
                raise BadInput(f"target.value is {value!r}, but it is a fraction above 0 and at most 1{hint}")
        if len({metric for metric, _ in self.levels}) < len(self.levels):
            raise BadInput(f"target.also names {self.metric} again: give each metric one level")
        if self.evaluations_per_epoch < 1:
            raise BadInput(f"evaluations_per_epoch is {self.evaluations_per_epoch}: use 1 or more")
        if not _is_count(self.confirm) or self.confirm < 1:
            raise BadInput(f"target.confirm is {self.confirm!r}: use 1 (the first look counts), 2 or more")
        if not _is_count(self.past_evaluations) or self.past_evaluations < 0:
            raise BadInput(f"target.past_evaluations is {self.past_evaluations!r}: use 0 or more")

    @property
    def levels(self) -> tuple[tuple[str, float], ...]:
        """Every level that the run watches, as (metric, value), its own first."""
        return ((self.metric, self.value), *self.also)

    def each(self) -> "list[Target]":
        """One target for every level watched: each is judged, grouped and compared by itself."""
        return [replace(self, metric=metric, value=value, also=()) for metric, value in self.levels]

    def says_something(self, classes: int) -> None:
        """Raise BadInput where guessing among `classes` classes already reaches a level."""
        for metric, value in self.levels:
            chance = min(BEST[metric], classes) / classes
            if value <= chance:
                raise BadInput(
                    f"target.{metric} {value:g} says nothing: guessing among {classes} classes reaches {chance:g}; "
                    "set target.value above that, or take more classes"
                )

    def as_dict(self) -> dict[str, Any]:
        """Plain data for the record."""
        return asdict(self) | {"also": dict(self.also)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Target":
        """The inverse of `as_dict`; a missing or unknown key raises `BadInput`.

        A record of protocol 1 has no `confirm`, `past_evaluations` and `also`: its run stopped at its first look above.
        """
        try:
            also = {} if data.get("also") is None else dict(data["also"])
            return cls(**{**data, "also": tuple(sorted(also.items()))})
        except (TypeError, ValueError, AttributeError) as error:
            raise BadInput(f"not a target: {error}") from error


def _is_percent(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 1 < value <= 100


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def reached(correct: int, total: int, value: float) -> bool:
    """True when `correct` of `total` is at or above the fraction `value`.

    The division rounds correctly, as the reading of a decimal literal does, so equality holds exactly where the two
    rationals are equal: 28,261 of 50,000 reaches 0.56522. Whole numpy arrays are judged at once.
    """
    return correct / total >= value


def crossing(above: Iterable[bool], confirm: int) -> int | None:
    """Index of the first look at the level that stays there for `confirm` looks in a row, itself one; None for none.

    above: for each look in order, what `reached` says of it. The cost is the ledger at the look returned; the interval
    from the look before it is its resolution.
    """
    run = 0
    for index, at_level in enumerate(above):
        run = run + 1 if at_level else 0
        if run == confirm:
            return index - confirm + 1
    return None


def crossing_of(looks: Sequence[Look], metric: str, value: float, confirm: int) -> int | None:
    """`crossing` of evaluations: the index of the one whose ledger is the cost of (metric, value); None for a miss.

    Looks that were not judged by the metric say nothing of it: the next that was confirms.
    """
    judged = [index for index, look in enumerate(looks) if look.judged(metric)]
    at = crossing((reached(looks[i].correct(metric), looks[i].total, value) for i in judged), confirm)
    return None if at is None else judged[at]


def complete(looks: Sequence[Look], target: Target) -> bool:
    """True when a run may stop: every level is confirmed and `past_evaluations` looks lie behind the last to be."""
    crossings = [crossing_of(looks, metric, value, target.confirm) for metric, value in target.levels]
    if any(index is None for index in crossings):
        return False
    last = max(index for index in crossings if index is not None)
    return len(looks) >= last + target.confirm + target.past_evaluations


def all_confirmed(looks: Sequence[Look], target: Target) -> bool:
    """True when every level is confirmed: the outcome "reached", also where the plan ends before `past_evaluations`."""
    return complete(looks, replace(target, past_evaluations=0))


def unconfirmed(looks: Sequence[Look], target: Target) -> list[str]:
    """Metrics whose last look is at the level without being confirmed: one more look would have told."""
    return [
        metric
        for metric, value in target.levels
        if looks
        and looks[-1].judged(metric)
        and reached(looks[-1].correct(metric), looks[-1].total, value)
        and crossing_of(looks, metric, value, target.confirm) is None
    ]
