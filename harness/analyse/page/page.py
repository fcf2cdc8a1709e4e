"""The report as one HTML file without a script: words, tables and figures. No request leaves the page."""

import base64
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from markupsafe import Markup

from harness.analyse.evidence.titles import named
from harness.analyse.page.sources import Source, code_and_hardware, reproductions, sources_of
from harness.analyse.show import findings, tables
from harness.analyse.show.figures.canvas import NARROW
from harness.analyse.show.figures.gallery import pictures
from harness.analyse.show.table import Table
from harness.analyse.show.templates import environment
from harness.analyse.show.words import level_words
from harness.record.words import several

HERE = Path(__file__).parent
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
"""Content Security Policy: the browser itself refuses any request the page might make, and any script."""

MEANINGS = {
    "PFLOP": "expected training arithmetic until the target, what all runs spent over the number that reached: "
    "3 x forward MACs x images / 10^15, the study's unit",
    "PFLOP interval": "[ ] 95 % interval over seeds, about that where runs missed; ( ] n = 1, the two looks between "
    "which it crossed; { } the cheapest and the dearest run; ~ read off a plot, with its error",
    "share, 95 %": "share of runs that reach the target, by Clopper and Pearson",
    "median": "the median run, where at least half of the runs reached the target",
    "factor": "how many times cheaper than AlexNet",
    "factor interval": "95 % interval of the factor",
    "epochs factor": "the part of the factor that is fewer epochs",
    "MACs factor": "the part of the factor that is less arithmetic an image",
    "n": "runs, each with a seed of its own",
    "reached": "runs that reached the target, of all runs",
    "epochs": "passes over the training images: (at the look before the level, at the level]",
    "GMAC": "10^9 multiply-accumulates of one image, forward",
    "missed": "how the other runs ended; budget exhausted: at the end of their plan",
    "date": "first publication of the architecture",
    "outcome": "how the run ended",
    "seed": "of the run's random numbers",
    "run": "name of the run's folder",
    "best accuracy, %": "the best of all evaluations of the run",
    "images": "training images seen until the crossing",
    "train forward MACs": "exact multiply-accumulates of the forward passes of training",
    "spent MACs (train)": "forward and backward passes of training, exactly",
    "evaluation MACs": "spent on evaluations, which are in no cost",
    "lost MACs": "done, lost to an interruption, and done again",
    "change": "what was judged otherwise",
    "months a halving": "months in which the cost halves",
    "95 %, the line": "how well the line is known: least squares and, where runs missed, together with the seeds",
    "95 %, least squares": "how well the line is known, each cost taken as known",
    "note": "what the change leaves out",
    "hardware": "devices, threads and precision",
    "training seconds": "seconds of training until the level, evaluations not counted",
    "joules, evaluation included": "energy until the target, where the hardware counts it",
    "flags": "how the measured network differs from the published one",
    "E90, epochs": "planned length at which nine runs of ten end at the target",
    "PFLOP of E90": "training arithmetic of one plan of that length",
    "PFLOP of the search": "spent on all runs of the search, which is in no cost",
}
"""What the headings of tables tell on hover and focus."""

COSTS_FIRST = (
    "architecture",
    "PFLOP",
    "factor",
    "PFLOP interval",
    "factor interval",
    "reached",
    "share, 95 %",
    "median",
    "epochs",
    "GMAC",
    "epochs factor",
    "MACs factor",
    "date",
    "flags",
    "missed",
)
"""The order of the main table's columns: on a telephone the first ones are all that is seen without scrolling."""

TITLES = {
    "trend": "Cost to the level by publication date",
    "compared": "Beside the study and Moore's law",
    "split": "What a cost is made of",
    "curves": "Learning curves",
    "thresholds": "Had another level been asked for",
    "clock": "Time and energy",
}
"""Heading of each figure."""


PARTS = {
    "table": "Table",
    "hangs": "What the result hangs on",
    "search": "The shortest plan",
    "limits": "Limits",
    "reproduce": "Reproduce",
    "provenance": "Provenance",
}
"""The parts after the figures, by the anchor of each."""


def page(document: dict[str, Any], sources: list[Source]) -> str:
    """Return the whole file. `document` is what `aggregate.build` returns."""
    groups = document["groups"]
    names = sorted({named(g["dataset"]["name"]) for g in groups})
    template = environment(HERE).get_template("report.html.j2")
    return template.render(
        title=f"AI and Efficiency, re-measured: {', '.join(names)}",
        policy=POLICY,
        style=Markup((HERE / "report.css").read_text(encoding="utf-8")),
        document=document,
        sections=[_section(g, document, sources, alone=len(groups) == 1) for g in groups],
        downloads=[
            ("trend.json", _data("application/json", json.dumps(document, separators=(",", ":"), allow_nan=False))),
            ("table.csv", _data("text/csv", tables.csv_table(document).csv())),
        ],
    )


def _data(kind: str, text: str) -> str:
    """A file as an address that needs no network."""
    return f"data:{kind};base64,{base64.b64encode(text.encode()).decode()}"


