"""What a cost is made of, and what it takes on a clock: bars by architecture, oldest on top."""

import textwrap
from typing import Any

from harness.analyse.evidence.titles import short_title
from harness.analyse.show.figures.canvas import BLUE, GREEN, OCHRE, VERMILION, WIDE, Picture, new, style
from harness.analyse.show.words import number

ROW_INCHES = 0.27

NAME_CHARACTERS = 28
"""A longer name of an architecture goes on in a second line and ends there: bars need their room."""


def split(document: dict[str, Any], width: float = WIDE) -> Picture:
    """Return two bars an architecture: MACs of one image, and epochs to the target."""
    rows = sorted((r for r in document["rows"] if r["in_trend"]), key=lambda r: (r["published"], r["model"]))
    names = [short_title(r["title"]) for r in rows]
    figure = new(width, ROW_INCHES * len(rows) + 1.0)
    with style():
        left, right = figure.subplots(1, 2, sharey=True)
        _bars(left, names, [(r["forward_macs"] / 1e9, False) for r in rows], BLUE)
        _logarithmic(left)
        left.set_xlabel("GMAC per image")
        epochs = [(r["epochs"] or r["epochs_interval"][0], r["epochs"] is None) for r in rows]
        _bars(right, names, epochs, GREEN)
        right.set_xlabel("epochs to target")
    sizes = sorted({r["n"] for r in rows})
    n = " to ".join(str(size) for size in dict.fromkeys((sizes[0], sizes[-1])))
    return Picture(
        figure,
        "A cost is the arithmetic of an image (GMAC: 10^9 multiply-accumulates, forward) times the images seen. The "
        f"left bar is known before any training; the right one is what training measures (expected, from n = {n} "
        "runs). Hollow: not "
        "reached, the bar is a lower bound.",
    )


def clock(document: dict[str, Any], width: float = WIDE) -> Picture | None:
    """Return seconds and, where measured, joules to the target on each hardware; None where no clock ran."""
    units = [
        (unit, words)
        for unit, words in (("seconds", "training seconds"), ("joules", "joules, evaluation included"))
        if any(h[unit] or h[f"{unit}_above"] for h in document["hardware"])
    ]
    if not units:
        return None
    lines = document["hardware"]
    machines = sorted({h["hardware"] for h in lines})
    names = [
        short_title(h["title"]) + (f" ({machines.index(h['hardware']) + 1})" if machines[1:] else "") for h in lines
    ]
    figure = new(width, ROW_INCHES * len(lines) + 1.0)
    with style():
        panels = figure.subplots(1, len(units), sharey=True, squeeze=False)[0]
        for axes, (unit, words) in zip(panels, units, strict=True):
            values = [(h[unit] or h[f"{unit}_above"] or 0.0, h[unit] is None) for h in lines]
            _bars(axes, names, values, OCHRE)
            axes.set_xlabel(words)
            _logarithmic(axes)
    named = "; ".join(f"({place}) {machine}" if machines[1:] else machine for place, machine in enumerate(machines, 1))
    return Picture(
        figure,
        f"Medians over the runs on one hardware: {named}. Hollow: not reached, a lower bound. Other work on the "
        "machine is in these figures, so they are never mixed with the trend.",
    )


def _logarithmic(axes: Any) -> None:
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(lambda value, _: number(value, 1))


def _bars(axes: Any, names: list[str], values: list[tuple[float, bool]], colour: str) -> None:
    """Draw a bar a name, from the top; (value, whether it is a lower bound)."""
    for place, (value, bound) in enumerate(values):
        edge = VERMILION if bound else colour
        axes.barh(place, value, height=0.62, facecolor="none" if bound else colour, edgecolor=edge, linewidth=1.0)
        words = f"{'> ' if bound else ''}{number(value)}" if value else "not measured"
        axes.annotate(words, (value or 1.0, place), (3, 0), textcoords="offset points", va="center", fontsize=7.5)
    shown = ["\n".join(textwrap.wrap(name, NAME_CHARACTERS, max_lines=2, placeholder="…")) for name in names]
    axes.set_yticks(range(len(names)), shown, fontsize=8)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.grid(visible=False, axis="y")
    axes.margins(x=0.2)
