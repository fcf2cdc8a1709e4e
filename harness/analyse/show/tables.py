"""The tables of a study, each made once: `Table` writes it as Markdown, for a terminal, as HTML or as CSV."""

from collections.abc import Sequence
from typing import Any

from harness.analyse.show.table import Column, Row, Table
from harness.analyse.show.words import MISSING, halving, interval, number, percents, times
from harness.record.fidelity import FLAGS

MEANINGS = {code: meaning for code, (_, _, meaning) in FLAGS.items()}
"""What each fidelity flag says."""

CSV_COLUMNS = [
    "key",
    "dataset",
    "model",
    "title",
    "published",
    "kind",
    "recipe",
    "planned_epochs",
    "batch_size",
    "resolution",
    "in_trend",
    "on_frontier",
    "n",
    "reached",
    "reached_low",
    "reached_high",
    "outcomes",
    "missed",
    "forward_macs",
    "epochs",
    "epochs_low",
    "unit",
    "cost",
    "cost_low",
    "cost_high",
    "cost_above",
    "median",
    "interval_kind",
    "paper_pflop",
    "images",
    "train_forward_macs",
    "spent_macs",
    "evaluation_macs",
    "lost_macs",
    "factor",
    "factor_low",
    "factor_high",
    "epochs_factor",
    "macs_per_epoch_factor",
    "reference_fit",
    "flags",
    "middle_run",
    "runs",
]


def rows_by_date(document: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the trend's rows by date, then the other plans."""
    return sorted(document["rows"], key=lambda r: (not r["in_trend"], r["published"], r["model"]))


def csv_table(document: dict[str, Any]) -> Table:
    """Return all rows of all groups, every number as it was computed; a missing one is None.

    Where records were left out, each row ends in their names, so that the file says it wherever it goes.
    """
    left_out = "; ".join(each["record"] for each in document.get("left_out", []))
    columns = [*CSV_COLUMNS, *(["records_left_out"] if left_out else [])]
    lines = []
    for d in document["groups"]:
        for r in rows_by_date(d):
            cost_low, cost_high = r["cost_interval"]
            factor_low, factor_high = r.get("factor_interval") or (None, None)
            values = r | {
                "records_left_out": left_out,
                "key": d["key"],
                "dataset": d["dataset"]["name"],
                "unit": d["unit"],
                "reference_fit": (d["trend"]["fitness"] or {}).get("fit"),
                "outcomes": counts(r["outcomes"]),
                "missed": counts(r["missed"]),
                "flags": " ".join(r["flags"]),
                "runs": " ".join(r["runs"]),
                "epochs_low": r["epochs_interval"][0],
                "reached_low": r["reached_interval"][0],
                "reached_high": r["reached_interval"][1],
                "cost_low": cost_low,
                "cost_high": cost_high,
                "factor_low": factor_low,
                "factor_high": factor_high,
            }
            lines.append([values.get(name) for name in columns])
    return Table.of(columns, lines)


def legend(document: dict[str, Any]) -> dict[str, str]:
    """Return the fidelity flags that occur, and what each says."""
    return {code: words for code, words in MEANINGS.items() if any(code in r["flags"] for r in document["rows"])}


def counts(by_name: dict[str, int]) -> str:
    """Return, for instance, "3 reached, 1 diverged"."""
    return ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in by_name.items())


MAIN_COLUMNS = (
    Column("architecture", words=True),
    Column("date"),
    Column("reached"),
    Column("share, 95 %"),
    Column("GMAC"),
    Column("epochs"),
    Column("PFLOP"),
    Column("PFLOP interval"),
    Column("median"),
    Column("factor"),
    Column("factor interval"),
    Column("epochs factor"),
    Column("MACs factor"),
    Column("flags", legend=MEANINGS),
    Column("missed", words=True),
)


def main_table(rows: Sequence[dict[str, Any]], warning: str = "") -> Table:
    """Return one line an architecture under one plan; `warning` stands beside the factor."""
    return Table(MAIN_COLUMNS, [Row(_cells(row), _kind(row)) for row in rows]).warned("factor", warning)


