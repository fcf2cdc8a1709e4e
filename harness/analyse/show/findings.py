"""What a measured ladder found, in sentences: every number in them is computed, and stands beside the published one."""

import math
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.analyse.evidence.fitness import LIMIT
from harness.analyse.evidence.ladder import REFERENCE
from harness.analyse.evidence.published import table as published_table
from harness.analyse.evidence.titles import short_title
from harness.analyse.show.tables import unfit
from harness.analyse.show.templates import render
from harness.analyse.show.words import confidence, halving, interval, level_words, number, times
from harness.analyse.trend.thresholds import levels_of
from harness.record.units import MOORE_DOUBLING_MONTHS
from harness.record.words import several


def lines(group: dict[str, Any], published: dict[str, Any]) -> list[str]:
    """Return all findings, a line each, the abstract and its cautions first. `group` has a trend with a line."""
    rest = render("findings.j2", **_facts(group, published)).splitlines()
    return abstract(group, published) + cautions(group) + rest


def abstract(group: dict[str, Any], published: dict[str, Any]) -> list[str]:
    """Return what to read first: factor, halving time, how sure they are, and the study's own."""
    return render("abstract.j2", **_facts(group, published)).splitlines()


def cautions(group: dict[str, Any]) -> list[str]:
    """Return what must be known before the factor is quoted: how often the reference reaches, how sure the level is."""
    return [words for words in (reference_note(group), fitness_words(group)) if words]


def source_words(target: dict[str, Any]) -> str:
    """Return where a level comes from; records from before name "3 seed(s)"."""
    return re.sub(r"(\d+) seed\(s\)", lambda count: several(int(count[1]), "seed"), str(target["source"]))


def _facts(group: dict[str, Any], published: dict[str, Any]) -> dict[str, Any]:
    """What the sentences are made of."""
    trend = group["trend"]
    rows = [r for r in group["rows"] if r["in_trend"]]
    titles = {r["model"]: short_title(r["title"]) for r in rows}
    return {
        "trend": trend,
        "published": published,
        "rows": rows,
        "bound": trend["reference_censored"],
        "factor_is": factor_confidence(group),
        "line_is": line_confidence(trend),
        "drawn_is": confidence([r["n"] for r in rows if r["on_frontier"]]),
        "cheapest": titles[trend["cheapest"]],
        "reference": titles[trend["reference"]],
        "level": level_words(group["target"]),
        "made_of": made_of(group),
        "later": later_words(rows),
        "theirs": published_split(trend["cheapest"]),
        "above_moore": (trend["reduction_interval"] or [None])[0] is not None
        and trend["reduction_interval"][0] > trend["moore_factor"],
        "same": published_factor(trend["cheapest"]) if trend["cheapest"] != "efficientnet_b0" else None,
        "moore": against_moore(trend),
        "reached_level": level_reached(group),
        "over_levels": over_levels(group),
        "reaching": sum(r["cost"] is not None for r in rows),
        "always": sum(r["reached"] == r["n"] for r in rows),
        "missed": [f"{short_title(r['title'])} {best(r)}" for r in rows if r["cost"] is None],
        "order": order_against_published(rows),
        "hardware": [f"{several(n, 'run')} on {name}" for name, n in sorted(_by_hardware(group).items())],
    }


def made_of(group: dict[str, Any]) -> dict[str, Any]:
    """Return the row of the cheapest architecture."""
    return next(r for r in group["rows"] if r["in_trend"] and r["model"] == group["trend"]["cheapest"])


def later_words(rows: list[dict[str, Any]]) -> str:
    """Return what was published after the newest of the frontier, of what reached; empty where nothing was."""
    last = max(r["published"] for r in rows if r["on_frontier"])
    later = [r for r in rows if r["published"] > last and r["cost"] is not None]
    if not later:
        return ""
    newest = max(r["published"] for r in later)
    if len(later) == 1:
        after = f"The one published later that reached the level, of {newest}, was not cheaper."
    else:
        after = f"Of the {len(later)} published later, up to {newest}, that reached the level none was cheaper."
    return f" The newest of these is of {last}. {after}"


