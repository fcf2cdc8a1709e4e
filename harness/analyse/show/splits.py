"""The split of a gain into recipe and architecture, for a terminal."""

from typing import Any

from harness.analyse.show.table import Table
from harness.analyse.show.words import interval, number


def text(splits: list[dict[str, Any]]) -> str:
    """Return the splits for a terminal."""
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
    for s in splits:
        runs = ", ".join(f"{cell} n = {n}" for cell, n in s["n"].items())
        head = (
            f"{s['dataset']}: {s['start']} -> {s['end']} at {s['target']['metric']} {s['target']['value']:.2%} ({runs})"
        )
        if s["reason"]:
            blocks.append(f"{head}\n{s['reason']}")
            continue
        covers = "95 %" if max(s["n"].values()) > 1 else "grid only, n = 1"
        rows = [[names[k], f"{number(p['factor'])}x", interval(p["interval"])] for k, p in s["parts"].items()]
        blocks.append(f"{head}\n{Table.of(['gain', 'factor', covers], rows).terminal()}")
    return "\n\n".join(blocks)
