"""The report as one HTML file: words, tables and figures around plotly's own script. No request leaves the page."""

from dataclasses import replace
from html import escape
from pathlib import Path
from typing import Any

from harness.analyse.evidence.cost import UNIT_WORDS
from harness.analyse.evidence.titles import DATASETS, short_title
from harness.analyse.page.figures import as_json, curves_figure, thresholds_figure, trend_figure
from harness.analyse.page.sources import Source, code_and_hardware, commands, sources_of
from harness.analyse.show.findings import against_moore, published_factor, reference_note
from harness.analyse.show.table import Table
from harness.analyse.show.tables import (
    hardware_table,
    ledger_table,
    legend,
    main_table,
    rows_by_date,
    sensitivity_table,
)
from harness.analyse.show.words import halving, interval, number, times

HERE = Path(__file__).parent
POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data: blob:"
"""Content Security Policy: the browser itself refuses any request the page might make."""


def page(document: dict[str, Any], sources: list[Source]) -> str:
    """The whole file. `document` is what `aggregate.build` returns."""
    from plotly.offline import get_plotlyjs

    groups = document["groups"]
    title = f"AI and Efficiency, re-measured: {', '.join(sorted({dataset_words(g) for g in groups}))}"
    names = [anchor(g, alone=len(groups) == 1) for g in groups]
    body = "\n".join(
        group_section(g, document["published"], sources, name) for g, name in zip(groups, names, strict=True)
    )
    unfinished = document["runs_unfinished"]
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<link rel="icon" href="data:,">
<title>{escape(title)}</title>
<style>{(HERE / "report.css").read_text()}</style>
</head>
<body>
<a class="skip" href="#content">Skip to the content</a>
<header>
<h1>{escape(title)}</h1>
<p class="soft">What it costs to train each architecture to AlexNet's accuracy, from {document["runs_finished"]}
finished runs{f" ({unfinished} unfinished ones left out)" if unfinished else ""}. Costs are read off each run's own
ledger; medians over seeds; a run that missed stays as a lower bound.</p>
<nav aria-label="Contents"><ul>{"".join(contents(g, n) for g, n in zip(groups, names, strict=True))}</ul></nav>
</header>
<main id="content">
{body}
</main>
<footer class="soft"><p>Made by <code>harness report</code>. The study re-measured here: Hernandez &amp; Brown 2020,
“Measuring the Algorithmic Efficiency of Neural Networks”, arXiv 2005.04305.</p></footer>
<script>{get_plotlyjs()}</script>
<script>{(HERE / "report.js").read_text()}</script>
</body>
</html>
"""


def dataset_words(group: dict[str, Any]) -> str:
    """The data set as people write it."""
    name: str = group["dataset"]["name"]
    return DATASETS.get(name, name)


def anchor(group: dict[str, Any], *, alone: bool) -> str:
    """Prefix of a group's ids; empty where there is one group."""
    return "" if alone else f"{group['dataset']['name']}-{group['key']}-"


def contents(group: dict[str, Any], name: str) -> str:
    """Links to the parts of a group."""
    parts = {"headline": "Headline", "trend": "Trend", "table": "Table", "curves": "Learning curves",
             "thresholds": "Halving against threshold", "hangs": "What it hangs on", "hardware": "Hardware",
             "reproduce": "Reproduce", "provenance": "Provenance"}  # fmt: skip
    if group["trend"] is None:
        parts = {"headline": "Headline"}
    prefix = f"{dataset_words(group)}: " if name else ""
    return "".join(f'<li><a href="#{name}{key}">{escape(prefix + words)}</a></li>' for key, words in parts.items())


