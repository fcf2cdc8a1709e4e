"""How many seeds, evaluation images and architectures tell two costs or two halving times apart, by what was measured.

Power is the chance that a two-sided test at 5 % says so where it is so. All tests are Student's t, with power from the
noncentral t distribution (Johnson, Kotz and Balakrishnan 1995, Continuous Univariate Distributions 2, chapter 31).

Costs. ln of a cost scatters over seeds with one standard deviation s for all architectures, pooled
(evidence/spread.py). Two architectures with n seeds each, or their two factors against the same reference, are a ratio
R apart: the estimate of ln R has variance 2 s^2 / n, and s is known from A (n - 1) degrees of freedom, A architectures.

Evaluation images. With N of them accuracy p is known to p (1 - p) / N, and a cost at the level moves by k times an
accuracy's error, where k is the slope of ln cost in accuracy there: s^2(N) = s^2 + k^2 p (1 - p) (1/N - 1/N0) with N0
images now. It supposes that runs err independently; they share their images, so it is the most that N can matter: of
fewer images than now as many as it says are enough, of more it takes that many or more.

Halving time. log2 cost lies off a line in date by a standard deviation t (the line's residual; seeds are in it). A
architectures, evenly over a span of W months, know the slope to t / sqrt(W^2 A (A + 1) / (12 (A - 1))), with A - 2
degrees of freedom. Two halving times are |1/a - 1/b| doublings a month apart. It supposes that further architectures
scatter as these do, and that those on the frontier are like a sample drawn about the line.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np
from scipy.special import nctdtr, stdtrit

from harness.analyse.evidence.cost import UNITS
from harness.analyse.evidence.crossings import crossing
from harness.analyse.evidence.ladder import Entry, ladder
from harness.analyse.evidence.runs.groups import Group
from harness.analyse.evidence.runs.plans import PLANS
from harness.analyse.evidence.runs.run import Run
from harness.analyse.evidence.spread import pooled
from harness.analyse.trend.line import fit, frontier, months
from harness.record.target import Target
from harness.record.units import MOORE_DOUBLING_MONTHS

ALPHA = 0.05
"""Chance that the test says "apart" where they are not."""

MOST, MOST_IMAGES = 10_000, 10**9
"""Numbers of seeds and architectures, and of evaluation images, that are looked at."""

STUDY_HALVING_MONTHS = 16.0
"""Hernandez & Brown (2020), abstract: the halving time to be told from Moore's law, where nothing else is asked."""

WINDOW = 0.02
"""Accuracy below the level over which the slope of ln cost is taken: a few looks, and the curve is nearly straight."""


@dataclass(frozen=True)
class Question:
    """factor: the ratio of two costs, above 1; halving: two halving times in months; power: the chance asked for."""

    factor: float = 1.25
    halving: tuple[float, float] = (STUDY_HALVING_MONTHS, MOORE_DOUBLING_MONTHS)
    power: float = 0.8


def t_power(effect: float, freedom: float, alpha: float = ALPHA) -> float:
    """Chance that a two-sided t test sees an effect of so many standard errors; 0 without a degree of freedom."""
    if freedom < 1:
        return 0.0
    at = float(stdtrit(freedom, 1 - alpha / 2))
    under, over = np.nan_to_num(nctdtr(freedom, effect, [at, -at]), nan=0.0)  # NaN is scipy's word for under 1e-30
    return float(1 - under + over)


def factor_power(ratio: float, sd_log: float, seeds: int, architectures: int) -> float:
    """Chance to tell costs a `ratio` apart by `seeds` runs of each; `sd_log` of ln cost, pooled over architectures."""
    error = sd_log * math.sqrt(2 / seeds)
    return t_power(math.log(ratio) / error, architectures * (seeds - 1)) if error else float(seeds > 1)


