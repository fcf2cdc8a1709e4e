"""The table of a study: Markdown for people, CSV for programs, a short form for the terminal."""

import csv
import io
import textwrap
from collections.abc import Sequence
from typing import Any

from harness.analyse.evidence.cost import UNIT_WORDS
from harness.analyse.evidence.titles import short_title
from harness.analyse.show.words import MISSING, TERMINAL_COLUMNS, grid, interval, number
from harness.analyse.trend.rows import FLAGS

CSV_COLUMNS = (
    "key", "dataset", "model", "title", "published", "kind", "recipe", "planned_epochs", "batch_size", "resolution",
    "in_trend", "on_frontier", "n", "reached", "outcomes", "missed", "forward_macs", "epochs", "epochs_low",
    "unit", "cost", "cost_low", "cost_high", "cost_above", "interval_kind", "paper_pflop", "images",
    "train_forward_macs",
    "spent_macs", "evaluation_macs", "lost_macs", "factor", "factor_low", "factor_high", "epochs_factor",
    "macs_per_epoch_factor", "flags", "middle_run", "runs",
)  # fmt: skip


def rows_by_cost(document: dict[str, Any]) -> list[dict[str, Any]]:
    """Trend rows by date, then the other plans."""
    return sorted(document["rows"], key=lambda r: (not r["in_trend"], r["published"], r["model"]))


def csv_text(documents: list[dict[str, Any]]) -> str:
    """All rows of all groups; a missing number is an empty cell, never 0."""
    out = io.StringIO()
    writer = csv.DictWriter(out, CSV_COLUMNS, lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    for d in documents:
        for r in rows_by_cost(d):
            low, high = r["cost_interval"]
            f_low, f_high = r.get("factor_interval") or (None, None)
            writer.writerow(
                r
                | {"key": d["key"], "dataset": d["dataset"]["name"], "unit": d["unit"]}
                | {"outcomes": counts(r["outcomes"]), "missed": counts(r["missed"]), "flags": " ".join(r["flags"])}
                | {"runs": " ".join(r["runs"])}
                | {"epochs_low": r["epochs_interval"][0], "cost_low": low, "cost_high": high}
                | {"factor_low": f_low, "factor_high": f_high}
            )
    return out.getvalue()


def counts(by_name: dict[str, int]) -> str:
    """As in: 3 reached, 1 diverged."""
    return ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in by_name.items())


def cells(row: dict[str, Any], unit: str = "paper_pflop") -> dict[str, str]:
    """One architecture for the reader, by column of `COLUMNS`; the unit of the trend too where it is not PFLOP."""
    missed = f" ({counts(row['missed'])})" if row["missed"] else ""
    low, high = row["epochs_interval"]
    named = (
        _with_plan(row["title"], row), row["published"], str(row["n"]),
        f"{row['reached']}/{row['n']}{missed}", number(row["forward_macs"] / 1e9),
        f"> {low:.4g}" if high is None else f"({low:.4g}, {high:.4g}]", _pflop(row, unit), _cost(row),
        interval(row["cost_interval"], opening="(" if row["interval_kind"] == "resolution" else "["),
        times(row.get("factor"), at_least=row["factor_at_least"]), interval(row.get("factor_interval"), opening="["),
        number(row.get("epochs_factor")), number(row.get("macs_per_epoch_factor")), " ".join(row["flags"]) or MISSING,
    )  # fmt: skip
    return dict(zip(COLUMNS, named, strict=True))


COLUMNS = (
    "architecture", "date", "n", "reached", "GMAC", "epochs (after, at]", "PFLOP", "cost", "95 % or resolution",
    "factor", "factor interval", "= epochs x", "MACs/epoch", "flags",
)  # fmt: skip


def markdown_lines(rows: list[dict[str, Any]], shown: Sequence[str], unit: str = "paper_pflop") -> list[list[str]]:
    """The columns `shown` of every row, the frontier in bold."""
    lines = []
    for row in rows:
        named = cells(row, unit)
        if row["on_frontier"]:
            named["architecture"] = f"**{named['architecture']}**"
        lines.append([named[name] for name in shown])
    return lines


def main_table(document: dict[str, Any]) -> str:
    """One line an architecture, in Markdown."""
    unit = document["unit"]
    shown = [name for name in COLUMNS if name != "cost" or unit != "paper_pflop"]
    header = [UNIT_WORDS[unit] if name == "cost" else name for name in shown]
    return grid(header, markdown_lines(rows_by_cost(document), shown, unit), markdown=True)