def group_section(group: dict[str, Any], published: dict[str, Any], sources: list[Source], name: str) -> str:
    """Everything about runs that may be compared with one another."""
    data, target = group["dataset"], group["target"]
    subset = " (a subset)" if data["subset"] else ""
    heading = (
        f"{dataset_words(group)}{subset}: cost to {target['metric'][:3]}-{target['metric'][3]} {target['value']:.2%}"
    )
    parts = [
        f'<section aria-labelledby="{name}headline"><h2 id="{name}headline">{escape(heading)}</h2>',
        *(f"<p class='soft'>Note: {escape(note)}.</p>" for note in group["notes"]),
    ]
    if group["trend"] is None:
        return "\n".join([*parts, "<p>No trend: no run of the fixed-plan protocol.</p></section>"])
    thresholds = thresholds_figure(group)
    parts += [
        headline(group, published),
        f'<h2 id="{name}trend">Cost to target by publication date</h2>',
        chart(
            f"{name}trend-figure", as_json(trend_figure(group, published)),
            "Circles: cheapest so far when published. Squares: not. Arrows: missed the target, the cost lies above. "
            "Bars: the table's interval. Hover, or focus the figure and press the arrow keys, for a row's facts.",
        ),
        f'<h2 id="{name}table">Table</h2>',
        tables(group),
        f'<h2 id="{name}curves">Learning curves against PFLOP</h2>',
        chart(f"{name}curves-figure", as_json(curves_figure(group)),
              "The middle run of each architecture by epochs to target. Each has a dash and a marker of its own; click "
              "a name in the legend to hide it, twice to see it alone."),
        f'<h2 id="{name}thresholds">Halving time against threshold</h2>',
        "<p>No level is resolved by the evaluation grid of these runs.</p>" if thresholds is None else
        chart(f"{name}thresholds-figure", as_json(thresholds),
              "The trend fitted at every whole percent of accuracy that the runs resolve, with the bootstrap interval. "
              "A single fixed threshold hides this."),
        f'<h2 id="{name}hangs">What the headline hangs on</h2>',
        captioned(sensitivity_table(group), "The same runs, judged otherwise."),
        f'<h2 id="{name}hardware">Time and energy to target, by hardware</h2>',
        captioned(
            hardware_table(group),
            "Medians over the seeds run on that hardware; not comparable between hardware, nor with the trend.",
        ),
        f'<h2 id="{name}reproduce">Reproduce a row</h2>',
        reproduce(group, sources),
        f'<h2 id="{name}provenance">Provenance</h2>',
        provenance(group, sources),
        "</section>",
    ]  # fmt: skip
    return "\n".join(parts)


def tables(group: dict[str, Any]) -> str:
    """One line an architecture, the flags that occur, and the exact integers of each middle run."""
    flags = "; ".join(f"<b>{code}</b>: {escape(words)}" for code, words in legend(group).items())
    main = captioned(
        main_table(rows_by_date(group)),
        "● on the frontier when published; ↑ missed, cost above. (after, at]: the level was passed after the first and "
        "not after the second. [ ] bootstrap over seeds and evaluation grid; ( ] n = 1, evaluation grid only.",
    )
    ledger = captioned(
        ledger_table(group),
        "Each middle run's ledger at its crossing or, where it missed, at its end. Spent = forward + backward.",
    )
    return (
        main
        + (f"<p class='soft'>Fidelity flags: {flags}.</p>" if flags else "")
        + f"<details><summary>The exact ledger behind the table</summary>{ledger}</details>"
    )


def captioned(table: Table, caption: str) -> str:
    """A table as HTML under its caption."""
    return replace(table, caption=caption).html()


