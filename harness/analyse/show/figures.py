"""Figures as SVG and PNG, byte-identical when drawn again: fixed ids, no dates. matplotlib is imported on first use."""

import io
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

from harness.analyse.evidence.cost import UNIT_WORDS
from harness.analyse.evidence.titles import short_title
from harness.analyse.show.labels import Label, place
from harness.analyse.trend.line import months
from harness.record.files import write_atomic
from harness.record.units import MOORE_DOUBLING_MONTHS

COLOURS = ("C0", "C1", "C2", "C3", "C4", "C5", "C6", "C8", "C9")
"""matplotlib's cycle without its grey, which means "not on the frontier"."""

PAPER_LEVEL, PAPER_SECOND_LEVEL = 0.791, 0.929
"""Top-5 of AlexNet and of ResNet-50, the two levels of Hernandez & Brown (2020)."""

FRONTIER, GREY, MOORE, MISSED = "#0b6e99", "#9a9a9a", "#c9a227", "#b5483a"


def new_axes(width: float = 8.0, height: float = 4.8) -> tuple[Any, Any]:
    """A figure and its axes without any global state."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    matplotlib.rcParams["svg.hashsalt"] = "harness"  # element ids from content, not from chance
    matplotlib.rcParams["svg.fonttype"] = "path"  # the same picture whatever fonts the reader has
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25, linewidth=0.6)
    return figure, axes


def save(figure: Any, folder: Path, name: str) -> list[Path]:
    """Write NAME.svg and NAME.png; the same data gives the same bytes."""
    paths = []
    for suffix, metadata in (("svg", {"Date": None, "Creator": None}), ("png", {"Software": None})):
        buffer = io.BytesIO()
        figure.savefig(buffer, format=suffix, dpi=150, metadata=metadata)
        path = folder / f"{name}.{suffix}"
        write_atomic(path, buffer.getvalue())
        paths.append(path)
    return paths


def draw_trend(document: dict[str, Any], folder: Path, name: str = "trend") -> list[Path]:
    """Cost to target by publication date: frontier coloured, the rest grey, misses red, the fit, Moore's law."""
    figure, axes = new_axes()
    rows = [r for r in document["rows"] if r["in_trend"]]
    trend, target, data = document["trend"], document["target"], document["dataset"]
    usual = Counter(r["n"] for r in rows).most_common(1)[0][0]
    labels = []
    for r in rows:
        x = _year(months(r["published"]))
        missed = r["cost"] is None
        value = r["cost_above"] if missed else r["cost"]
        if not value:
            continue  # a miss that spent nothing has no place on a logarithmic axis; the table names it
        colour = MISSED if missed else FRONTIER if r["on_frontier"] else GREY
        low, high = r["cost_interval"]
        low = value if missed or not low else low
        if high is None:  # nothing bounds it from above
            high = value * 1.6
            axes.annotate("", (x, high), (x, value), arrowprops={"arrowstyle": "->", "color": colour})
        axes.plot(x, value, "^" if missed else "o", color=colour, markersize=6, zorder=3)
        axes.vlines(x, low, value if r["cost_interval"][1] is None else high, color=colour, linewidth=1.2, zorder=2)
        seeds = "" if r["n"] == usual else f", n = {r['n']}"
        labels.append(Label(x, value, short_title(r["title"]) + seeds, colour, low, high))
    if trend["reason"] is None:
        _lines(axes, rows, trend)
    axes.set_yscale("log")
    axes.set_ylabel(f"training cost to target, {UNIT_WORDS[document['unit']]}")
    axes.set_xlabel("first publication")
    axes.margins(x=0.08, y=0.12)  # room for labels and arrows
    subset = " (subset)" if data["subset"] else ""
    level = f"cost to {target['metric']} {target['value']:.1%}"
    legend = f"n = {usual} unless said; arrow: no upper bound"
    axes.set_title(f"{data['name']}{subset}: {level}; {legend}", loc="left", fontsize=10)
    place(figure, axes, labels)
    return save(figure, folder, name)


def _lines(axes: Any, rows: list[dict[str, Any]], trend: dict[str, Any]) -> None:
    chosen = [r for r in rows if r["on_frontier"]]
    first, last = months(chosen[0]["published"]), months(chosen[-1]["published"])
    start, end = (2 ** (trend["intercept"] + trend["slope"] * m) for m in (first, last))
    halving = trend["halving_months"]
    at_most = "≤ " if trend["reference_censored"] else ""
    words = "costs level" if halving is None else f"{at_most}{halving:.1f} months a halving"
    axes.plot([_year(first), _year(last)], [start, end], color=FRONTIER, linewidth=1.5, label=f"fit: {words}")
    axes.plot(
        [_year(first), _year(last)], [start, start * 2 ** (-(last - first) / MOORE_DOUBLING_MONTHS)],
        color=MOORE, linewidth=1.2, linestyle="--", label=f"Moore's law: {MOORE_DOUBLING_MONTHS:.0f} months",
    )  # fmt: skip
    axes.legend(frameon=False, fontsize=8, loc="lower left")