def terminal_table(document: dict[str, Any]) -> str:
    """The same for a terminal: names as commands take them, and the columns that 100 characters have room for."""
    unit = document["unit"]
    shown = ["date", "PFLOP", *([] if unit == "paper_pflop" else ["cost"]), "95 % or resolution", "factor", "flags"]
    lines, missed = [], []
    for r in rows_by_cost(document):
        name = _with_plan(r["model"], r)
        epochs = number(r["epochs"]) if r["epochs"] is not None else f"> {number(r['epochs_interval'][0])}"
        full = cells(r, unit)
        first, *rest = (full[column] for column in shown)
        lines.append([f"{name}*" if r["on_frontier"] else name, first, f"{r['reached']} of {r['n']}", epochs, *rest])
        missed += [f"{r['model']} {counts(r['missed'])}"] if r["missed"] else []
    header = ["architecture", "date", "reached", "epochs", *shown[1:]]
    header = [UNIT_WORDS[unit] if name == "cost" else name for name in header]
    notes = ["* on the frontier when published; n = 1 has no interval but the evaluation grid's, ( ]"]
    notes += ["missed: " + "; ".join(missed)] if missed else []
    text = grid(header, lines, markdown=False, left=(0, len(header) - 1))
    return "\n".join([text, *(line for note in notes for line in textwrap.wrap(note, TERMINAL_COLUMNS))])


def _with_plan(name: str, row: dict[str, Any]) -> str:
    """The architecture's name, and what sets its row apart from those of the trend."""
    words = ", ".join(filter(None, (row["recipe"], f"{row['planned_epochs']} epochs", row["apart"])))
    plan = "" if row["in_trend"] else f" ({words})"
    return name + plan + ("" if row["kind"] == "measured" else f" [{row['kind']}]")


def _cost(row: dict[str, Any]) -> str:
    return number(row["cost"]) if row["cost"] is not None else f"> {number(row['cost_above'])}"


def _pflop(row: dict[str, Any], unit: str) -> str:
    return _cost(row) if unit == "paper_pflop" else number(row["paper_pflop"])


LEDGER_COLUMNS = (
    "architecture", "images", "train forward MACs", "spent MACs (train)", "evaluation MACs", "lost MACs", "run",
)  # fmt: skip


def ledger_lines(document: dict[str, Any]) -> list[list[str]]:
    """The exact integers behind the main table and the run they stand in: each architecture's middle one."""
    names = ("images", "train_forward_macs", "spent_macs", "evaluation_macs", "lost_macs")
    return [
        [_with_plan(r["title"], r), *(f"{r[name]:,}" for name in names), r["middle_run"]]
        for r in rows_by_cost(document)
    ]


def times(factor: float | None, *, at_least: bool = False) -> str:
    """As in 14.5x; ≥ where the reference is a lower bound."""
    return MISSING if factor is None else f"{'≥ ' if at_least else ''}{number(factor)}x"


def halving(months: float | None, *, at_most: bool = False) -> str:
    """As in 22.1; ≤ where the reference, the line's first point, is a lower bound."""
    return MISSING if months is None else f"{'≤ ' if at_most else ''}{number(months)}"


def headline(document: dict[str, Any], published: dict[str, Any], *, markdown: bool = True) -> str:
    """The trend beside the published one."""
    trend = document["trend"]
    if trend is None or trend["reason"]:
        return f"No trend: {trend['reason'] if trend else 'no runs'}."
    bound = trend["reference_censored"]
    factor = times(trend["reduction_factor"], at_least=bound)
    rows = [
        ["reduction factor", factor, interval(trend["reduction_interval"]), MISSING,
         times(published["reduction_factor"])],
        ["halving, months", halving(trend["halving_months"], at_most=bound), interval(trend["halving_interval"]),
         interval(trend["halving_interval_ols"]),
         f"{number(published['halving_months'])} {interval(published['halving_interval_ols'])}"],
        ["Moore's law", times(trend["moore_factor"]), MISSING, MISSING, times(published["moore_factor"])],
    ]  # fmt: skip
    header = ["", "here", "95 % bootstrap", "95 % least squares", "published (ImageNet, top-5)"]
    return (
        grid(header, rows, markdown=markdown)
        + f"\n\nBootstrap: {trend['draws']:,} draws, covers {trend['covers']}. {reference_note(document)}"
        + f"Frontier: {', '.join(trend['frontier'])}."
    )


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


