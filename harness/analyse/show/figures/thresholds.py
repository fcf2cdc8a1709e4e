"""The factor, the halving time and the share of runs that reach, as functions of the level that is asked for."""

from itertools import pairwise
from typing import Any

from harness.analyse.evidence.titles import named
from harness.analyse.show.figures.canvas import BLUE, OCHRE, SOFT, VERMILION, WIDE, Picture, new, style
from harness.analyse.show.words import level_words
from harness.analyse.trend.thresholds import levels_of
from harness.record.target import METRICS

GAP_PERCENT = 1.5
"""Levels stand a percent apart; a wider gap is left open."""

SHAPES = {"top1": (BLUE, "-", "o"), "top5": (OCHRE, "--", "D")}


def thresholds(document: dict[str, Any], width: float = WIDE) -> Picture | None:
    """Return three panels under one another; None where no level has a trend."""
    drawn = {metric: levels for metric in METRICS if (levels := levels_of(document, metric))}
    if not any(t["reduction_factor"] for levels in drawn.values() for t in levels):
        return None
    figure = new(width, 7.0)
    with style():
        panels = figure.subplots(3, 1, sharex=True)
        for metric, levels in drawn.items():
            _panel(panels[0], levels, metric, "reduction_factor", "reduction_interval")
            _panel(panels[1], levels, metric, "halving_months", "halving_interval")
            colour, dash, _ = SHAPES[metric]
            share = [100 * t["runs_reached"] / t["runs"] for t in levels]
            words = f"{metric[:3]}-{metric[3]}"
            panels[2].plot([100 * t["level"] for t in levels], share, dash, color=colour, linewidth=1.4, label=words)
        target = document["target"]
        for axes, words in zip(
            panels, ("times less arithmetic", "months a halving", "runs that reach, %"), strict=True
        ):
            axes.set_ylabel(words)
            axes.axvline(100 * target["value"], color=VERMILION, linewidth=1, linestyle="-.")
        panels[0].set_yscale("log", base=2)
        factors = [t["reduction_factor"] for levels in drawn.values() for t in levels if t["reduction_factor"]]
        panels[0].set_ylim(min(factors) / 2, max(factors) * 3)
        panels[0].yaxis.set_major_formatter(lambda value, _: f"{value:g}x")
        panels[1].set_ylim(0, _ceiling(drawn))
        panels[2].set_ylim(0, 103)
        panels[2].set_xlabel("level asked for, % accuracy")
        panels[2].legend(loc="lower left")  # most runs reach the lowest levels: nothing stands there
        panels[0].set_title(f"dash-dotted: the target, {level_words(target)}")
    return Picture(figure, _caption(document))


def _caption(document: dict[str, Any]) -> str:
    data = document["dataset"]
    runs = next(t["runs"] for t in document["thresholds"])
    return (
        f"The same {runs} runs on {named(data['name'])}, judged at every whole percent from ten points above chance "
        "upwards. Hollow: no run of AlexNet reaches that level, so the factor is a lower and the halving time an "
        "upper bound. Bands: 95 % over seeds; one that leaves the frame has no end, or one above it. A band jumps "
        "where an architecture enters or leaves the cheapest so far (the ticks below the first two panels), and where "
        "the test whether all architectures vary alike changes its answer: one spread for all, or each its own."
    )


def _ceiling(drawn: dict[str, list[dict[str, Any]]]) -> float:
    """A height that one wild level does not set."""
    values = sorted(t["halving_months"] for levels in drawn.values() for t in levels if (t["halving_months"] or 0) > 0)
    return max(2.2 * values[len(values) // 2], 24.0) if values else 24.0


def _panel(axes: Any, levels: list[dict[str, Any]], metric: str, value: str, band: str) -> None:
    """Draw one quantity with its band, gaps where there is none, hollow where it is a bound."""
    colour, dash, mark = SHAPES[metric]
    known = [t for t in levels if (t[value] or 0) > 0]
    if not known:
        return
    x, y = [100 * t["level"] for t in known], [t[value] for t in known]
    axes.plot(x, y, dash, color=colour, linewidth=1.2)
    for bound, face in ((False, colour), (True, "none")):
        points = [(100 * t["level"], t[value]) for t in known if t["reference_censored"] is bound]
        if points:
            axes.plot(*zip(*points, strict=True), mark, markersize=3, markerfacecolor=face, markeredgecolor=colour)
    for stretch in _stretches(known):
        ends = [_ends(level, value, band) for level in stretch]
        at = [100 * level["level"] for level in stretch]
        axes.fill_between(at, *zip(*ends, strict=True), color=colour, alpha=0.14, linewidth=0)
        changes = [50 * (t["level"] + u["level"]) for t, u in pairwise(stretch) if t["frontier"] != u["frontier"]]
        if changes:  # a line without a point has no extent, and the layout would give up on it
            foot = axes.get_xaxis_transform()
            axes.plot(changes, [0] * len(changes), "|", color=SOFT, markersize=7, transform=foot, clip_on=False)


def _stretches(levels: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Levels that follow one another without a gap."""
    stretches = [levels[:1]]
    for before, level in pairwise(levels):
        if 100 * (level["level"] - before["level"]) < GAP_PERCENT:
            stretches[-1].append(level)
        else:
            stretches.append([level])
    return stretches


def _ends(level: dict[str, Any], value: str, band: str) -> tuple[float, float]:
    """The interval; an open low end is 0, one that lies on the other side of infinity far above the figure."""
    low, high = level[band] or (level[value], level[value])
    low, open_end = low or 0.0, 1e4
    return (low if low >= 0 else open_end), (high if high is not None and high > 0 else open_end)
