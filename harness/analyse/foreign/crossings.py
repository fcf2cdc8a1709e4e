"""Where a foreign curve crosses a level: first, confirmed, and between which looks, its error included."""

from collections.abc import Iterable
from dataclasses import dataclass

from harness.analyse.foreign.curve import ForeignCurve, Look
from harness.record.protocol import CONFIRM
from harness.record.target import METRICS, crossing, crossing_of, reached

LEVELS = {"top1": (0.56, 0.564, 0.56522), "top5": (0.791,)}
"""AlexNet's, beside every whole percent: torchvision's top-1, the same less half a point and nearly it, the study's
top-5."""


@dataclass(frozen=True)
class LevelCrossing:
    """One level of one curve. Images are cumulative; `low` and `high`: the level was passed after low, not after high.

    first: the first look at the level; confirmed: the first that the next look confirms, None where none is.
    high is None where the error of a plot leaves open whether the level was reached at all.
    """

    metric: str
    level: float
    first: Look
    confirmed: Look | None
    low_images: int
    high_images: int | None


def levels_of(metric: str) -> list[float]:
    """Every whole percent, and AlexNet's levels."""
    return sorted({percent / 100 for percent in range(1, 100)} | set(LEVELS[metric]))


def crossings_of(curve: ForeignCurve) -> Iterable[LevelCrossing]:
    """Every level that the curve reaches, of each metric that it was judged by."""
    for metric in METRICS:
        looks = [look for look in curve.looks if look.judged(metric)]
        for level in levels_of(metric):
            at = crossing_of(looks, metric, level, 1)
            if at is None:
                break
            confirmed = crossing_of(looks, metric, level, CONFIRM)
            above = _first(looks, metric, level, sign=1)
            below = _first(looks, metric, level, sign=-1)
            assert above is not None  # the look itself is at the level
            yield LevelCrossing(
                metric,
                level,
                looks[at],
                None if confirmed is None else looks[confirmed],
                0 if above == 0 else looks[above - 1].images,
                None if below is None else looks[below].images,
            )


def _first(looks: list[Look], metric: str, level: float, *, sign: int) -> int | None:
    """The first look at the level with every count moved by its error; without error the crossing itself."""
    return crossing(
        (reached(look.correct(metric) + sign * (look.errors[metric] or 0), look.total, level) for look in looks), 1
    )