def unfit(judged: dict[str, Any] | None) -> str:
    """Return what must stand beside every factor where the reference is not fit for one; empty where it is.

    judged: a trend, or a split of a gain; None where there is neither.
    """
    found = judged and judged["fitness"]
    return "reference unfit" if found and found["fit"] is False else ""


def _kind(row: dict[str, Any]) -> str:
    return "frontier" if row["on_frontier"] else "missed" if row["cost"] is None else ""


def _cells(row: dict[str, Any]) -> list[str]:
    low, high = row["epochs_interval"]
    return [
        with_plan(row["title"], row),
        row["published"],
        f"{row['reached']}/{row['n']}",
        percents(row["reached_interval"]),
        number(row["forward_macs"] / 1e9),
        f"> {low:.4g}" if high is None else f"({low:.4g}, {high:.4g}]",
        cost_words(row["cost"], row["cost_above"]),
        cost_interval(row),
        number(row["median"]),
        times(row.get("factor"), at_least=row["factor_at_least"]),
        interval(row.get("factor_interval"), opening="["),
        number(row.get("epochs_factor")),
        number(row.get("macs_per_epoch_factor")),
        " ".join(row["flags"]) or MISSING,
        counts(row["missed"]) or MISSING,
    ]


_BRACKETS = {"resolution": "(", "range": "{"}


def cost_interval(row: dict[str, Any], digits: int = 3) -> str:
    """Return [95 % interval], (look before, look at], {cheapest run to dearest}, or ~ and an interval with the error
    of a plot; see `interval_kind`."""
    kind = row["interval_kind"]
    if kind == "bound":
        return MISSING
    words = interval(row["cost_interval"], digits, _BRACKETS.get(kind, "["))
    if kind == "digitised":
        return f"~ {words}"
    return words.replace("]", "}") if kind == "range" else words


def terminal_table(document: dict[str, Any]) -> Table:
    """Return the main table with names as commands take them, and the columns that 100 characters have room for."""
    columns = [
        Column("architecture", words=True),
        *map(Column, ("date", "reached", "share, 95 %", "PFLOP", "interval", "median", "factor")),
    ]
    lines = [
        Row(
            [
                with_plan(row["model"], row),
                row["published"][:7],
                f"{row['reached']}/{row['n']}",
                percents(row["reached_interval"]).removesuffix(" %"),
                cost_words(row["cost"], row["cost_above"]),
                cost_interval(row, 2).replace(", no upper end", " up"),
                number(row["median"]),
                times(row["factor"], at_least=row["factor_at_least"]),
            ],
            _kind(row),
        )
        for row in rows_by_date(document)
    ]
    return Table(columns, lines).warned("factor", unfit(document["trend"]))


def with_plan(name: str, row: dict[str, Any]) -> str:
    """Return the architecture's name, and what sets its row apart from those of the trend."""
    words = ", ".join(filter(None, (row["recipe"], f"{row['planned_epochs']} epochs", row["apart"])))
    plan = "" if row["in_trend"] else f" ({words})"
    return name + plan + ("" if row["kind"] == "measured" else f" [{row['kind']}]")


def cost_words(cost: float | None, above: float | None) -> str:
    """Return a cost, or what it lies above."""
    return number(cost) if cost is not None else f"> {number(above)}"


def ledger_table(document: dict[str, Any]) -> Table:
    """Return the exact integers behind the main table and the run they stand in: each architecture's middle one."""
    names = ("images", "train_forward_macs", "spent_macs", "evaluation_macs", "lost_macs")
    header = ["images", "train forward MACs", "spent MACs (train)", "evaluation MACs", "lost MACs", "run"]
    lines = [
        [with_plan(r["title"], r), *(f"{r[name]:,}" for name in names), r["middle_run"]] for r in rows_by_date(document)
    ]
    return Table.of(["architecture", *header], lines)