def _section(group: dict[str, Any], document: dict[str, Any], sources: list[Source], *, alone: bool) -> dict[str, Any]:
    """What the template shows of runs that may be compared with one another."""
    prefix = "" if alone else f"{group['dataset']['name']}-{group['key']}-"
    published = document["published"]
    section: dict[str, Any] = {
        "prefix": prefix,
        "group": group,
        "name": named(group["dataset"]["name"]),
        "level": level_words(group["target"]),
        "has_trend": group["trend"] is not None and not group["trend"]["reason"],
        "facts": _facts(group, sources),
        "reproductions": reproductions(group["rows"], sources),
        "contents": [("summary", "Summary")],
        "figures": [],
        "tables": {"search": _as_html(tables.search_table(group), "Whole plans, each run judged by its last look.")},
        "search_words": [findings.search_words(s) for s in group["searches"]],
    }
    if group["trend"] is None:
        return section
    wide, narrow = pictures(group, published), pictures(group, published, NARROW)
    section["figures"] = [
        {
            "name": name,
            "title": TITLES[name],
            "caption": picture.caption,
            "wide": Markup(picture.inline(f"{prefix}{name}-w")),
            "narrow": Markup(narrow[name].inline(f"{prefix}{name}-n")),
        }
        for name, picture in wide.items()
    ]
    section["tables"] |= _tables(group, published)
    shown = {"hangs": section["has_trend"], "search": bool(group["searches"])}
    section["contents"] += [(f["name"], f["title"]) for f in section["figures"]]
    section["contents"] += [(key, words) for key, words in PARTS.items() if shown.get(key, True)]
    if section["has_trend"]:
        section["cards"] = findings.cards(group, published)
        section["abstract"] = findings.abstract(group, published)
        section["cautions"] = findings.cautions(group)
        told = len(section["abstract"]) + len(section["cautions"])
        section["findings"] = findings.lines(group, published)[told:]
    section["legend"] = tables.legend(group)
    return section


def _tables(group: dict[str, Any], published: dict[str, Any]) -> dict[str, Any]:
    """The tables as HTML, each under its caption."""
    main = tables.main_table(tables.rows_by_date(group), tables.unfit(group["trend"])).only(*COSTS_FIRST)
    made = {
        "headline": (tables.headline_table(group, published), "The trend, and the same costs read otherwise."),
        "main": (main, "● cheapest so far when published; ↑ not reached, the cost lies above."),
        "seeds": (seeds_table(group), "Every run behind the table."),
        "ledger": (
            tables.ledger_table(group),
            "Exact multiply-accumulates of each middle run at its crossing or, where it missed, at its end. "
            "Spent = forward + backward.",
        ),
        "sensitivity": (tables.sensitivity_table(group), "The same runs, judged otherwise."),
        "hardware": (
            tables.hardware_table(group),
            "Medians over the runs on that hardware; not comparable between hardware, nor with the trend.",
        ),
    }
    return {name: _as_html(table, caption) for name, (table, caption) in made.items()}


def _as_html(table: Table, caption: str) -> Markup:
    """The table without empty columns, a meaning at every heading that has one."""
    columns = [replace(c, meaning=MEANINGS.get(c.name, "")) for c in table.columns]
    return Markup(replace(table, columns=columns, caption=caption).without_empty_columns().html())


def seeds_table(group: dict[str, Any]) -> Table:
    """Return one line a run: what it cost, or what it spent where it missed."""
    lines = [
        [
            tables.with_plan(row["title"], row),
            str(run["seed"]),
            run["outcome"].replace("_", " "),
            tables.cost_words(run["cost"], run["after"]),
            "—" if best is None else f"{100 * best:.2f}",
            run["run"],
        ]
        for row in tables.rows_by_date(group)
        for run, best in zip(row["per_run"], row["best_accuracy"], strict=True)
    ]
    header = ["architecture", "seed", "outcome", "PFLOP", "best accuracy, %", "run"]
    return Table.of(header, lines, words=(0, 2, 5))


def _facts(group: dict[str, Any], sources: list[Source]) -> list[tuple[str, str]]:
    """Code, versions and machines; identity of the data, target and protocol."""
    data, target = group["dataset"], group["target"]
    mine = [s for row in group["rows"] for s in sources_of(row, sources)]
    subset = ", a subset" if data["subset"] else ""
    return [
        ("comparability key", group["key"]),
        (
            "data set",
            f"{named(data['name'])}, {data['train_images']:,} training and {data['evaluation_images']:,} evaluation "
            "images, "
            f"{data['classes']} classes{subset}",
        ),
        ("data fingerprint", data["fingerprint"]),
        (
            "target",
            f"{level_words(target)} on {target['split']}, looked for "
            f"{several(target['evaluations_per_epoch'], 'time')} an epoch; {findings.source_words(target)}",
        ),
        ("protocol version", str(group["protocol_version"])),
        *code_and_hardware(mine),
    ]
