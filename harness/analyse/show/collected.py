"""A collection of published curves in tables and sentences. Every number comes from the document."""

from typing import Any

from harness.analyse.evidence.titles import short_title
from harness.analyse.show.figures.collected import level_words, rule_words
from harness.analyse.show.table import Column, Row, Table
from harness.analyse.show.words import MISSING, interval, number, span, times
from harness.record.words import several

ENOUGH = 3
"""Examples in a sentence."""


def view_of(
    document: dict[str, Any], metric: str, level: float, rule: str = "first", family: str = ""
) -> dict[str, Any]:
    """The trend at one level under one rule. Raises StopIteration where the document has none."""
    asked = (metric, level, rule, family)
    return next(v for v in document["views"] if (v["metric"], v["level"], v["rule"], v["family"]) == asked)


def headlines(document: dict[str, Any]) -> Table:
    """One line a level, rule and family."""
    lines = []
    for view in document["views"]:
        trend, rows = view["trend"], {row["model"]: row for row in view["rows"]}
        lines.append(
            [
                level_words(view),
                {"first": "first", "confirmed": "confirmed"}[view["rule"]],
                view["family"] or "all",
                rows[trend["reference"]]["title"],
                rows[trend["cheapest"]]["title"],
                times(trend["reduction_factor"], at_least=trend["reference_censored"]),
                number(trend["halving_months"]),
                interval(trend["halving_interval_ols"]),
                str(len(trend["frontier"])),
                f"{sum(row['cost'] is not None for row in view['rows'])}/{len(view['rows'])}",
            ]
        )
    header = [
        "level",
        "look",
        "curves",
        "reference",
        "cheapest",
        "factor",
        "months a halving",
        "95 %",
        "frontier",
        "networks that reach",
    ]
    return Table.of(header, lines, words=(0, 1, 2, 3, 4))


def networks(view: dict[str, Any]) -> Table:
    """Every network by date, at its cheapest curve."""
    names = ("network", "date", "curves that reach", "epochs", "PFLOP (after, at]", "factor", "cheapest curve", "marks")
    columns = [Column(name, words=name in ("network", "cheapest curve", "marks")) for name in names]
    rows = []
    for r in view["rows"]:
        marks = [name for name, key in (("≤ average", "averaged"), ("± plot", "digitised")) if r[key]]
        low, high = r["cost_interval"]
        cost = f"> {number(r['cost_above'])}" if r["cost"] is None else f"({number(low)}, {number(r['cost'])}]"
        if r["cost"] is not None and (high is None or high > r["cost"]):
            cost += f" to {'no end known' if high is None else number(high)}"
        cells = [
            r["title"],
            r["published"],
            f"{r['reached']}/{r['looked']}",
            MISSING if r["epochs"] is None else f"{r['epochs']:.4g}",
            cost,
            times(r["factor"], at_least=r["factor_at_least"]),
            r["curve"],
            " ".join(marks) or MISSING,
        ]
        rows.append(Row(cells, "frontier" if r["on_frontier"] else ""))
    return Table(columns, rows)


def surfaces(document: dict[str, Any]) -> Table:
    """The fits without a threshold."""
    lines = [
        [
            s["words"],
            str(s["networks"]),
            f"{s['points']:,}",
            f"{s['logit_per_doubling']:.3f}",
            f"{s['logit_per_year']:+.4f}",
            months_words(s),
            interval(s["halving_interval"]),
        ]
        for s in document["surface"]
    ]
    header = ["over", "networks", "points", "logit a doubling of compute", "logit a year", "months a halving", "95 %"]
    return Table.of(header, lines)


def months_words(surface: dict[str, Any]) -> str:
    """The halving time of a fit; in words where the fit has no gain by date."""
    return number(surface["halving_months"]) if surface["halving_months"] > 0 else "no halving"