def headline_table(document: dict[str, Any], published: dict[str, Any]) -> Table:
    """Return the trend beside the published one; `document` has a trend."""
    trend = document["trend"]
    bound, warning = trend["reference_censored"], unfit(trend)
    header = ["", "here", "95 %, the line", "95 %, seeds drawn again", "the study (ImageNet, top-5)"]
    theirs = f"{number(published['halving_months'])} {interval(published['halving_interval_ols'])}"
    lines = [
        [
            f"factor, {warning}" if warning else "factor",
            times(trend["reduction_factor"], at_least=bound),
            MISSING,
            interval(trend["reduction_interval"]),
            times(published["reduction_factor"]),
        ],
        [
            "months a halving",
            halving(trend["halving_months"], at_most=bound),
            interval(trend["halving_interval_line"]),
            interval(trend["halving_interval"]),
            theirs,
        ],
        *_bound_lines(trend["bounds"]),
        *_study_lines(trend["study_rule"], published),
        ["Moore's law", times(trend["moore_factor"]), MISSING, MISSING, times(published["moore_factor"])],
    ]
    return Table.of(header, lines)


def _bound_lines(bounds: dict[str, Any] | None) -> list[list[str]]:
    """The line with the misses at their lower bounds, and what both lines together leave open."""
    if bounds is None:
        return []
    months, ends = number(bounds["halving_months"]), interval(bounds["halving_interval_ols"])
    return [
        ["months, misses at their bounds", months, ends, MISSING, MISSING],
        [
            "months, with and without them",
            interval(bounds["hull"]),
            interval(bounds["hull_interval"]),
            MISSING,
            MISSING,
        ],
    ]


def _study_lines(rule: dict[str, Any], published: dict[str, Any]) -> list[list[str]]:
    """Factor and halving time by the study's rule: the reference's whole plan over the median first crossing."""
    theirs = [times(published["reduction_factor"]), number(published["halving_months"])]
    return [
        ["factor, the study's rule", times(rule["reduction_factor"]), MISSING, MISSING, theirs[0]],
        [
            "months, the study's rule",
            number(rule["halving_months"]),
            interval(rule["halving_interval_ols"]),
            MISSING,
            theirs[1],
        ],
    ]


def sensitivity_table(document: dict[str, Any]) -> Table:
    """Return what the headline hangs on."""
    lines = [
        [
            i["change"],
            times(i["reduction_factor"], at_least=i["at_least"]),
            halving(i["halving_months"], at_most=i["at_least"]),
            interval(i["halving_interval_ols"]),
            i["note"] or MISSING,
        ]
        for i in document["sensitivity"]
    ]
    header = ["change", "factor", "months a halving", "95 %, least squares", "note"]
    return Table.of(header, lines, words=(0, 4)).warned("factor", unfit(document["trend"]))


def hardware_table(document: dict[str, Any]) -> Table:
    """Return seconds and joules to target, a block for each named hardware.

    The energy counter runs on while a run evaluates; the clock of training does not.
    """

    def cell(row: dict[str, Any], unit: str) -> str:
        above = row[f"{unit}_above"]
        return number(row[unit]) if above is None else f"> {number(above)}"

    lines = [
        [h["hardware"], h["title"], str(h["n"]), cell(h, "seconds"), cell(h, "joules")] for h in document["hardware"]
    ]
    header = ["hardware", "architecture", "n", "training seconds", "joules, evaluation included"]
    return Table.of(header, lines, words=(0, 1))


def search_table(document: dict[str, Any]) -> Table:
    """Return the searches for the shortest plan, each with what the search itself cost."""
    lines = []
    for s in document["searches"]:
        answer = [number(s["e90_epochs"]), interval(s["interval_epochs"]), number(s["e90_paper_pflop"]), str(s["runs"])]
        lines.append([s["title"], s["recipe"], *answer, number(s["search_paper_pflop"])])
    header = ["E90, epochs", "95 % interval", "PFLOP of E90", "runs", "PFLOP of the search"]
    return Table.of(["architecture", "recipe", *header], lines, words=(0, 1))