def reference_note(document: dict[str, Any]) -> str:
    """Return what runs of the reference that miss the target do to the factors; empty where all reach."""
    trend = document["trend"]
    row = next(r for r in document["rows"] if r["in_trend"] and r["model"] == trend["reference"])
    name = short_title(row["title"])
    reached = f"{name} itself reached the level in {row['reached']} of {several(row['n'], 'run')}"
    if trend["reference_censored"]:
        return (
            f"{reached}. So its cost is known from below only: factors are lower bounds (≥), the halving time is an "
            "upper one (≤)."
        )
    if row["reached"] < row["n"]:
        low, high = row["reached_interval"]
        return (
            f"{reached}: a further run would with a probability of {100 * low:.0f} to {100 * high:.0f} % (95 %). Its "
            "cost includes what the other runs spent."
        )
    return ""


def fitness_words(group: dict[str, Any]) -> str:
    """Return how far the reference is fit to measure costs at, in sentences; empty where nothing tells."""
    found = group["trend"]["fitness"]
    if found is None or not any(found["answered"]):
        return ""
    runs = several(found["level_runs"], "calibration run" if found["calibrated"] else "run")
    verdict = {True: "the reference is fit", False: "reference unfit", None: "not known whether the reference is fit"}
    down, up = (_moved(found[way], count) for way, count in zip(("down", "up"), found["answered"], strict=True))
    name = next((short_title(r["title"]) for r in group["rows"] if r["model"] == REFERENCE), REFERENCE)
    own = [words for change in group["sensitivity"] if (words := _own_words(change))]
    return (
        f"Runs of the whole plan of {name} differ by {100 * found['level_sd']:.1f} points, one standard deviation of "
        f"{runs}. At a level that much lower the cost of the median other network {down}; at one that much higher it "
        f"{up}. At most {100 * LIMIT:.0f} % are allowed: {verdict[found['fit']]}.{' '.join(['', *own])}"
    )


def _own_words(change: dict[str, Any]) -> str:
    """What a moved level does to the factor where that is not known; else it stands in the table of such changes."""
    if not change["change"].startswith("level ") or change["reduction_factor"] is not None:
        return ""
    way = "higher" if change["change"].startswith("level +") else "lower"
    return f"At the {way} level the factor is not known ({change['note']})." if change["note"] else ""


def _moved(change: float | None, answered: int) -> str:
    """What a moved level does to the median network's cost."""
    if not answered:
        return "is not known, for the runs end before"
    if change is None:
        return "has no end, for no run gets there"
    return f"is {abs(100 * change):.0f} % {'lower' if change < 0 else 'higher'}"


def spread_words(group: dict[str, Any]) -> str:
    """Return how much the cost of an architecture varies between seeds, and whether all vary alike."""
    spread = group["trend"]["spread"]
    if not spread["freedom"]:
        return "No architecture has two runs that reached: nothing is known of how seeds vary."
    factor = number(math.exp(spread["sd_log"]))
    tested = "" if spread["p"] is None else f" (Levene's test: p = {number(spread['p'], 2)})"
    if spread["holds"]:
        return (
            f"Runs that differ in their seed alone differ in cost by a factor of {factor}, one standard deviation, "
            f"pooled over the architectures with {spread['freedom']} degrees of freedom. All vary alike{tested}."
        )
    return (
        f"The architectures do not vary alike between seeds{tested}, so each has its own spread, and the table prints "
        "the cheapest and the dearest run in place of a 95 % interval."
    )


