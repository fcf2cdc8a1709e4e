"""A document as a page of Markdown and as text for a terminal: templates filled with tables and sentences."""

import textwrap
from types import SimpleNamespace
from typing import Any

from harness.analyse.evidence.fitness import LIMIT
from harness.analyse.evidence.titles import named, short_title
from harness.analyse.show import findings, tables
from harness.analyse.show.table import TERMINAL_COLUMNS
from harness.analyse.show.templates import render
from harness.analyse.show.words import level_words


def markdown(document: dict[str, Any]) -> str:
    """Return TABLE.md."""
    return render("TABLE.md.j2", **_names(document))


def terminal(document: dict[str, Any]) -> str:
    """Return the short form, at most 100 columns wide."""
    text = render("terminal.txt.j2", **_names(document)).strip()
    return "\n".join(broken for line in text.splitlines() for broken in _broken(line))


def _titles(group: dict[str, Any], models: list[str]) -> list[str]:
    """Architectures of the trend as people write them."""
    titles = {r["model"]: short_title(r["title"]) for r in group["rows"] if r["in_trend"]}
    return [titles[model] for model in models]


def _reference(group: dict[str, Any]) -> str:
    """The architecture that factors are against."""
    return next((short_title(r["title"]) for r in group["rows"] if r["model"] == group["reference"]), "AlexNet")


def _broken(line: str) -> list[str]:
    """Prose broken to the width of the tables; their own lines, which are narrower, pass as they are."""
    return textwrap.wrap(line, TERMINAL_COLUMNS) if len(line) > TERMINAL_COLUMNS else [line]


def _names(document: dict[str, Any]) -> dict[str, Any]:
    """What the templates may use."""
    made = SimpleNamespace(
        main=lambda group: tables.main_table(tables.rows_by_date(group), tables.unfit(group["trend"])),
        terminal=tables.terminal_table,
        missed=lambda group: [row for row in tables.rows_by_date(group) if row["missed"]],
        headline=lambda group: tables.headline_table(group, document["published"]),
        ledger=tables.ledger_table,
        sensitivity=tables.sensitivity_table,
        hardware=tables.hardware_table,
        search=tables.search_table,
    )
    return {
        "document": document,
        "tables": made,
        "counts": tables.counts,
        "has_trend": lambda group: group["trend"] is not None and not group["trend"]["reason"],
        "spread_words": findings.spread_words,
        "spread_holds": lambda group: group["trend"] is not None and group["trend"]["spread"]["holds"],
        "legend": tables.legend,
        "cautions": findings.cautions,
        "findings": lambda group: findings.lines(group, document["published"]),
        "level_words": level_words,
        "search_words": findings.search_words,
        "named": named,
        "with_plan": tables.with_plan,
        "unfit": tables.unfit,
        "limit": LIMIT,
        "source_words": findings.source_words,
        "frontier": lambda group: _titles(group, group["trend"]["frontier"]),
        "missing": lambda group: _titles(group, group["trend"]["bounds"]["missed"]),
        "reference": _reference,
    }
