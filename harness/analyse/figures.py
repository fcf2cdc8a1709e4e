"""Figures as SVG and PNG, byte-identical when drawn again: fixed ids, no dates. matplotlib is imported on first use."""

import io
from pathlib import Path
from typing import Any

from harness.analyse.cost import UNIT_WORDS
from harness.analyse.trend import months
from harness.record.files import write_atomic
from harness.record.units import MOORE_DOUBLING_MONTHS

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
    """Cost to target by publication date: frontier coloured, the rest grey, misses as arrows, the fit, Moore's law."""
    figure, axes = new_axes()
    rows = [r for r in document["rows"] if r["in_trend"]]
    trend = document["trend"]
    for r in rows:
        x = _year(months(r["published"]))
        missed = r["cost"] is None
        value = r["cost_above"] if missed else r["cost"]
        if not value:
            continue  # a miss that spent nothing has no place on a logarithmic axis; the table names it
        colour = MISSED if missed else FRONTIER if r["on_frontier"] else GREY
        axes.plot(x, value, "^" if missed else "o", color=colour, markersize=6, zorder=3)
        if missed:
            axes.annotate("", (x, value * 1.6), (x, value), arrowprops={"arrowstyle": "->", "color": colour})
        low, high = r["cost_interval"]
        if not missed and low and high:
            axes.vlines(x, low, high, color=colour, linewidth=1.2, zorder=2)
        label = f"{r['title']} (n = {r['n']})" + (" missed" if missed else "")
        axes.annotate(label, (x, value), (5, 4), textcoords="offset points", fontsize=7, color=colour)
    if trend["reason"] is None:
        _lines(axes, rows, trend)
    target, data = document["target"], document["dataset"]
    axes.set_yscale("log")
    axes.set_ylabel(f"training cost to target, {UNIT_WORDS[document['unit']]}")
    axes.set_xlabel("first publication")
    axes.set_title(
        f"{data['name']}{' (subset)' if data['subset'] else ''}: cost to {target['metric']} {target['value']:.1%}",
        loc="left", fontsize=10,
    )  # fmt: skip
    return save(figure, folder, name)


def _lines(axes: Any, rows: list[dict[str, Any]], trend: dict[str, Any]) -> None:
    chosen = [r for r in rows if r["on_frontier"]]
    first, last = months(chosen[0]["published"]), months(chosen[-1]["published"])
    start, end = (2 ** (trend["intercept"] + trend["slope"] * m) for m in (first, last))
    halving = trend["halving_months"]
    words = "costs level" if halving is None else f"{halving:.1f} months a halving"
    axes.plot([_year(first), _year(last)], [start, end], color=FRONTIER, linewidth=1.5, label=f"fit: {words}")
    axes.plot(
        [_year(first), _year(last)], [start, start * 2 ** (-(last - first) / MOORE_DOUBLING_MONTHS)],
        color=MOORE, linewidth=1.2, linestyle="--", label=f"Moore's law: {MOORE_DOUBLING_MONTHS:.0f} months",
    )  # fmt: skip
    axes.legend(frameon=False, fontsize=8, loc="lower left")


def _year(month: float) -> float:
    """Decimal year of months since 2012."""
    return 2012 + month / 12
