"""The split of a gain into recipe and architecture, for a terminal."""

from typing import Any

from harness.analyse.show.table import Table
from harness.analyse.show.tables import unfit
from harness.analyse.show.words import confidence, interval, number


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
            head += f"\n{s['reason']}"
        if s["parts"] is None:
            blocks.append(head)
            continue
        covers = confidence(list(s["n"].values()))
        rows = [[names[k], _factor(p), interval(p["interval"])] for k, p in s["parts"].items()]
        table = Table.of(["gain", "factor", covers], rows).warned("factor", unfit(s))
        blocks.append(f"{head}\n{table.terminal()}")
    return "\n\n".join(blocks)


def _factor(part: dict[str, Any]) -> str:
    """A part as a factor, or as the bound that it is."""
    sign = {None: "", "at least": "≥ ", "at most": "≤ "}
    return "not known" if part["bound"] == "unknown" else f"{sign[part['bound']]}{number(part['factor'])}x"