def halving_power(two: tuple[float, float], scatter: float, span_months: float, points: int) -> float:
    """Chance to tell two halving times (months) apart by `points` architectures evenly over the span.

    scatter: standard deviation about the line, in doublings.
    """
    if points < 3:
        return 0.0
    error = scatter / math.sqrt(span_months**2 * points * (points + 1) / (12 * (points - 1)))
    return t_power(abs(1 / two[0] - 1 / two[1]) / error, points - 2) if error else 1.0


def sd_with_images(sd_log: float, slope: float, level: float, images: float, now: int) -> float | None:
    """Standard deviation of ln cost with `images` evaluation images (inf for endless) where it is `sd_log` with `now`.

    None where the images now would explain more than all of it: then they cannot err as independently as supposed.
    """
    variance = sd_log**2 + slope**2 * level * (1 - level) * (1 / images - 1 / now)
    return math.sqrt(variance) if variance > 0 else None


def least(power_of: Callable[[int], float], power: float, first: int, most: int = MOST) -> int | None:
    """The smallest number from `first` up with that power, which rises with it; None where `most` is too few."""
    if power_of(most) < power:
        return None
    low, high = first - 1, most
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if power_of(middle) >= power else (middle, high)
    return high


def answers(group: Group, question: Question, recipe: str | None = None, plans: str = PLANS[0]) -> dict[str, Any]:
    """The answers for one group as plain data; `reason` says in words what is too little to answer from."""
    entries, _, _ = ladder(group, recipe, "paper_pflop" if plans == "cheapest" else None)
    target = group.target
    reached = [r for r in entries if r.costs(target.metric, target.value, "paper_pflop").successes]
    return {
        "dataset": group.dataset.name,
        "key": group.key,
        "target": target.as_dict(),
        "power": question.power,
        "alpha": ALPHA,
        "costs": _costs(reached, target, group.dataset.evaluation_images, question),
        "halving": {
            "months": list(question.halving),
            "lines": [_line(reached, target, question, over) for over in ("the frontier", "all architectures")],
        },
    }


