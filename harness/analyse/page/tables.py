"""The report's tables as accessible HTML: captions, header cells, flags spelled out."""

from collections.abc import Sequence
from html import escape
from typing import Any

from harness.analyse.evidence.cost import UNIT_WORDS
from harness.analyse.show.table import (
    CLOCK_COLUMNS,
    COLUMNS,
    LEDGER_COLUMNS,
    cells,
    halving,
    ledger_lines,
    rows_by_cost,
    times,
)
from harness.analyse.show.words import MISSING, number
from harness.analyse.trend.rows import FLAGS


def html_table(
    caption: str,
    header: Sequence[str],
    rows: list[list[str]],
    classes: list[str] | None = None,
    words: tuple[int, ...] = (),
) -> str:
    """A table whose first column names the row; cells are HTML already. `words`: columns of text, set to the left."""
    left = (0, *words)
    heads = "".join(f'<th scope="col" class="{"words" if i in left else ""}">{h}</th>' for i, h in enumerate(header))
    lines = []
    for texts, kind in zip(rows, classes or [""] * len(rows), strict=True):
        rest = "".join(
            f'<td class="{"words note" if i in words else ""}">{cell}</td>' for i, cell in enumerate(texts) if i
        )
        lines.append(f'<tr class="{kind}"><th scope="row">{texts[0]}</th>{rest}</tr>')
    # The caption stands above the scrolling box: inside it, it would be cut at the width of a phone.
    return (
        f'<p class="soft" aria-hidden="true">{escape(caption)}</p>'
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(caption)}"><table>'
        f"<thead><tr>{heads}</tr></thead><tbody>{''.join(lines)}</tbody></table></div>"
    ).replace(' class=""', "")


def main_table(group: dict[str, Any]) -> str:
    """One line an architecture, with fidelity flags and a legend of those that occur."""
    header = ["architecture", "published", "n", "reached", "GMAC / image", "epochs (after, at]",
              UNIT_WORDS[group["unit"]], "95 % or (resolution]", "factor",
              "its interval", "= epochs ×", "MACs/epoch", "flags"]  # fmt: skip
    shown = [name for name in COLUMNS if name not in ("architecture", "reached", "PFLOP", "flags")]
    rows, kinds = [], []
    for r in rows_by_cost(group):
        named = cells(r, group["unit"])
        date, n, *figures = (escape(named[name]) for name in shown)
        name, reached = wrap(named["architecture"]), wrap(named["reached"])
        rows.append([name, date, n, reached, *figures, flags(r["flags"])])
        kinds.append("frontier" if r["on_frontier"] else "missed" if r["cost"] is None else "")
    used = [code for code in FLAGS if any(code in r["flags"] for r in group["rows"])]
    legend = "; ".join(f"<b>{code}</b>: {escape(FLAGS[code][2])}" for code in used)
    caption = (
        "● on the frontier when published; ↑ missed, cost above. (after, at]: the level was passed after the first and "
        "not after the second. [ ] bootstrap over seeds and evaluation grid; ( ] n = 1, evaluation grid only."
    )
    return html_table(caption, header, rows, classes=kinds) + (
        f"<p class='soft'>Fidelity flags: {legend}.</p>" if legend else ""
    )


def wrap(words: str) -> str:
    """Text that may take two lines of its cell."""
    return f'<span class="wrap">{escape(words)}</span>'


def flags(codes: list[str]) -> str:
    """Codes with their meaning for who hovers or listens."""
    return " ".join(f'<abbr title="{escape(FLAGS[c][2])}">{c}</abbr>' for c in codes) or MISSING


def ledger_table(group: dict[str, Any]) -> str:
    """The exact integers of each middle run."""
    rows = [[escape(cell) for cell in line] for line in ledger_lines(group)]
    caption = "Each middle run's ledger at its crossing or, where it missed, at its end. Spent = forward + backward."
    table = html_table(caption, LEDGER_COLUMNS, rows)
    return f"<details><summary>The exact ledger behind the table</summary>{table}</details>"


def sensitivity_table(group: dict[str, Any]) -> str:
    """The headline under small changes."""
    rows = [
        [escape(i["change"]), times(i["reduction_factor"], at_least=i["at_least"]),
         halving(i["halving_months"], at_most=i["at_least"]), escape(i["note"]) or MISSING]
        for i in group["sensitivity"]
    ]  # fmt: skip
    return html_table(
        "The same runs, judged otherwise.", ["change", "factor", "halving, months", "note"], rows, words=(3,)
    )


def hardware_table(group: dict[str, Any]) -> str:
    """Seconds and joules to target on each named hardware."""

    def cell(row: dict[str, Any], unit: str) -> str:
        above = row[f"{unit}_above"]
        return number(row[unit]) if above is None else f"&gt; {number(above)}"

    rows = [
        [escape(h["title"]), escape(h["hardware"]), str(h["n"]), cell(h, "seconds"), cell(h, "joules")]
        for h in group["hardware"]
    ]
    caption = "Medians over the seeds run on that hardware; not comparable between hardware, nor with the trend."
    return html_table(caption, ["architecture", "hardware", "n", *CLOCK_COLUMNS], rows, words=(1,))
