"""What a measured ladder found, in sentences: every number in them is computed, and stands beside the published one."""

from typing import Any

import numpy as np

from harness.analyse.evidence.ladder import REFERENCE
from harness.analyse.evidence.published import claims
from harness.analyse.evidence.published import table as published_table
from harness.analyse.evidence.titles import named, short_title
from harness.analyse.show.tables import main_table, rows_by_date
from harness.analyse.show.words import halving, interval, number, times
from harness.record.units import MOORE_DOUBLING_MONTHS


def headline(folder: str, group: dict[str, Any], published: dict[str, Any]) -> str:
    """The factor and the halving time with their intervals beside the study's, and the figure."""
    data, target, trend = group["dataset"], group["target"], group["trend"]
    titles = {r["model"]: short_title(r["title"]) for r in group["rows"]}
    words = named(data["name"])
    subset = f" (a seeded subset of {data['train_images']:,} training images)" if data["subset"] else ""
    alt = f"Cost to target by publication date on {words}, with the fitted trend and Moore's law"
    at_least, at_most = ("at least ", "at most ") if trend["reference_censored"] else ("", "")
    runs = sum(r["n"] for r in group["rows"] if r["in_trend"])
    return (
        f"**Measured on {words}{subset}:** {titles[trend['cheapest']]} reaches AlexNet's "
        f"{100 * target['value']:.1f} % {_metric(target['metric'])} with "
        f"**{at_least}{number(trend['reduction_factor'])}x** less arithmetic than {titles[trend['reference']]} "
        f"(95 % {interval(trend['reduction_interval'])}); over the {len(trend['frontier'])} architectures that were "
        "the cheapest so far when published, the cost halves every "
        f"**{at_most}{number(trend['halving_months'])} months** ({_two_intervals(trend)}). {against_moore(trend)} "
        f"{runs} runs in the trend; the bootstrap covers {trend['covers']}.\n\n"
        f"The study, rebuilt from its constants (ImageNet, {100 * claims()['target_top5']:.1f} % top-5): "
        f"{_published_factors(trend['cheapest'], titles, published)}, {number(published['halving_months'])} months.\n\n"
        f"![{alt}](results/{folder}/trend.svg)"
    )


def results_table(folder: str, group: dict[str, Any]) -> str:
    """The measured table, the columns a reader asks for first."""
    shown = (
        "architecture",
        "date",
        "n",
        "reached",
        "epochs (after, at]",
        "PFLOP",
        "95 % or resolution",
        "factor",
        "flags",
    )
    table = main_table([row for row in rows_by_date(group) if row["in_trend"]])
    return (
        table.only(*shown).markdown()
        + "\n\nBold: cheapest so far when published, by the medians. PFLOP: 3 x forward MACs x images / 10^15, the "
        "study's unit. Everything else, with the exact ledger and what the flags mean: "
        f"[TABLE.md](results/{folder}/TABLE.md)."
    )


def lines(group: dict[str, Any], published: dict[str, Any]) -> list[str]:
    """The findings that follow from the numbers: intervals, misses, what the gain is made of, the order of ImageNet."""
    trend = group["trend"]
    rows = [r for r in group["rows"] if r["in_trend"]]
    bound = trend["reference_censored"]
    titles = {r["model"]: short_title(r["title"]) for r in rows}
    cheapest = next(r for r in rows if r["model"] == trend["cheapest"])
    missed = [f"{short_title(r['title'])} ({best(r)})" for r in rows if r["cost"] is None]
    return [
        f"Factor {times(trend['reduction_factor'], at_least=bound)} {interval(trend['reduction_interval'])} with "
        f"{titles[trend['cheapest']]}; the study has {_published_factors(trend['cheapest'], titles, published)}.",
        *made_of(cheapest),
        f"Halving every {halving(trend['halving_months'], at_most=bound)} months ({_two_intervals(trend)}); "
        f"the study's constants give {number(published['halving_months'])} "
        f"{interval(published['halving_interval_ols'])} by least squares. {against_moore(trend)}",
        *([note.strip()] if (note := reference_note(group)) else []),
        *at_a_level_reached(group),
        f"{len(rows) - len(missed)} of {len(rows)} architectures reach the level in their median run"
        + (f"; missed within the plan (best accuracy of each seed): {', '.join(missed)}." if missed else "."),
        *order_against_published(rows),
        f"Run on: {'; '.join(sorted({h for r in rows for h in r['hardware']}))}.",
    ]


