"""The architectures of a group at its target: seeds, median cost, place on the frontier."""

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import numpy as np

from harness.analyse.evidence.cost import UNITS, Cost, Costs, cost_at
from harness.analyse.evidence.crossings import Crossing, crossing
from harness.analyse.evidence.runs.groups import Group
from harness.analyse.evidence.runs.plans import Plan, told_apart
from harness.analyse.evidence.runs.run import Run
from harness.analyse.evidence.titles import short_title

REFERENCE = "alexnet"


@dataclass(frozen=True, eq=False)
class Entry:
    """An architecture under one plan: its runs in order of seed. Crossings and costs are read once and kept.

    apart: what sets the plan's settings apart from the architecture's other plans, in words; mostly empty.
    confirm: looks in a row that make a crossing, the target's own rule.
    """

    plan: Plan
    runs: list[Run]
    apart: str = ""
    confirm: int = 1
    _crossings: dict[tuple[str, float, int, int], list[Crossing | None]] = field(default_factory=dict, repr=False)
    _costs: dict[tuple[str, float, str, int], Costs] = field(default_factory=dict, repr=False)

    @property
    def model(self) -> str:
        """The architecture's name in the zoo."""
        return self.plan.model

    @property
    def published(self) -> str:
        """First publication, YYYY-MM-DD."""
        return self.runs[0].published

    @property
    def declared(self) -> bool:
        """Whether the experiment says that this plan stands in the trend: a run of it does."""
        return any(t.declared for t in self.runs)

    def costs(self, metric: str, value: float, unit: str, *, confirm: int | None = None) -> Costs:
        """One cost a run, in the order of `runs`; `confirm`: another rule of the crossing than the target's."""
        confirm = self.confirm if confirm is None else confirm
        key = (metric, value, unit, confirm)
        if key not in self._costs:
            costs = self._costs_at(key, 0)
            if any(t.error(metric).any() for t in self.runs):
                costs = replace(costs, raised=self._costs_at(key, 1), lowered=self._costs_at(key, -1))
            self._costs[key] = costs
        return self._costs[key]

    def _costs_at(self, key: tuple[str, float, str, int], errors: int) -> Costs:
        """With so many errors of a plot added to each curve."""
        metric, value, unit, confirm = key
        level = (metric, value, confirm, errors)
        if level not in self._crossings:
            self._crossings[level] = [crossing(t, metric, value, confirm=confirm, errors=errors) for t in self.runs]
        costs = [cost_at(UNITS[unit](t), c) for t, c in zip(self.runs, self._crossings[level], strict=True)]
        return Costs(np.array([c.after for c in costs]), np.array([c.at for c in costs]))

    def plan_cost(self, unit: str) -> float:
        """What the whole plan costs, the median over the runs; a run that stopped early is taken on at its own rate."""
        whole = [
            UNITS[unit](t)[-1] / t.clock("epoch")[-1] * self.plan.planned_epochs
            for t in self.runs
            if t.counters.shape[1]
        ]
        return float(np.median(whole)) if whole else 0.0

    def median_run(self, metric: str, value: float) -> Run:
        """The run in the middle by epochs to the level (the lower of two), censored ones last."""
        order = self.costs(metric, value, "epochs").order()
        return self.runs[order[(len(order) - 1) // 2]]


def entries_of(runs: Iterable[Run], confirm: int) -> list[Entry]:
    """One entry a plan, of every architecture; `confirm`: looks in a row that make a crossing."""
    plans: dict[Plan, list[Run]] = {}
    for t in runs:
        plans.setdefault(t.plan, []).append(t)
    apart = told_apart(list(plans))
    entries = [
        Entry(plan, sorted(members, key=lambda t: (t.seed, t.path)), words, confirm)
        for (plan, members), words in zip(plans.items(), apart, strict=True)
    ]
    return sorted(entries, key=lambda r: repr(r.plan))


def ladder(
    group: Group, recipe: str | None = None, cheapest_in: str | None = None
) -> tuple[list[Entry], list[Entry], list[str]]:
    """The entries of the trend (one an architecture, by date), the other plans beside it, and notes on the choice.

    Where an architecture was run under several plans, the trend takes the one that the experiment declares
    (`declared=true`). Where it declares none, or several, it takes the recipe that most architectures share, then the
    plan with most runs, then the longest: what was decided before a cost was known. A note says which it was, and
    where that rule leaves two plans equal. `recipe` narrows the choice to one recipe. cheapest_in: a unit; the trend
    then takes the plan of least expected cost, and a note says how many were looked at, since the least of many
    flatters.
    """
    entries = entries_of((t for t in group.measured if recipe in (None, t.plan.recipe)), group.target.confirm)
    shared = Counter(name for name, _ in {(r.plan.recipe, r.model) for r in entries})

    def rule(r: Entry) -> tuple[float, ...]:
        p = r.plan
        if cheapest_in is not None:
            cost = r.costs(group.target.metric, group.target.value, cheapest_in).expected()
            return (p.kind != "measured", cost.at, cost.after)
        return (not r.declared, p.kind != "measured", -shared[p.recipe], -len(r.runs), -p.planned_epochs)

    def preference(r: Entry) -> tuple[object, ...]:
        return (*rule(r), r.plan.recipe, repr(r.plan))

    chosen: dict[str, Entry] = {}
    beside: list[Entry] = []
    for entry in sorted(entries, key=preference):
        if entry.model in chosen:
            beside.append(entry)
        else:
            chosen[entry.model] = entry
    notes = []
    for model in sorted({r.model for r in beside}):
        used, others = chosen[model], [r for r in beside if r.model == model]
        words = f"{used.plan}, {used.apart}" if used.apart else str(used.plan)
        declared = sum(r.declared for r in [used, *others])
        how = f"{declared or 'none'} {'are' if declared else 'is'} declared, and "
        if cheapest_in is not None:
            how = "the trend uses"
        elif declared == 1:
            how = "the trend uses the declared one,"
        elif any(rule(r) == rule(used) for r in others):
            how += (
                "none has more runs or epochs, so the choice is arbitrary (give the records of one, --recipe, or "
                "--plans cheapest): the trend uses"
            )
        else:
            how += "by recipe, number of runs and length the trend uses"
        notes.append(f"{short_title(used.runs[0].title)} was run under {1 + len(others)} plans: {how} {words}")
    if cheapest_in is not None:
        notes.append(
            f"the cheapest plan of each architecture, chosen by its cost: plans looked at {len(entries)}, "
            f"architectures {len(chosen)}; the least of several flatters"
        )
    by_date = sorted(chosen.values(), key=lambda r: (r.published, r.model))
    return by_date, sorted(beside, key=lambda r: (r.published, r.model, repr(r.plan))), notes


def reference_of(entries: list[Entry]) -> Entry:
    """AlexNet, or the earliest architecture where it is absent (and the note says so)."""
    return next((r for r in entries if r.model == REFERENCE), entries[0])


def known_cost(cost: Cost) -> float:
    """A cost for the reference: its lower bound where censored, so that factors against it are "at least"."""
    return cost.after if math.isinf(cost.at) else cost.at
