"""Learning curves, one small panel an architecture: every seed, the level that it holds, and where it crosses."""

import math
import textwrap
from typing import Any

from matplotlib.ticker import LogLocator, NullLocator

from harness.analyse.evidence.titles import named, short_title
from harness.analyse.show.figures.canvas import BLUE, SOFT, VERMILION, WIDE, Picture, new, style
from harness.analyse.show.words import level_words

PANEL_INCHES = 1.5

TITLE_CHARACTERS, NO_BREAK = 20, "\u00a0"

SEEDS_DRAWN = 30
"""Runs of a panel; of more only the first ones by seed, and the panel says so."""


def held(accuracy: list[float]) -> list[float]:
    """Return, at every evaluation, the highest level that one evaluation reached and the next confirmed."""
    best, levels = 0.0, []
    for place, now in enumerate(accuracy):
        following = accuracy[place + 1] if place + 1 < len(accuracy) else 0.0
        best = max(best, min(now, following))
        levels.append(best)
    return levels


def curves(document: dict[str, Any], width: float = WIDE) -> Picture:
    """Return the small multiples of a group's architectures, by date of publication."""
    architectures, target = document["curves"], document["target"]
    columns = max(2, round(width / 1.6))
    rows = max(1, math.ceil(len(architectures) / columns))
    figure = new(width, PANEL_INCHES * rows + 0.6)
    with style():
        panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
        for place, axes in enumerate(panels.flat):
            if place >= len(architectures):
                axes.set_visible(False)
                continue
            _panel(axes, architectures[place], target["value"])
            axes.tick_params(labelbottom=place + columns >= len(architectures))
        first = panels[0, 0]
        first.text(
            0.03, 100 * target["value"], "target", transform=first.get_yaxis_transform(), va="bottom", fontsize=7
        )
        for axes in panels[:, 0]:
            axes.set_ylabel(f"{target['metric'][:3]}-{target['metric'][3]}, %", fontsize=8)
        figure.supxlabel("training arithmetic, PFLOP", fontsize=9)
    return Picture(figure, _caption(document))


def _panel(axes: Any, curve: dict[str, Any], level: float) -> None:
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(numticks=4))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.tick_params(labelsize=7)
    n, drawn = len(curve["runs"]), curve["runs"][:SEEDS_DRAWN]
    words = f"(n = {n})" if n == len(drawn) else f"({len(drawn)} of n = {n})"
    title = textwrap.fill(f"{short_title(curve['title'])} {words.replace(' ', NO_BREAK)}", TITLE_CHARACTERS)
    axes.set_title(title, fontsize=7.5)
    axes.axhline(100 * level, color=VERMILION, linewidth=0.8, linestyle="-.")
    for run in drawn:
        x, percent = run["paper_pflop"], [100 * a for a in run["accuracy"]]
        axes.plot(x, percent, color=SOFT, linewidth=0.6, alpha=0.6)
        axes.step(*_corners(x, held(run["accuracy"])), where="post", color=BLUE, linewidth=1.0, alpha=0.8)
        if run["crossing"] is not None:
            at = run["crossing"]
            axes.plot(x[at], percent[at], "o", color=VERMILION, markersize=3.5)


def _corners(x: list[float], levels: list[float]) -> tuple[list[float], list[float]]:
    """The places where the level rises, and the last one: all that a step line needs, in percent."""
    last = len(levels) - 1
    kept = [i for i in range(len(levels)) if i in (0, last) or levels[i] > levels[i - 1]]
    return [x[i] for i in kept], [100 * levels[i] for i in kept]


def _caption(document: dict[str, Any]) -> str:
    data, target = document["dataset"], document["target"]
    return (
        f"Accuracy on {named(data['name'])} against training arithmetic "
        "(3 x forward MACs x images / 10^15), one panel an architecture, by date of publication. Grey: every "
        "evaluation of every run. Blue: the highest level that a run has reached and confirmed at the next evaluation. "
        f"Dash-dotted: the target, {level_words(target)}; a dot marks where a run crosses it."
    )
