"""The level to reach, and the one predicate that says whether it was reached."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from harness.record.errors import BadInput

METRICS = ("top1", "top5")


@dataclass(frozen=True)
class Target:
    """A frozen accuracy level.

    metric: "top1" or "top5"; value: a fraction in (0, 1]; split: the evaluated split; evaluations_per_epoch: how often
    the level is looked for, which bounds how finely the cost is resolved; source: where the value comes from.
    """

    metric: str
    value: float
    split: str
    evaluations_per_epoch: int
    source: str

    def __post_init__(self) -> None:
        if self.metric not in METRICS:
            raise BadInput(f"target.metric is {self.metric!r}: use one of {', '.join(METRICS)}")
        if isinstance(self.value, bool) or not isinstance(self.value, int | float) or not 0 < self.value <= 1:
            hint = f": did you mean {self.value / 100:g}?" if _is_percent(self.value) else ""
            raise BadInput(f"target.value is {self.value!r}, but it is a fraction above 0 and at most 1{hint}")
        if self.evaluations_per_epoch < 1:
            raise BadInput(f"evaluations_per_epoch is {self.evaluations_per_epoch}: use 1 or more")

    def as_dict(self) -> dict[str, Any]:
        """Plain data for the record."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Target":
        """The inverse of `as_dict`; a missing or unknown key raises `BadInput`."""
        try:
            return cls(**data)
        except TypeError as error:
            raise BadInput(f"not a target: {error}") from error


def _is_percent(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 1 < value <= 100


def reached(correct: int, total: int, value: float) -> bool:
    """True when `correct` of `total` is at or above the fraction `value`.

    The division rounds correctly, as the reading of a decimal literal does, so equality holds exactly where the two
    rationals are equal: 28,261 of 50,000 reaches 0.56522.
    """
    return correct / total >= value