def reference_note(document: dict[str, Any]) -> str:
    """What a reference that misses the target, always or in some draws, does to the factors; empty where it reaches."""
    trend = document["trend"]
    row = next(r for r in document["rows"] if r["in_trend"] and r["model"] == trend["reference"])
    name = short_title(row["title"])
    if trend["reference_censored"]:
        return (
            f"{name} reached the target in {row['reached']} of {row['n']} runs, so its median cost is known from below "
            "only: factors are lower bounds (≥), the halving time an upper one (≤). "
        )
    if trend["reference_open"]:
        return (
            f"In {trend['reference_censored_share']:.0%} of the draws {name} does not reach the target: "
            "nothing bounds its cost from above there, and those ends of the intervals are open. "
        )
    return ""


def cards(group: dict[str, Any], published: dict[str, Any]) -> list[dict[str, str]]:
    """Return the three numbers to see first, each with its spread and the published one."""
    trend = group["trend"]
    titles = {r["model"]: short_title(r["title"]) for r in group["rows"]}
    same, bound = published_factor(trend["cheapest"]), trend["reference_censored"]
    theirs = "" if same is None else f", {times(same)} with this network"
    return [
        {
            "name": f"Less arithmetic than {titles[trend['reference']]}, with {titles[trend['cheapest']]}",
            "value": times(trend["reduction_factor"], at_least=bound),
            "spread": f"95 % {interval(trend['reduction_interval'])}",
            "published": f"published: {times(published['reduction_factor'])}{theirs}",
        },
        {
            "name": "One halving of the cost every",
            "value": f"{halving(trend['halving_months'], at_most=bound)} months",
            "spread": f"95 % of least squares {interval(trend['halving_interval_ols'])}; over seeds alone "
            f"{interval(trend['halving_interval'])}",
            "published": f"published: {number(published['halving_months'])} "
            f"{interval(published['halving_interval_ols'])}",
        },
        {
            "name": "Moore's law over the same span",
            "value": times(trend["moore_factor"]),
            "spread": f"{number(trend['span_months'])} months at one doubling in {MOORE_DOUBLING_MONTHS:.0f}",
            "published": f"published: {times(published['moore_factor'])}",
        },
    ]


def against_moore(trend: dict[str, Any]) -> str:
    """Whether the intervals tell the halving time from Moore's doubling time, and the factor over the same span."""
    inside = [_contains(trend[name], MOORE_DOUBLING_MONTHS) for name in ("halving_interval", "halving_interval_ols")]
    known = [i for i in inside if i is not None]
    gain = f"Moore's law gives {number(trend['moore_factor'])}x over the same {number(trend['span_months'])} months"
    if not known:
        return f"{gain}."
    months = f"its {MOORE_DOUBLING_MONTHS:.0f} months a doubling"
    verdict = (
        f"{months} lie outside both intervals" if not any(known) and len(known) == 2
        else f"{months} lie outside the interval" if not any(known)
        else f"{months} lie inside, so this ladder does not tell the two apart" if all(known)
        else f"{months} lie inside one of the intervals, so this ladder does not tell the two apart"
    )  # fmt: skip
    return f"{gain}; {verdict}."


def _contains(ends: list[float | None] | None, value: float) -> bool | None:
    if ends is None:
        return None
    low, high = ends
    return (low is None or low <= value) and (high is None or value <= high)


def _two_intervals(trend: dict[str, Any]) -> str:
    least_squares = trend["halving_interval_ols"]
    return f"95 %: bootstrap {interval(trend['halving_interval'])}" + (
        f", least squares over {len(trend['frontier'])} points {interval(least_squares)}" if least_squares else ""
    )


def published_factor(model: str) -> float | None:
    """The study's own factor for one architecture; None where it has none."""
    theirs = _printed("printed_compute")
    return theirs[REFERENCE] / theirs[model] if model in theirs else None


def _published_factors(cheapest: str, titles: dict[str, str], published: dict[str, Any]) -> str:
    whole = f"{number(published['reduction_factor'])}x with EfficientNet-B0"
    same = published_factor(cheapest)
    if same is None or cheapest == "efficientnet_b0":
        return whole
    return f"{number(same)}x with {titles[cheapest]} and {whole}"


