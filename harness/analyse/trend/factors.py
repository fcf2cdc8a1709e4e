"""The gain between two points split into recipe and architecture, both orders and their mean."""

import math
from pathlib import Path
from typing import Any

import numpy as np

from harness.analyse.evidence.fitness import judged, spread_of
from harness.analyse.evidence.ladder import Entry, entries_of, known_cost, ladder
from harness.analyse.evidence.runs.groups import Level, group_runs
from harness.analyse.evidence.runs.run import Run, read_records
from harness.analyse.trend.draws import Interval, draw_costs, percentile
from harness.analyse.trend.rows import containing
from harness.record.errors import BadInput

Point = tuple[str, str]
"""(model, recipe)."""


def splits(
    root: Path, asked: Level | None, pair: tuple[Point, Point] | None, *, draws: int, seed: int
) -> list[dict[str, Any]]:
    """Return the split of `pair`, or of every complete pair, in each group below `root`.

    Raises BadInput where no two architectures were both run under two recipes, RecordError for an unreadable record.
    """
    results = []
    for group in group_runs(read_records(root).runs, asked):
        cells = cells_of(group.measured, group.target.confirm)
        target = group.target
        fit = judged(ladder(group)[0], target, spread_of(group))
        about = {"dataset": group.dataset.name, "key": group.key, "target": target.as_dict(), "fitness": fit}
        pairs = [pair] if pair else complete_pairs(cells)
        results += [about | split(cells, *p, target.metric, target.value, draws, seed) for p in pairs]
    if not results:
        raise BadInput(
            f"no two architectures in {root} were both run under two recipes: run the missing corners, as in "
            "`harness train -m model=alexnet,efficientnet_b0 recipe=era,modern`"
        )
    return results


def cells_of(runs: list[Run], confirm: int) -> dict[Point, Entry]:
    """One entry a (model, recipe): of several plans the declared one, then the one with most runs, then the longest."""
    cells: dict[Point, Entry] = {}
    for r in sorted(
        entries_of(runs, confirm),
        key=lambda r: (not r.declared, -len(r.runs), -r.plan.planned_epochs, repr(r.plan)),
    ):
        cells.setdefault((r.model, r.plan.recipe), r)
    return dict(sorted(cells.items()))


def complete_pairs(cells: dict[Point, Entry]) -> list[tuple[Point, Point]]:
    """Every pair of points that differ in both and whose two other corners were run; earlier architecture first."""
    order = sorted(cells, key=lambda c: (cells[c].published, c))
    pairs = []
    for number, a in enumerate(order):
        for b in order[number + 1 :]:
            if a[0] != b[0] and a[1] != b[1] and (a[0], b[1]) in cells and (b[0], a[1]) in cells:
                pairs.append((a, b))
    return pairs


def split(
    cells: dict[Point, Entry], start: Point, end: Point, metric: str, value: float, draws: int, seed: int
) -> dict[str, Any]:
    """The gain from `start` to `end` by both orders and their Shapley mean, as factors (paper unit) with intervals.

    A part is the logarithm of a ratio of two corners' expected costs (`parts`); the mean over both orders is the only
    one that treats recipe and architecture alike and adds up (Shapley 1953, A value for n-person games). The intervals
    are of seeds drawn again (`draws.py`), each corner by itself; that corners were trained on one machine is not used.
    Logarithms of the parts add up to that of the whole. A corner that no run reached stands at what its runs spent: the
    parts that it enters are then bounds (`bound`). Null with a reason where a corner was not run.
    """
    corners = [start, (start[0], end[1]), (end[0], start[1]), end]
    result: dict[str, Any] = {
        "start": ":".join(start),
        "end": ":".join(end),
        "n": {":".join(c): len(cells[c].runs) if c in cells else 0 for c in corners},
        "reason": None,
        "parts": None,
    }
    if missing := [c for c in corners if c not in cells]:
        words = " and ".join(f"model={model} recipe={recipe}" for model, recipe in missing)
        return result | {"reason": f"not run: {words}"}
    costs = [cells[c].costs(metric, value, "paper_pflop") for c in corners]
    expected = [c.expected() for c in costs]
    censored = [c.censored for c in expected]
    if missed := [":".join(c) for c, never in zip(corners, censored, strict=True) if never]:
        result["reason"] = f"bounds only, no run reached the target: {', '.join(missed)}"
    exact = parts(*(math.log2(known_cost(c)) for c in expected))
    named = {":".join(c): k for c, k in zip(corners, costs, strict=True)}
    columns = draw_costs(named, {":".join(c): cells[c].plan_cost("paper_pflop") for c in corners}, draws, seed).values
    columns[:, censored] = [c.after for c in expected if c.censored]
    drawn = parts(*np.log2(columns).T)
    signs = [parts(*row) for row in np.eye(len(corners))]
    split = {}
    for name, log2_factor in exact.items():
        interval = percentile(drawn[name])
        assert interval is not None
        factor = 2.0**log2_factor
        low, high = containing(Interval(2.0**interval.low, 2.0**interval.high, interval.valid), factor)
        rises = any(sign[name] > 0 and never for sign, never in zip(signs, censored, strict=True))
        falls = any(sign[name] < 0 and never for sign, never in zip(signs, censored, strict=True))
        split[name] = {
            "log2": float(log2_factor),
            "factor": factor,
            "bound": _BOUNDS[rises, falls],
            "interval": [None if falls else low, None if rises else high],
        }
    return result | {"parts": split}


_BOUNDS = {(False, False): None, (True, False): "at least", (False, True): "at most", (True, True): "unknown"}
"""What a part is, by whether the corners that no run reached make it larger, or smaller, than at their bounds."""


def parts(start: Any, recipe_only: Any, architecture_only: Any, end: Any) -> dict[str, Any]:
    """log2 gains from log2 costs of the four corners (numbers or arrays of draws).

    recipe_first: the recipe's gain on the old architecture; recipe_last: on the new one; their mean is Shapley's.
    """
    recipe_first, recipe_last = start - recipe_only, architecture_only - end
    architecture_first, architecture_last = start - architecture_only, recipe_only - end
    return {
        "whole": start - end,
        "recipe_first": recipe_first,
        "architecture_last": architecture_last,
        "architecture_first": architecture_first,
        "recipe_last": recipe_last,
        "recipe_shapley": (recipe_first + recipe_last) / 2,
        "architecture_shapley": (architecture_first + architecture_last) / 2,
    }
