"""The shortest plan that still reaches the target: bisection over planned epochs, as a pure function of what is known.

Nothing is stored: the next run follows from the outcomes so far, so a search resumes by asking again. It assumes that
a longer plan never does worse; where noise breaks that, it ends at one of the places where failure turns to success.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from harness.record.errors import BadInput


@dataclass(frozen=True)
class Rule:
    """A plan succeeds when `needed` of `seeds` runs reach the target."""

    seeds: int
    needed: int

    def __post_init__(self) -> None:
        if not 1 <= self.needed <= self.seeds:
            raise BadInput(f"--needed {self.needed} of --seeds {self.seeds}: needed is at least 1 and at most seeds")


@dataclass(frozen=True)
class Outcome:
    """One finished run of the search; `seed` counts from 0."""

    epochs: int
    seed: int
    reached: bool


@dataclass(frozen=True)
class Ask:
    """The run to do next."""

    epochs: int
    seed: int


@dataclass(frozen=True)
class Found:
    """The end of the search: the shortest plan that succeeds, None where not even the longest does."""

    epochs: int | None


def next_step(known: Iterable[Outcome], *, low: int, high: int, rule: Rule) -> Ask | Found:
    """The next run of a search for the shortest plan in [low, high] epochs, or its end.

    A plan is given up as soon as too few seeds are left to succeed, and accepted as soon as enough have.

    Raises BadInput for a range that holds no plan.
    """
    if not 1 <= low <= high:
        raise BadInput(f"epochs from {low} to {high}: give a range that starts at 1 or more and does not end below")
    by_plan: dict[int, dict[int, bool]] = {}
    for outcome in known:
        by_plan.setdefault(outcome.epochs, {})[outcome.seed] = outcome.reached

    def verdict(epochs: int) -> bool | Ask:
        runs = by_plan.get(epochs, {})
        reached = sum(runs.values())
        if reached >= rule.needed:
            return True
        if len(runs) - reached > rule.seeds - rule.needed:
            return False
        return Ask(epochs, next(seed for seed in range(rule.seeds) if seed not in runs))

    fails, succeeds = low - 1, high
    found = verdict(high)
    if isinstance(found, Ask):
        return found
    if not found:
        return Found(None)
    while succeeds - fails > 1:
        middle = (fails + succeeds) // 2
        found = verdict(middle)
        if isinstance(found, Ask):
            return found
        if found:
            succeeds = middle
        else:
            fails = middle
    return Found(succeeds)