def cards(group: dict[str, Any], published: dict[str, Any]) -> list[dict[str, str]]:
    """Return the three numbers to see first, each with its spread and the published one."""
    trend = group["trend"]
    titles = {r["model"]: short_title(r["title"]) for r in group["rows"]}
    same, bound = published_factor(trend["cheapest"]), trend["reference_censored"]
    theirs = "" if same is None else f", {times(same)} with this network"
    warning = f" ({unfit(trend)})" if unfit(trend) else ""
    return [
        {
            "name": f"Less arithmetic than {titles[trend['reference']]}, with {titles[trend['cheapest']]}{warning}",
            "value": times(trend["reduction_factor"], at_least=bound),
            "spread": f"{factor_confidence(group)}: {interval(trend['reduction_interval'])}",
            "published": f"the study: {times(published['reduction_factor'])}{theirs}",
        },
        {
            "name": "One halving of the cost every",
            "value": f"{halving(trend['halving_months'], at_most=bound)} months",
            "spread": f"{line_confidence(trend)}: {interval(trend['halving_interval_line'])}",
            "published": f"the study: {number(published['halving_months'])} "
            f"{interval(published['halving_interval_ols'])}",
        },
        {
            "name": "Moore's law over the same span",
            "value": times(trend["moore_factor"]),
            "spread": f"{number(trend['span_months'])} months at one doubling in {MOORE_DOUBLING_MONTHS:.0f}",
            "published": f"the study: {times(published['moore_factor'])}",
        },
    ]


def factor_confidence(group: dict[str, Any]) -> str:
    """Return what the interval of the factor is, by the runs of the two architectures that it is made of."""
    ends = (group["trend"]["reference"], group["trend"]["cheapest"])
    return confidence([r["n"] for r in group["rows"] if r["in_trend"] and r["model"] in ends])


def line_confidence(trend: dict[str, Any]) -> str:
    """Return how sure the interval of the line is: where runs missed it also holds the seeds', and may be too wide."""
    return "95 % or more" if trend["line_interval_kind"] == "hull" else "95 %"


def against_moore(trend: dict[str, Any]) -> str:
    """Return whether the line's interval tells the halving time from Moore's doubling time; empty without one."""
    ends = trend["halving_interval_line"]
    if ends is None:
        return ""
    low, high = ends
    inside = (low is None or low <= MOORE_DOUBLING_MONTHS) and (high is None or high >= MOORE_DOUBLING_MONTHS)
    law = f"Moore's law, a doubling in {MOORE_DOUBLING_MONTHS:.0f} months, lies"
    open_end = " No upper end: it is not excluded that the cost did not fall at all." if high is None and low else ""
    if inside:
        return f"{law} inside that interval: this line alone does not tell the two apart.{open_end}"
    return f"{law} outside that interval: the two differ."


def published_factor(model: str) -> float | None:
    """Return the study's own factor for one architecture; None where it has none."""
    theirs = _printed("printed_compute")
    return theirs[REFERENCE] / theirs[model] if model in theirs else None


def level_reached(group: dict[str, Any]) -> dict[str, Any] | None:
    """Return the highest level that a run of the reference reaches, where none reaches the target; else None."""
    metric = group["target"]["metric"]
    reached = [t for t in group["thresholds"] if t["metric"] == metric and not t["reference_censored"]]
    if not group["trend"]["reference_censored"]:
        return None
    return max(reached, key=lambda t: float(t["level"]), default=None)


def over_levels(group: dict[str, Any]) -> dict[str, list[float]] | None:
    """Return the ends of level, factor and halving time over the levels that AlexNet passes; None without two."""
    passed = [t for t in levels_of(group, group["target"]["metric"]) if not t["reference_censored"]]
    ends = {
        name: [t[name] for t in passed if t[name] is not None]
        for name in ("level", "reduction_factor", "halving_months")
    }
    if any(len(values) < 2 for values in ends.values()):
        return None
    return {name: [min(values), max(values)] for name, values in ends.items()}


def best(row: dict[str, Any]) -> str:
    """Return the best accuracies of an architecture's seeds, from the lowest to the highest."""
    known = sorted(100 * a for a in row["best_accuracy"] if a is not None)
    if not known:
        return "none"
    return f"{known[0]:.1f} %" if len(known) == 1 else f"{known[0]:.1f} to {known[-1]:.1f} %"