def headline(group: dict[str, Any], published: dict[str, Any]) -> str:
    """The factor and the halving time with their intervals, beside what was published."""
    trend = group["trend"]
    if trend["reason"]:
        return f"<p>No trend: {escape(trend['reason'])}.</p>"
    titles = {r["model"]: r["title"] for r in group["rows"]}
    same, bound = published_factor(trend["cheapest"]), trend["reference_censored"]
    cards = (
        (f"Less arithmetic than {short_title(titles[trend['reference']])}, "
         f"with {short_title(titles[trend['cheapest']])}",
         times(trend["reduction_factor"], at_least=bound), f"95 % {interval(trend['reduction_interval'])}",
         f"published: {times(published['reduction_factor'])}"
         + ("" if same is None else f", {times(same)} with this network")),
        ("One halving of the cost every", f"{halving(trend['halving_months'], at_most=bound)} months",
         f"95 % {interval(trend['halving_interval'])}; least squares alone {interval(trend['halving_interval_ols'])}",
         f"published: {number(published['halving_months'])} {interval(published['halving_interval_ols'])}"),
        ("Moore's law over the same span", times(trend["moore_factor"]),
         f"{number(trend['span_months'])} months at one doubling in 24",
         f"published: {times(published['moore_factor'])}"),
    )  # fmt: skip
    html = "".join(
        f'<div class="card"><dt>{escape(name)}</dt><dd><span class="big">{escape(big)}</span><br>{escape(spread)}'
        f'<br><span class="soft">{escape(theirs)}</span></dd></div>'
        for name, big, spread, theirs in cards
    )
    formula = ": 3 × forward MACs × images / 10<sup>15</sup>" if group["unit"] == "paper_pflop" else ""
    return (
        f'<dl class="cards">{html}</dl><p class="soft">Unit: {escape(UNIT_WORDS[group["unit"]])}{formula}. '
        f"Bootstrap of {trend['draws']:,} draws over {escape(trend['covers'])}. {escape(reference_note(group))}"
        f"{escape(against_moore(trend))} "
        "Published: ImageNet, top-5 79.1 %, so compare slopes, not levels, where the data set differs.</p>"
    )


def chart(identity: str, data: str, caption: str) -> str:
    """A figure with its data, its caption and a button that saves it as SVG."""
    safe = data.replace("<", "\\u003c")  # no end tag inside the data
    return (
        f'<figure class="chart" id="{identity}"><div class="plot" tabindex="0" role="application" '
        f'aria-label="{escape(caption)}"></div><p class="reading soft" aria-live="polite"></p>'
        f"<figcaption><span>{escape(caption)}</span><button type='button'>Save as SVG</button></figcaption>"
        f'<script type="application/json">{safe}</script></figure>'
    )


def reproduce(group: dict[str, Any], sources: list[Source]) -> str:
    """One block a row: the command, and the run folders that hold its numbers."""
    blocks = []
    for row in group["rows"]:
        runs = sources_of(row, sources)
        lines = commands(row, runs)
        folders = "".join(f"<li><code>{escape(s.folder)}</code> (seed {s.seed})</li>" for s in runs)
        body = f"<pre tabindex='0'>{escape(chr(10).join(lines))}</pre>" if lines else "<p>Imported, not run here.</p>"
        apart = f", {row['apart']}" if row["apart"] else ""
        words = f"recipe {row['recipe']}, {row['planned_epochs']} epochs planned{apart}, n = {row['n']}"
        blocks.append(
            f"<h3>{escape(row['title'])} <span class='soft'>{escape(words)}</span></h3>{body}"
            f"<details class='soft'><summary>its run folders</summary><ul>{folders}</ul></details>"
        )
    intro = (
        "<p>Run in the repository, at the commit named under Provenance; "
        "add <code>data.root=</code> where the data lies elsewhere.</p>"
    )
    return intro + "".join(blocks)


def provenance(group: dict[str, Any], sources: list[Source]) -> str:
    """Code, versions and machines; data identity, target and protocol."""
    data, target = group["dataset"], group["target"]
    mine = [s for row in group["rows"] for s in sources_of(row, sources)]
    facts = [
        ("comparability key", group["key"]),
        ("data set", f"{data['name']}, {data['train_images']:,} training and {data['evaluation_images']:,} evaluation "
                     f"images, {data['classes']} classes{', a subset' if data['subset'] else ''}"),
        ("data fingerprint", data["fingerprint"]),
        ("target", f"{target['metric']} {target['value']:.4%} on {target['split']}, looked for "
                   f"{target['evaluations_per_epoch']} time(s) an epoch; {target['source']}"),
        ("protocol version", str(group["protocol_version"])),
        *code_and_hardware(mine),
    ]  # fmt: skip
    return "<dl class='facts'>" + "".join(f"<dt>{escape(n)}</dt><dd>{escape(v)}</dd>" for n, v in facts) + "</dl>"