def _costs(entries: list[Entry], target: Target, images: int, question: Question) -> dict[str, Any]:
    """Seeds and evaluation images that tell two costs apart."""
    found: dict[str, Any] = {"ratio": question.factor, "evaluation_images": images, "reason": None}
    costs = [r.costs(target.metric, target.value, "paper_pflop") for r in entries]
    spread = pooled(costs)
    if not spread.freedom:
        reason = "no architecture has two runs that reached: the spread over seeds is not known; run a second seed"
        return found | {"reason": reason}
    many = max(2, len(entries))
    seeds = max(2, round(median(c.successes for c in costs if c.successes > 1)))
    slope = slope_at(entries, target)

    def answer(sd: float) -> dict[str, Any]:
        return {
            "sd_log_cost": sd,
            "seeds": least(lambda n: factor_power(question.factor, sd, n, many), question.power, 2),
            "power_with_seeds_now": factor_power(question.factor, sd, seeds, many),
        }

    unknown = {"sd_log_cost": None, "seeds": None, "power_with_seeds_now": None}
    by_images = []
    for count in (images // 4, images, 4 * images, math.inf) if slope is not None and images >= 4 else (images,):
        sd = spread.sd if slope is None else sd_with_images(spread.sd, slope, target.value, count, images)
        by_images.append(
            {"evaluation_images": None if math.isinf(count) else int(count)} | (unknown if sd is None else answer(sd))
        )
    return found | {
        "architectures": len(entries),
        "sd_log_cost": spread.sd,
        "freedom": spread.freedom,
        "spread_holds": spread.holds,
        "slope_ln_cost": slope,
        "seeds_now": seeds,
        "seeds": answer(spread.sd)["seeds"],
        "images": _images(
            lambda sd: factor_power(question.factor, sd, seeds, many),
            None if slope is None else lambda n: sd_with_images(spread.sd, slope, target.value, n, images),
            question.power,
            images,
        ),
        "by_images": by_images,
    }


def _images(
    power_of: Callable[[float], float], sd_of: Callable[[float], float | None] | None, power: float, now: int
) -> dict[str, Any]:
    """Evaluation images that give the power with as many seeds as now, `bound` of the truth; or the reason for none.

    power_of: power by the standard deviation of ln cost; sd_of: that by the number of images, None where no curve says.
    """
    found: dict[str, Any] = {"count": None, "bound": None, "reason": None}
    if sd_of is None or (sd := sd_of(now)) is None:
        return found | {"reason": "not known: no curve shows how cost rises with accuracy"}

    def power_with(images: float) -> float:
        return 1.0 if (sd := sd_of(images)) is None else power_of(sd)

    if power_of(sd) >= power:
        return found | {"count": least(power_with, power, 1, now), "bound": "at most"}
    if sd_of(math.inf) is None:
        return found | {"reason": "not known: supposed independent, their noise is more than the whole spread"}
    if (endless := power_with(math.inf)) < power:
        return found | {"reason": f"no number is enough: endless ones give a chance of {endless:.0%}"}
    return found | {"count": least(power_with, power, now, MOST_IMAGES), "bound": "at least"}


def slope_at(entries: list[Entry], target: Target) -> float | None:
    """k: by how much ln cost rises for each unit of accuracy at the level, every architecture with one voice.

    Runs tell it between their crossings of the level and of `WINDOW` below, by the accuracies that they have there.
    None where no run crosses both at different looks.
    """
    slopes = []
    for entry in entries:
        rises = [rise for t in entry.runs if (rise := _rise(t, target, entry.confirm)) is not None]
        costs, accuracies = (sum(column) for column in zip(*rises, strict=True)) if rises else (0.0, 0.0)
        if accuracies > 0:
            slopes.append(costs / accuracies)
    return float(np.mean(slopes)) if slopes else None


def _rise(run: Run, target: Target, confirm: int) -> tuple[float, float] | None:
    """By how much ln cost and accuracy rise from the crossing of `WINDOW` below to that of the level."""
    ends = [crossing(run, target.metric, v, confirm=confirm) for v in (target.value - WINDOW, target.value)]
    below, at = (None if end is None else end.index for end in ends)
    if below is None or at is None or below >= at:
        return None
    spent, accuracy = UNITS["paper_pflop"](run), run.accuracy(target.metric)
    return float(np.log(spent[at] / spent[below])), float(accuracy[at] - accuracy[below])


def _line(entries: list[Entry], target: Target, question: Question, over: str) -> dict[str, Any]:
    """Architectures that tell two halving times apart, by the scatter about one line."""
    dates = [r.published for r in entries]
    costs = [r.costs(target.metric, target.value, "paper_pflop") for r in entries]
    expected = [c.expected().at for c in costs]
    chosen = frontier(dates, expected) if over == "the frontier" else list(range(len(entries)))
    x, y = [months(dates[i]) for i in chosen], [expected[i] for i in chosen]
    found: dict[str, Any] = {"over": over, "points": len(chosen), "reason": None}
    line = fit(x, y)
    if line is None or len(chosen) < 3:
        reason = f"{over}: a line's scatter needs three architectures that reached, of two dates or more; there are"
        return found | {"reason": f"{reason} {len(chosen)}"}
    residual = np.log2(y) - line.intercept - line.slope * np.asarray(x)
    scatter = math.sqrt(float((residual**2).sum()) / (len(x) - 2))
    seeds_part = pooled(costs).sd ** 2 / math.log(2) ** 2 * float(np.mean([1 / costs[i].successes for i in chosen]))
    own = math.sqrt(max(0.0, scatter**2 - seeds_part))
    span = max(x) - min(x)

    def needed(tau: float) -> int | None:
        return least(lambda n: halving_power(question.halving, tau, span, n), question.power, 3)

    return found | {
        "halving_months": line.halving_months if math.isfinite(line.halving_months) else None,
        "scatter_doublings": scatter,
        "scatter_without_seeds": own,
        "span_months": span,
        "power_now": halving_power(question.halving, scatter, span, len(chosen)),
        "architectures": needed(scatter),
        "architectures_endless_seeds": needed(own),
    }
