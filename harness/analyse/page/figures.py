"""The report's figures, as plotly figures.

Shape, dash and label carry what colour carries, and the colours stand out on a light page and on a dark one.
"""

import json
import math
from typing import Any

from harness.analyse.evidence.cost import UNIT_WORDS
from harness.analyse.evidence.titles import short_title
from harness.analyse.show.tables import counts
from harness.analyse.show.words import interval, number, times
from harness.analyse.trend.line import months
from harness.record.units import MOORE_DOUBLING_MONTHS

# Mid-tones with a contrast of 3 or more on white and on the dark page; no pair is told apart by hue alone.
BLUE, GREY, OCHRE, RED = "#2b87b8", "#858b93", "#a97f14", "#c9543f"
SYMBOLS = ("circle", "square", "diamond", "cross", "x", "triangle-up", "triangle-down", "star", "hexagon", "pentagon")
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
CURVE_COLOURS = (BLUE, RED, "#4f9a4f", "#9a6bc4", OCHRE, "#c2609a", "#3f9c96", "#8c6d5a")
SIDES = ("top center", "bottom center", "middle right", "middle left", "top right", "bottom right", "top left",
         "bottom left")  # fmt: skip
PAPER_LEVELS = {0.791: "published level: top-5 79.1 %", 0.929: "second published level: top-5 92.9 %"}


def as_json(figure: Any) -> str:
    """A figure as JSON text, numbers exact."""
    return json.dumps(figure.to_plotly_json(), default=lambda o: o.to_plotly_json(), allow_nan=False, sort_keys=True)


def _figure(x: str, y: str, **layout: Any) -> Any:
    import plotly.graph_objects as go

    figure = go.Figure(layout={"template": None})
    figure.update_layout(
        margin={"l": 64, "r": 16, "t": 12, "b": 48},
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.02, "x": 0, "font": {"size": 12}},
        hoverlabel={"align": "left", "font": {"size": 13}},
        xaxis={"title": {"text": x}, "zeroline": False, "automargin": True, "exponentformat": "none"},
        yaxis={"title": {"text": y}, "zeroline": False, "automargin": True, "exponentformat": "none"},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
    )
    return figure.update_layout(layout)


def row_words(row: dict[str, Any], unit: str) -> str:
    """What hovering over an architecture tells: architecture, date, cost, n, hardware."""
    cost = number(row["cost"]) if row["cost"] is not None else f"above {number(row['cost_above'])} (missed)"
    lines = [
        f"<b>{row['title']}</b>",
        f"published {row['published']}",
        f"cost {cost} {UNIT_WORDS[unit]}",
        f"{'95 %' if row['interval_kind'] == 'bootstrap' else 'resolution'} {interval(row['cost_interval'])}",
        f"n = {row['n']}, {counts(row['outcomes'])}",
        *([f"factor {times(row['factor'], at_least=row['factor_at_least'])}"] if row["factor"] is not None else []),
        *row["hardware"],
        *([f"flags: {' '.join(row['flags'])}"] if row["flags"] else []),
    ]
    return "<br>".join(lines)


def trend_figure(group: dict[str, Any], published: dict[str, Any]) -> Any:
    """Cost to target by publication date; misses as upward triangles at what they spent, lines for fit and Moore."""
    unit = group["unit"]
    figure = _figure(
        "first publication",
        f"training cost to target, {UNIT_WORDS[unit]}",
        yaxis_type="log",
        yaxis_dtick="D2",
        xaxis_type="date",
    )
    rows = [r for r in group["rows"] if r["in_trend"]]
    kinds = (
        ("on the frontier when published", {"symbol": "circle", "color": BLUE, "size": 12},
         [r for r in rows if r["on_frontier"]]),
        ("not on the frontier", {"symbol": "square-open", "color": GREY, "size": 10, "line": {"width": 2}},
         [r for r in rows if not r["on_frontier"] and r["cost"] is not None]),
        ("missed the target: cost lies above", {"symbol": "arrow-up", "color": RED, "size": 14},
         [r for r in rows if r["cost"] is None and r["cost_above"]]),
    )  # fmt: skip
    places = _label_places([r for _, _, chosen in kinds for r in chosen])
    for name, marker, chosen in kinds:
        if chosen:
            figure.add_scatter(
                x=[r["published"] for r in chosen],
                y=[r["cost"] or r["cost_above"] for r in chosen],
                error_y=_error_bars(chosen),
                mode="markers+text",
                name=name,
                marker=marker,
                text=[short_title(r["title"]) for r in chosen],
                textposition=[places[r["model"]] for r in chosen],
                textfont={"size": 11},
                hovertext=[row_words(r, unit) for r in chosen],
                hoverinfo="text",
                cliponaxis=False,
            )
    if group["trend"] and group["trend"]["reason"] is None:
        _add_lines(figure, [r for r in rows if r["on_frontier"]], group["trend"], published)
    return figure