def sensitivity_table(document: dict[str, Any], *, markdown: bool) -> str:
    """What the headline hangs on."""
    rows = [
        [
            i["change"],
            times(i["reduction_factor"], at_least=i["at_least"]),
            halving(i["halving_months"], at_most=i["at_least"]),
            i["note"] or MISSING,
        ]
        for i in document["sensitivity"]
    ]
    return grid(["change", "factor", "halving months", "note"], rows, markdown=markdown, left=(0, 3))


def hardware_table(document: dict[str, Any], *, markdown: bool) -> str:
    """Seconds and joules to target, a block for each named hardware."""
    rows = []
    for h in document["hardware"]:
        figures = []
        for unit in ("seconds", "joules"):
            above = h[f"{unit}_above"]
            figures.append(number(h[unit]) if above is None else f"> {number(above)}")
        rows.append([h["hardware"], h["title"], str(h["n"]), *figures])
    return grid(["hardware", "architecture", "n", *CLOCK_COLUMNS], rows, markdown=markdown, left=(0, 1))


CLOCK_COLUMNS = ("training seconds", "joules, evaluation included")
"""The energy counter runs on while a run evaluates; the clock of training does not."""


def search_table(document: dict[str, Any], *, markdown: bool) -> str:
    """Minimum-budget searches, each with what the search itself cost."""
    rows = []
    for s in document["searches"]:
        shortest, failed = s["shortest_plan_epochs"], s["failed_plan_epochs"]
        tried = f"({failed}, {shortest}]"
        answer = f"none up to {failed}" if shortest is None else str(shortest) if s["complete"] else tried
        cost = [number(s["search_paper_pflop"]), f"{s['search_spent_macs']:,}"]
        figures = [f"{s['needed']} seeds", number(s["paper_pflop"]), str(s["runs"]), *cost]
        rows.append([s["title"], s["recipe"], answer, *figures])
    header = ["architecture", "recipe", "shortest plan, epochs", "needed", "PFLOP to target", "runs",
              "PFLOP of the search", "MACs of the search"]  # fmt: skip
    return grid(header, rows, markdown=markdown, left=(0, 1))


def markdown(document: dict[str, Any], published: dict[str, Any]) -> str:
    """TABLE.md's section of one group."""
    d, t = document["dataset"], document["target"]
    subset = ", a subset" if d["subset"] else ""
    used = sorted({code for r in document["rows"] for code in r["flags"]})
    parts = [
        f"# {d['name']}: cost to {t['metric']} {t['value']:.2%}{subset}",
        f"{document['runs']} runs of {document['architectures']} architectures; comparability key `{document['key']}`; "
        f"{d['train_images']:,} training and {d['evaluation_images']:,} evaluation images; "
        f"{t['evaluations_per_epoch']} evaluation(s) an epoch; target: {t['source']}.",
        *(["\n".join(f"* {note}" for note in document["notes"])] if document["notes"] else []),
        headline(document, published),
        main_table(document),
        "PFLOP is the published study's unit, 3 x forward MACs x images / 1e15. Bold: on the frontier when published, "
        "by the medians. epochs (after, at]: the level was passed after the first and not after the second. Costs "
        "are medians over seeds; a missed run counts as above its budget (>). Intervals: [ ] bootstrap over seeds and "
        "the evaluation grid; ( ] with n = 1, the evaluation grid only. factor = (epochs factor) x "
        "(MACs-per-epoch factor)." + ("".join(f" `{code}`: {FLAGS[code][2]}." for code in FLAGS if code in used)),
        grid(LEDGER_COLUMNS, ledger_lines(document), markdown=True),
        "The ledger of the middle run, named last, at its crossing (at its end where it missed): spent = forward + "
        "backward, exactly; evaluation and lost (done, then lost to an interruption) stand beside the headline, "
        "not in it.",
    ]
    if document["rows"]:
        parts += [
            "## What the headline hangs on",
            sensitivity_table(document, markdown=True),
            "## Time and energy to target, by hardware",
            hardware_table(document, markdown=True),
            "Medians over the seeds run on that hardware, with whatever else the machine had to do; not comparable "
            "between hardware, nor with the trend above.",
        ]
    if document["searches"]:
        parts += [
            "## Minimum budget",
            "The shortest plan whose seeds still reach the target: another protocol than the table above, reported "
            "beside it and in no trend. What the searches spent stands on its own line.",
            search_table(document, markdown=True),
        ]
    return "\n\n".join(parts) + "\n"