def order_against_published(rows: list[dict[str, Any]]) -> list[str]:
    """Return how far the order of architectures is the published one; empty with fewer than three in common."""
    theirs, epochs = _printed("printed_compute"), _printed("epochs")
    both = [r for r in rows if r["cost"] is not None and r["model"] in theirs]
    if len(both) < 3:
        return []
    cost, printed = [r["cost"] for r in both], [theirs[r["model"]] for r in both]
    here, there = ranks(cost), ranks(printed)
    moved = sorted(
        (i for i in range(len(both)) if here[i] != there[i]),
        key=lambda i: (-abs(here[i] - there[i]), both[i]["model"]),
    )
    moves = [
        f"{short_title(both[i]['title'])} is {here[i]:.0f} of {len(both)} here and {there[i]:.0f} there"
        for i in moved[:4]
    ]
    beyond = [short_title(both[i]["title"]) for i in moved if not _allowed(there[i], both[i], cost)]
    by_epochs = _correlation([r["epochs"] for r in both], [epochs[r["model"]] for r in both])
    by_macs = _correlation([r["forward_macs"] for r in both], printed)
    first = min((r for r in rows if r["model"] in theirs), key=lambda r: theirs[r["model"]])
    absent = f" {short_title(first['title'])}, the cheapest there, missed here." if first["cost"] is None else ""
    return [
        f"The order of costs against the study's: rank correlation {_correlation(cost, printed):.2f} (1: the same) of "
        f"the {len(both)} that reach" + (f". The largest moves: {'; '.join(moves)}." if moves else ".") + absent,
        f"{len(moved)} of {len(both)} stand at another place than there; for {len(beyond)} of them no cost in "
        f"their own interval has the place there, the others left where they are"
        f"{': ' + ', '.join(beyond) if beyond else ''}.",
        f"Most of that order is known without training: MACs an image alone have {by_macs:.2f} with the study's cost. "
        f"In epochs, the part that training measures, the rank correlation is {by_epochs:.2f}.",
    ]


def _allowed(place: float, row: dict[str, Any], costs: list[float]) -> bool:
    """Whether an architecture may hold a place among `costs`, its own moved along its interval and the others left."""
    low, high = row["cost_interval"] or (row["cost"], row["cost"])
    first = 1 + sum(c < (0 if low is None else low) for c in costs)
    last = sum(c <= (math.inf if high is None else high) for c in costs)
    return first <= place <= last


def _by_hardware(group: dict[str, Any]) -> Counter[str]:
    """How many runs of the trend ran on what."""
    runs: Counter[str] = Counter()
    for row in group["hardware"]:
        runs[row["hardware"]] += row["n"]
    return runs


def published_split(model: str) -> tuple[float, float] | None:
    """Return the study's own factors of MACs an image and of epochs for one architecture; None where it has none."""
    macs, epochs = _printed("gmacs_per_image_used"), _printed("epochs")
    if model not in macs:
        return None
    return macs[REFERENCE] / macs[model], epochs[REFERENCE] / epochs[model]


def _printed(column: str) -> dict[str, float]:
    """One column of the published table, by architecture."""
    return {r["model"]: float(r[column]) for r in published_table("hernandez2020_table3.csv")}


def _correlation(a: list[float], b: list[float]) -> float:
    """Spearman's rank correlation; NaN where all of one are equal."""
    with np.errstate(invalid="ignore"):
        return float(np.corrcoef(ranks(a), ranks(b))[0, 1])


def ranks(values: Sequence[float]) -> NDArray[np.float64]:
    """Return the rank of each value from 1 up; equal ones share the middle of theirs."""
    column = np.asarray(values)[:, None]
    return np.asarray((column > column.T).sum(axis=1) + ((column == column.T).sum(axis=1) + 1) / 2)


def search_words(s: dict[str, Any]) -> str:
    """A search for the shortest plan in a sentence: what was tried, and what that says."""
    tried = ", ".join(f"{t['succeeded']} of {t['runs']} at {t['planned_epochs']} epochs" for t in s["tried"])
    how = "" if s["judged"] == "end" else " (by an earlier rule: a crossing anywhere in the plan counts)"
    return f"{short_title(s['title'])}: {tried}{how}. {s['words'][0].upper()}{s['words'][1:]}."