def _error_bars(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Bars from the cost's interval; an open end has no bar."""
    ends = [(r["cost"], *r["cost_interval"]) for r in rows]
    return {
        "type": "data",
        "symmetric": False,
        "array": [0 if c is None or high is None else max(0.0, high - c) for c, _, high in ends],
        "arrayminus": [0 if c is None or low is None else max(0.0, c - low) for c, low, _ in ends],
        "thickness": 1.5,
        "width": 4,
    }


def _label_places(rows: list[dict[str, Any]]) -> dict[str, str]:
    """A side for each architecture's label, chosen one after another where it covers least of what is there already.

    Worked out on a sheet of the figure's usual size (1000 x 380), which is close enough on others.
    """
    spots = {r["model"]: (months(r["published"]), math.log10(r["cost"] or r["cost_above"])) for r in rows}
    if not spots:
        return {}
    (left, right), (low, high) = ((min(v), max(v)) for v in zip(*spots.values(), strict=True))
    pixels = {
        name: (1000 * (x - left) / ((right - left) or 1), 380 * (high - y) / ((high - low) or 1))
        for name, (x, y) in spots.items()
    }
    taken = [(x - 8, y - 8, x + 8, y + 8) for x, y in pixels.values()]
    places = {}
    for r in rows:
        x, y = pixels[r["model"]]
        width = 6.2 * len(short_title(r["title"]))
        boxes = {side: _label_box(side, x, y, width) for side in SIDES}
        places[r["model"]] = side = min(SIDES, key=lambda s: sum(_overlap(boxes[s], b) for b in taken))
        taken.append(boxes[side])
    return places


def _label_box(side: str, x: float, y: float, width: float) -> tuple[float, float, float, float]:
    vertical, horizontal = side.split()
    top = {"top": y - 22, "middle": y - 7, "bottom": y + 8}[vertical]
    gap = 10 if vertical == "middle" else 2
    start = {"center": x - width / 2, "right": x + gap, "left": x - gap - width}[horizontal]
    return start, top, start + width, top + 14


def _overlap(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    wide, high = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    return max(0.0, wide) * max(0.0, high)


def _add_lines(figure: Any, frontier: list[dict[str, Any]], trend: dict[str, Any], published: dict[str, Any]) -> None:
    first, last = frontier[0]["published"], frontier[-1]["published"]
    span = months(last) - months(first)
    start, end = (2 ** (trend["intercept"] + trend["slope"] * months(day)) for day in (first, last))
    halving, at_most = trend["halving_months"], "≤ " if trend["reference_censored"] else ""
    theirs = published["halving_months"]
    moore, paper = start * 2 ** (-span / MOORE_DOUBLING_MONTHS), start * 2 ** (-span / theirs)
    slopes = (
        ("fit: level" if halving is None else f"fit: {at_most}{number(halving)} months a halving", end, BLUE, "solid"),
        (f"Moore's law: {MOORE_DOUBLING_MONTHS:.0f} months", moore, OCHRE, "dash"),
        (f"published slope: {number(theirs)} months", paper, GREY, "dot"),
    )
    for name, value, colour, dash in slopes:
        line = {"color": colour, "dash": dash, "width": 2}
        figure.add_scatter(x=[first, last], y=[start, value], mode="lines", name=name, line=line, hoverinfo="skip")


def curves_figure(group: dict[str, Any]) -> Any:
    """Accuracy against spent arithmetic, the middle run of each architecture."""
    target = group["target"]
    figure = _figure(
        "training arithmetic, PFLOP (paper unit)", f"{target['metric'][:3]}-{target['metric'][3]} accuracy, %",
        xaxis_type="log", xaxis_dtick="D2", hovermode="closest",
    )  # fmt: skip
    for place, curve in enumerate(group["curves"]):
        style = {"color": CURVE_COLOURS[place % len(CURVE_COLOURS)], "dash": DASHES[place % len(DASHES)], "width": 2}
        figure.add_scatter(
            x=curve["paper_pflop"],
            y=[100 * a for a in curve["accuracy"]],
            mode="lines+markers",
            name=short_title(curve["title"]),
            line=style,
            marker={"symbol": SYMBOLS[place % len(SYMBOLS)], "size": 7},
            hovertemplate=(
                f"<b>{curve['title']}</b><br>%{{y:.2f}} % after %{{x:.3g}} PFLOP"
                f"<br>seed {curve['seed']}, the middle one of {curve['n']}<extra></extra>"
            ),
        )
    figure.add_hline(
        y=100 * target["value"], line={"color": RED, "dash": "dash", "width": 1.5},
        annotation={"text": f"target {target['value']:.2%}", "font": {"size": 12}, "xanchor": "left"},
        annotation_position="top left",
    )  # fmt: skip
    return figure


def thresholds_figure(group: dict[str, Any]) -> Any | None:
    """Halving months against the threshold with its bootstrap band; None where no level has a trend.

    A level that most architectures have passed at their first evaluation is not drawn: the grid does not resolve it.
    """
    figure = _figure("threshold, %", "months a halving", hovermode="x unified")
    drawn: list[float] = []
    for metric, colour, dash in (("top1", BLUE, "solid"), ("top5", OCHRE, "dash")):
        levels = [
            t
            for t in group["thresholds"]
            if t["metric"] == metric and (t["halving_months"] or 0) > 0 and 2 * t["unresolved"] < t["reached"]
        ]
        if not levels:
            continue
        name = f"{metric[:3]}-{metric[3]}"
        x = [100 * t["level"] for t in levels]
        drawn += [t["halving_months"] for t in levels]
        ends = [t["halving_interval"] or [None, None] for t in levels]
        told = [[interval(e), t["reached"], number(t["reduction_factor"])] for e, t in zip(ends, levels, strict=True)]
        figure.add_scatter(
            x=x, y=[t["halving_months"] for t in levels], mode="lines+markers", name=name,
            line={"color": colour, "dash": dash, "width": 2},
            marker={"symbol": "circle" if metric == "top1" else "diamond", "size": 7},
            customdata=told,
            hovertemplate="%{y:.1f} months %{customdata[0]}, factor %{customdata[2]}x, %{customdata[1]} reach it",
            error_y={
                "type": "data", "symmetric": False, "color": colour, "thickness": 1, "width": 2,
                "array": [0 if e[1] is None or e[1] < 0 else max(0.0, e[1] - t["halving_months"])
                          for e, t in zip(ends, levels, strict=True)],
                "arrayminus": [0 if e[0] is None or e[0] < 0 else max(0.0, t["halving_months"] - e[0])
                               for e, t in zip(ends, levels, strict=True)],
            },
        )  # fmt: skip
    if not drawn:
        return None
    top = max(3 * sorted(drawn)[len(drawn) // 2], 24.0)  # one wild level must not flatten all
    figure.update_yaxes(range=[0, top])
    figure.update_xaxes(range=[0, 100])
    marks = {**PAPER_LEVELS, group["target"]["value"]: f"this target, {group['target']['metric']}"}
    for level, words in marks.items():
        ours = words.startswith("this")
        figure.add_vline(
            x=100 * level, line={"color": RED if ours else GREY, "dash": "dash" if ours else "dot", "width": 1.5},
            annotation={"text": words, "textangle": -90, "font": {"size": 11}, "xanchor": "right",
                        "yanchor": "bottom" if ours else "top"},
            annotation_position="bottom left" if ours else "top left",
        )  # fmt: skip
    return figure
