"""`harness factors`: the gain between two points split into recipe and architecture, both orders and their mean."""

import argparse
import json
import math
from typing import TYPE_CHECKING, Any

from harness.analyse.show.arguments import add_records, asked_level
from harness.record.errors import BadInput

if TYPE_CHECKING:
    from harness.analyse.evidence.ladder import Rung

Point = tuple[str, str]
"""(model, recipe)."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    add_records(parser)
    parser.add_argument("--start", metavar="MODEL:RECIPE", help="e.g. alexnet:era (default: every pair there is)")
    parser.add_argument("--end", metavar="MODEL:RECIPE", help="e.g. efficientnet_b0:modern")
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout and nothing else")


def main(args: argparse.Namespace) -> int:
    """Print every split; exit code 0."""
    from harness.analyse.evidence.groups import group_trials
    from harness.analyse.evidence.trials import read_trials

    asked = asked_level(args)
    if (args.start is None) != (args.end is None):
        raise BadInput("--start and --end belong together, as in --start alexnet:era --end efficientnet_b0:modern")
    pair = None if args.start is None else (_point(args.start), _point(args.end))
    trials, _ = read_trials(args.runs)
    groups = group_trials(trials, asked)
    found = []
    for group in groups:
        cells = cells_of(group.measured)
        pairs = [pair] if pair else complete_pairs(cells)
        target = group.target
        about = {"dataset": group.dataset.name, "key": group.key, "target": target.as_dict()}
        found += [about | split(cells, *p, target.metric, target.value, args.draws, args.seed) for p in pairs]
    if not found:
        raise BadInput(
            f"no two architectures in {args.runs} were both run under two recipes: run the missing corners, as in "
            "`harness train -m model=alexnet,efficientnet_b0 recipe=era,modern`"
        )
    print(json.dumps({"splits": found}, indent=1, allow_nan=False) if args.json else text(found))
    return 0


def _point(word: str) -> Point:
    model, _, recipe = word.partition(":")
    if not model or not recipe:
        raise BadInput(f"{word}: give MODEL:RECIPE, as alexnet:era")
    return model, recipe


def cells_of(trials: list[Any]) -> "dict[Point, Rung]":
    """One rung a (model, recipe): of several plans the one with most runs, then the longest."""
    from harness.analyse.evidence.ladder import Rung

    plans: dict[Any, list[Any]] = {}
    for t in trials:
        plans.setdefault(t.plan, []).append(t)
    ranked = sorted(plans.items(), key=lambda item: (-len(item[1]), -item[0].planned_epochs, repr(item[0])))
    cells: dict[Point, Rung] = {}
    for plan, runs in ranked:
        cells.setdefault((plan.model, plan.recipe), Rung(plan, sorted(runs, key=lambda t: (t.seed, t.path))))
    return dict(sorted(cells.items()))


def complete_pairs(cells: "dict[Point, Rung]") -> list[tuple[Point, Point]]:
    """Every pair of points that differ in both and whose two other corners were run; earlier architecture first."""
    order = sorted(cells, key=lambda c: (cells[c].published, c))
    pairs = []
    for number, a in enumerate(order):
        for b in order[number + 1 :]:
            if a[0] != b[0] and a[1] != b[1] and (a[0], b[1]) in cells and (b[0], a[1]) in cells:
                pairs.append((a, b))
    return pairs


def split(
    cells: "dict[Point, Rung]", start: Point, end: Point, metric: str, value: float, draws: int, seed: int
) -> dict[str, Any]:
    """The gain from `start` to `end` by both orders and their Shapley mean, as factors (paper unit) with intervals.

    Logarithms of the parts add up to that of the whole. Null with a reason where a corner is missing or censored.
    """
    import numpy as np

    from harness.analyse.trend import bootstrap
    from harness.analyse.trend.rows import containing

    corners = [start, (start[0], end[1]), (end[0], start[1]), end]
    result: dict[str, Any] = {
        "start": ":".join(start),
        "end": ":".join(end),
        "n": {":".join(c): len(cells[c].trials) if c in cells else 0 for c in corners},
        "reason": None,
        "parts": None,
    }
    if missing := [c for c in corners if c not in cells]:
        words = " and ".join(f"model={model} recipe={recipe}" for model, recipe in missing)
        return result | {"reason": f"not run: {words}"}
    costs = [cells[c].costs(metric, value, "paper_pflop") for c in corners]
    if censored := [":".join(c) for c, k in zip(corners, costs, strict=True) if k.median().censored]:
        return result | {"reason": f"did not reach the target: {', '.join(censored)}"}
    exact = parts(*(math.log2(k.median().high) for k in costs))
    columns = bootstrap.draw_costs({":".join(c): k for c, k in zip(corners, costs, strict=True)}, draws, seed)
    with np.errstate(invalid="ignore"):
        drawn = parts(*np.log2(columns).T)
    found = {}
    for name, log2_factor in exact.items():
        interval = bootstrap.percentile(drawn[name])
        assert interval is not None
        factor = 2.0**log2_factor
        ends = bootstrap.Interval(2.0**interval.low, 2.0**interval.high, interval.valid)
        found[name] = {"log2": float(log2_factor), "factor": factor, "interval": containing(ends, factor)}
    return result | {"parts": found}


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


def text(found: list[dict[str, Any]]) -> str:
    """The splits for a terminal."""
    from harness.analyse.show.words import grid, interval, number

    names = {
        "whole": "the whole",
        "recipe_first": "recipe first",
        "architecture_last": "  then architecture",
        "architecture_first": "architecture first",
        "recipe_last": "  then recipe",
        "recipe_shapley": "recipe (Shapley mean)",
        "architecture_shapley": "architecture (Shapley mean)",
    }
    blocks = []
    for s in found:
        runs = ", ".join(f"{cell} n = {n}" for cell, n in s["n"].items())
        head = (
            f"{s['dataset']}: {s['start']} -> {s['end']} at {s['target']['metric']} {s['target']['value']:.2%} ({runs})"
        )
        if s["reason"]:
            blocks.append(f"{head}\n{s['reason']}")
            continue
        covers = "95 %" if max(s["n"].values()) > 1 else "grid only, n = 1"
        rows = [[names[k], f"{number(p['factor'])}x", interval(p["interval"])] for k, p in s["parts"].items()]
        blocks.append(f"{head}\n{grid(['gain', 'factor', covers], rows, markdown=False)}")
    return "\n\n".join(blocks)