def study_epochs(document: dict[str, Any]) -> Table:
    """The published table's epochs beside the curves'."""
    lines = [
        [r["title"], str(r["study"]), _epochs(r["top5"]), _epochs(r["top1"]), "average" if r["averaged"] else MISSING]
        for r in document["study_epochs"]
    ]
    header = ["network", "the study, top-5 79.1 %", "curves, top-5 79.1 %", "curves, top-1 56.522 %", "weights judged"]
    return Table.of(header, lines, words=(0, 4))


def _epochs(values: list[float]) -> str:
    if not values:
        return MISSING
    low, high = f"{values[0]:.4g}", f"{values[-1]:.4g}"
    return low if len(values) == 1 else f"{low} to {high} (n = {len(values)})"


def references(document: dict[str, Any]) -> Table:
    """The factor against each curve of a network of AlexNet's kind."""
    lines = [
        [
            level_words(r),
            r["title"],
            r["curve"],
            MISSING if r["epochs"] is None else f"{r['epochs']:.4g}",
            number(r["cost"]) if r["cost"] is not None else f"> {number(r['spent'])}",
            times(r["factor"], at_least=r["cost"] is None),
        ]
        for r in document["references"]
    ]
    return Table.of(["level", "network", "curve", "epochs", "PFLOP", "factor"], lines, words=(0, 1, 2))


def findings(document: dict[str, Any]) -> list[str]:
    """What the numbers say, a sentence each."""
    return [
        *_level_findings(document),
        *_recipe_findings(document),
        *_study_findings(document),
        *_surface_findings(document),
        *_younger_findings(document),
        "No public curve was made to cross early: plans are long, and a long plan crosses late. Every cost here is an "
        "upper bound on what its network needs, and the bounds are not equally loose. Widths, recipes and plans were "
        "chosen by whoever published, and the cheapest of several curves profits from their number.",
    ]


def _level_findings(document: dict[str, Any]) -> list[str]:
    plain, confirmed = (view_of(document, "top1", 0.56522, rule) for rule in ("first", "confirmed"))
    margin, top5 = view_of(document, "top1", 0.56), view_of(document, "top5", 0.791)

    def said(view: dict[str, Any]) -> str:
        return times(view["trend"]["reduction_factor"], at_least=view["trend"]["reference_censored"])

    ratio = plain["trend"]["reduction_factor"] / margin["trend"]["reduction_factor"]
    own = document["alexnet"]
    at = [f"{a['epochs']['top1 56.522']:g} of {a['last_epoch']:g}" for a in own if a["epochs"]["top1 56.522"]]
    nearly = [f"{a['epochs']['top1 56.4']:g}" for a in own if a["epochs"]["top1 56.4"]]
    half = [f"{a['epochs']['top1 56']:g}" for a in own if a["epochs"]["top1 56"]]
    five = [f"{a['epochs']['top5 79.1']:g}" for a in own if a["epochs"]["top5 79.1"]]
    unconfirmed = sum(a["epochs"]["top1 56.522"] is not None and a["confirmed"]["top1 56.522"] is None for a in own)
    open_ends = sum(
        a["pflop_interval"]["top1 56.522"] is not None and a["pflop_interval"]["top1 56.522"][1] is None for a in own
    )
    return [
        f"At {level_words(plain)} the cheapest network needs {said(plain)} less arithmetic than the cheapest of "
        f"AlexNet's day ({rule_words('first')}; {said(confirmed)} where the next look must confirm it), at "
        f"{level_words(margin)} {said(margin)}, at {level_words(top5)} {said(top5)}. Half a point less of top-1 "
        f"divides the factor by {number(ratio)}: AlexNet's curve is flat there, and its cost is where that level "
        "happens to lie.",
        f"torchvision's AlexNet, {several(len(own), 'curve')} read off plots, first shows 56.522 % at epochs "
        f"{' and '.join(at)}, 56.4 % at {' and '.join(nearly)}, 56.0 % at {' and '.join(half)}, 79.1 % top-5 at "
        f"{' and '.join(five)}. In {unconfirmed} of {len(own)} no later look confirms the top-1 level, and in "
        f"{open_ends} the plot's error leaves open whether it was reached: the reference hardly reaches itself.",
    ]