def made_of(row: dict[str, Any]) -> list[str]:
    """The cheapest architecture's gain as fewer epochs times fewer MACs an epoch."""
    if row.get("epochs_factor") is None:
        return []
    per_epoch, epochs = row["macs_per_epoch_factor"], row["epochs_factor"]
    return [
        f"Of its {number(row['factor'])}x, {number(per_epoch)}x is fewer MACs an image, which was known before any "
        f"training, and {times(epochs, at_least=row['factor_at_least'])} fewer epochs."
    ]


def at_a_level_reached(group: dict[str, Any]) -> list[str]:
    """Where the reference's median run misses the target: the same figures at the highest level that it reaches."""
    metric = group["target"]["metric"]
    reached = [t for t in group["thresholds"] if t["metric"] == metric and not t["reference_censored"]]
    if not group["trend"]["reference_censored"] or not reached:
        return []
    t = max(reached, key=lambda t: t["level"])
    return [
        f"At {100 * t['level']:.0f} % {_metric(metric)}, the highest whole percent that its median run reaches: factor "
        f"{times(t['reduction_factor'])} {interval(t['reduction_interval'])}, halving every "
        f"{halving(t['halving_months'])} months {interval(t['halving_interval'])}."
    ]


def best(row: dict[str, Any]) -> str:
    """The best accuracies of the seeds of an architecture, from the lowest to the highest."""
    known = sorted(100 * a for a in row["best_accuracy"] if a is not None)
    if not known:
        return "none"
    return f"{known[0]:.1f} %" if len(known) == 1 else f"{known[0]:.1f} to {known[-1]:.1f} %"


def order_against_published(rows: list[dict[str, Any]]) -> list[str]:
    """How far the order of architectures is the published one: rank correlations, the widest moves, who is missing."""
    theirs, epochs = _printed("printed_compute"), _printed("epochs")
    both = [r for r in rows if r["cost"] is not None and r["model"] in theirs]
    if len(both) < 3:
        return []
    here, there = _ranks([r["cost"] for r in both]), _ranks([theirs[r["model"]] for r in both])
    moves = sorted(range(len(both)), key=lambda i: (-abs(here[i] - there[i]), both[i]["model"]))[:4]
    words = [
        f"{short_title(both[i]['title'])} is {here[i]:.0f} of {len(both)} here and {there[i]:.0f} there" for i in moves
        if here[i] != there[i]
    ]  # fmt: skip
    by_epochs = _correlation([r["epochs"] for r in both], [epochs[r["model"]] for r in both])
    by_macs = _correlation([r["forward_macs"] for r in both], [theirs[r["model"]] for r in both])
    first = min((r for r in rows if r["model"] in theirs), key=lambda r: theirs[r["model"]])
    absent = f" {short_title(first['title'])}, the cheapest there, missed here." if first["cost"] is None else ""
    return [
        f"Order by cost, cheapest first, against the published table: rank correlation "
        f"{_correlation([r['cost'] for r in both], [theirs[r['model']] for r in both]):.2f} over the {len(both)} that "
        f"reach" + (f"; {', '.join(words)}." if words else ".") + absent,
        f"Most of that order is known without training: MACs an image alone have {by_macs:.2f} with the published "
        f"cost. In epochs, the part that training measures, the rank correlation is {by_epochs:.2f}.",
    ]


def _printed(column: str) -> dict[str, float]:
    """One column of the published table, by architecture."""
    return {r["model"]: float(r[column]) for r in published_table("hernandez2020_table3.csv")}


def _ranks(values: list[float]) -> "np.ndarray[Any, np.dtype[np.float64]]":
    """Ranks from 1, ties sharing their mean."""
    array = np.asarray(values, dtype=np.float64)
    below, equal = (array[:, None] > array).sum(1), (array[:, None] == array).sum(1)
    return below + (equal + 1) / 2


def _correlation(a: list[float], b: list[float]) -> float:
    """Spearman's rank correlation."""
    return float(np.corrcoef(_ranks(a), _ranks(b))[0, 1])


def _metric(name: str) -> str:
    return f"{name[:3]}-{name[3]}"