def draw_thresholds(document: dict[str, Any], folder: Path, name: str = "thresholds") -> list[Path]:
    """Halving months against the threshold, top-1 and top-5, with the bootstrap band and the paper's two levels."""
    figure, axes = new_axes()
    target = document["target"]
    drawn = []
    for metric, colour in (("top1", FRONTIER), ("top5", MOORE)):
        # A fit through two points or a rising frontier has no halving time to draw; the gap is left open.
        # So is a level that most architectures have passed at their first evaluation: the grid does not resolve it.
        levels = [
            t
            for t in document["thresholds"]
            if t["metric"] == metric and (t["halving_months"] or 0) > 0 and 2 * t["unresolved"] < t["reached"]
        ]
        if not levels:
            continue
        x = [100 * t["level"] for t in levels]
        y = [t["halving_months"] for t in levels]
        drawn += y
        axes.plot(x, y, ".-", color=colour, markersize=4, linewidth=1.2, label=f"{metric[:3]}-{metric[3]}")
        for (a, low, high), (b, low_b, high_b) in pairwise((x[i], *_band(t)) for i, t in enumerate(levels)):
            if b - a < 1.5:
                axes.fill_between([a, b], [low, low_b], [high, high_b], color=colour, alpha=0.15, linewidth=0)
    for level in (PAPER_LEVEL, PAPER_SECOND_LEVEL):
        axes.axvline(100 * level, color=GREY, linewidth=1, linestyle=":")
        axes.annotate(
            f"paper: top-5 {100 * level:.1f} %", (100 * level, 0.99), xycoords=("data", "axes fraction"),
            rotation=90, fontsize=7, color=GREY, ha="right", va="top",
        )  # fmt: skip
    axes.axvline(100 * target["value"], color=MISSED, linewidth=1, linestyle="--")
    axes.set_xlim(0, 100)
    axes.set_ylim(
        0, max(3 * sorted(drawn)[len(drawn) // 2], 24) if drawn else 24
    )  # one wild level must not flatten all
    axes.set_xlabel(f"threshold, % (dashed: this study's target, {target['metric']})")
    axes.set_ylabel("months a halving")
    axes.set_title(f"{document['dataset']['name']}: halving time against threshold", loc="left", fontsize=10)
    if drawn:
        axes.legend(frameon=False, fontsize=8, loc="upper left")
    else:
        axes.text(0.5, 0.5, "no level with two frontier points", transform=axes.transAxes, ha="center", color=GREY)
    return save(figure, folder, name)


def _band(level: dict[str, Any]) -> tuple[float, float]:
    """The interval of a level; an open upper end, or one on the other side of infinity, lies far above the figure."""
    low, high = level["halving_interval"] or (level["halving_months"], level["halving_months"])
    return (low if low is not None and low >= 0 else 1e4, high if high is not None and high > 0 else 1e4)


def draw_curves(document: dict[str, Any], folder: Path, name: str = "curves") -> list[Path]:
    """Accuracy against cumulative arithmetic, the middle run of each architecture (the study's figure 4)."""
    figure, axes = new_axes()
    target = document["target"]
    frontier = set(document["trend"]["frontier"])
    for number, c in enumerate(document["curves"]):
        style = (
            {"linewidth": 1.6, "color": COLOURS[number % len(COLOURS)]}
            if c["model"] in frontier
            else {"color": GREY, "linewidth": 1}
        )
        percent = [100 * a for a in c["accuracy"]]
        axes.plot(c["paper_pflop"], percent, ".-", markersize=3, label=f"{c['title']} (1 of {c['n']})", **style)
    axes.axhline(100 * target["value"], color=MISSED, linewidth=1, linestyle="--")
    axes.set_xscale("log")
    axes.set_xlabel("training arithmetic, PFLOP (paper unit)")
    axes.set_ylabel(f"{target['metric']}, %")
    axes.set_title(f"{document['dataset']['name']}: learning curves (dashed: target)", loc="left", fontsize=10)
    axes.legend(frameon=False, fontsize=7, loc="best")
    return save(figure, folder, name)


def _year(month: float) -> float:
    """Decimal year of months since 2012."""
    return 2012 + month / 12