def _recipe_findings(document: dict[str, Any]) -> list[str]:
    widest = sorted(document["recipes"], key=lambda r: r["low"] / r["high"])[:ENOUGH]
    examples = ", ".join(f"{short_title(r['title'])} {r['low']:.3g} to {r['high']:.3g} (n = {r['n']})" for r in widest)
    epochs, pflop = document["variance"]["epochs"], document["variance"]["pflop"]
    return [
        f"The recipe moves a network's crossing: {examples} epochs at {level_words(document['variance'])}.",
        f"Over {epochs['networks']} networks with two curves or more ({epochs['curves']} curves), epochs differ "
        f"between networks by a factor of {number(epochs['between_factor'])} (one standard deviation) and within a "
        f"network by {number(epochs['within_factor'])}: {epochs['share_within']:.0%} of the variance of log epochs is "
        f"recipe. In PFLOP it is {number(pflop['between_factor'])} against {number(pflop['within_factor'])}, "
        f"{pflop['share_within']:.0%}: what an architecture changes most is MACs an image.",
    ]


def _study_findings(document: dict[str, Any]) -> list[str]:
    judged = [r for r in document["study_epochs"] if r["top5"]]
    slower = [r for r in judged if r["top5"][0] > r["study"]]
    within = [r for r in judged if r["top5"][0] <= r["study"] <= r["top5"][-1]]
    quicker = [r for r in judged if r["top5"][-1] < r["study"]]
    named = "; ".join(
        f"{short_title(r['title'])} {r['study']} in the study, {_epochs(r['top5'])} here"
        + (" (averaged weights: an upper bound)" if r["averaged"] else "")
        for r in slower
    )
    found = [
        f"Of {len(judged)} networks that the published table and these curves share at top-5 79.1 %, the table's "
        f"epochs lie within the curves' range for {len(within)}"
        + (f" ({', '.join(short_title(r['title']) for r in within)})" if within else "")
        + f", below all of them for {len(slower)}, above for {len(quicker)}"
        + (f" ({', '.join(short_title(r['title']) for r in quicker)})" if quicker else "")
        + "."
    ]
    return found + ([f"Where the study is quicker than every curve: {named}."] if slower else [])


def _surface_findings(document: dict[str, Any]) -> list[str]:
    words = "; ".join(
        f"{months_words(s)} months over {s['words']} ({span(s['halving_interval'])})" for s in document["surface"]
    )
    return [
        "Without a threshold (logit of accuracy on log compute and date) the same accuracy takes half the compute "
        f"after {words}. The low levels of a curve say how its schedule begins rather than what the network can do; "
        "the answer depends on how much of a curve is asked."
    ]


def _younger_findings(document: dict[str, Any]) -> list[str]:
    late = document["younger"]
    if not late:
        return []
    cheapest = view_of(document, *_first_level(document))["trend"]["cheapest"]
    examples = ", ".join(f"{r['title']} ({r['published'][:4]}) {number(r['cost'])} PFLOP" for r in late[:ENOUGH])
    last = [r["title"] for r in late if r["cost"] < _cost_of(document, cheapest)]
    ending = (
        f"cheaper than every older one: {', '.join(last)}" if last else "none of them is cheaper than the best before"
    )
    return [f"{several(len(late), 'network')} of 2020 and later reach the level: {examples}; {ending}."]


def _first_level(document: dict[str, Any]) -> tuple[str, float]:
    return document["views"][0]["metric"], document["views"][0]["level"]


def _cost_of(document: dict[str, Any], model: str) -> float:
    rows = view_of(document, *_first_level(document))["rows"]
    return next(float(row["cost"]) for row in rows if row["model"] == model)
