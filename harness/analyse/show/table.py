"""A table once, and four ways to write it: Markdown, terminal, HTML, CSV."""

import csv
import io
import sys
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from markupsafe import Markup
from rich.console import Console
from rich.table import Table as RichTable

from harness.analyse.show.templates import render
from harness.analyse.show.words import MISSING

TERMINAL_COLUMNS = 100
"""Widest line of a table meant for a terminal."""


@dataclass(frozen=True)
class Column:
    """One column. `words`: text, set to the left; else numbers. `meaning`: what the page tells of its heading.

    `legend`: codes that may stand in its cells, and what each means. `warning`: stands beside the name for people, not
    in CSV.
    """

    name: str
    words: bool = False
    meaning: str = ""
    legend: Mapping[str, str] = field(default_factory=dict)
    warning: str = ""

    @property
    def heading(self) -> str:
        """The name as it is printed."""
        return f"{self.name}, {self.warning}" if self.warning else self.name


@dataclass(frozen=True)
class Row:
    """Cells in the order of the columns; `kind` is "frontier", "missed" or empty."""

    cells: Sequence[Any]
    kind: str = ""


@dataclass(frozen=True)
class Table:
    """Columns and rows; the first column names the row. `caption` says in a sentence what the table holds."""

    columns: Sequence[Column]
    rows: Sequence[Row]
    caption: str = ""

    @classmethod
    def of(cls, header: Sequence[str], rows: Sequence[Sequence[Any]], *, words: Sequence[int] = (0,)) -> "Table":
        """Return a plain table; `words` are the places of the columns of text."""
        return cls([Column(name, words=place in words) for place, name in enumerate(header)], [Row(r) for r in rows])

    def only(self, *names: str) -> "Table":
        """Return the table with the columns of these names, in this order."""
        places = [[column.name for column in self.columns].index(name) for name in names]
        rows = [replace(row, cells=[row.cells[i] for i in places]) for row in self.rows]
        return replace(self, columns=[self.columns[i] for i in places], rows=rows)

    def warned(self, name: str, warning: str) -> "Table":
        """Return the table with a warning in the heading of the column `name`; as it is where the warning is empty."""
        columns = [replace(c, warning=warning) if c.name == name else c for c in self.columns]
        return replace(self, columns=columns)

    def without_empty_columns(self) -> "Table":
        """Return the table without the columns in which every cell is missing."""
        kept = [c.name for i, c in enumerate(self.columns) if any(row.cells[i] != MISSING for row in self.rows)]
        return self.only(*kept)

    def markdown(self) -> str:
        """Return the table aligned, with rows on the frontier in bold."""
        lines = [[str(cell) for cell in row.cells] for row in self.rows]
        for line, row in zip(lines, self.rows, strict=True):
            line[0] = f"**{line[0]}**" if row.kind == "frontier" else line[0]
        header = [column.heading for column in self.columns]
        widths = [max(3, *(len(line[i]) for line in [header, *lines])) for i in range(len(header))]
        dashes = ["-" * w if c.words else "-" * (w - 1) + ":" for c, w in zip(self.columns, widths, strict=True)]

        def written(line: Sequence[str]) -> str:
            cells = zip(line, widths, self.columns, strict=True)
            return "| " + " | ".join(t.ljust(w) if c.words else t.rjust(w) for t, w, c in cells) + " |"

        return "\n".join([written(header), written(dashes), *(written(line) for line in lines)])

    def terminal(self) -> str:
        """Return at most 100 columns, words wrapped at spaces, numbers never; `*` marks the frontier.

        Plain text unless stdout is a terminal.
        """
        lines = [[str(cell) for cell in row.cells] for row in self.rows]
        for line, row in zip(lines, self.rows, strict=True):
            line[0] += "*" if row.kind == "frontier" else ""
        table = RichTable(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
        for place, column in enumerate(self.columns):
            cells = [line[place] for line in lines]
            if column.words:
                widest = max((len(word) for cell in cells for word in cell.split()), default=1)
                table.add_column(column.heading, overflow="fold", min_width=widest)
            else:
                longest = max(map(len, [*cells, *column.heading.split(), " "]))
                heading = "\n".join(textwrap.wrap(column.heading, longest))
                table.add_column(heading, justify="right", no_wrap=True)
        for line in lines:
            table.add_row(*line)
        out = io.StringIO()
        colour = sys.stdout.isatty()
        Console(file=out, width=TERMINAL_COLUMNS, markup=False, highlight=False, force_terminal=colour).print(table)
        return "\n".join(line.rstrip() for line in out.getvalue().splitlines())

    def html(self) -> str:
        """Return the table with header cells, a caption, and meanings for who hovers, focuses or listens."""
        return render("table.html.j2", table=self, coded=_coded)

    def csv(self) -> str:
        """Return one line a row; None is an empty cell, never 0."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow([column.name for column in self.columns])
        writer.writerows(row.cells for row in self.rows)
        return out.getvalue()


def _coded(cell: str, legend: Mapping[str, str]) -> Markup:
    """Codes with their meaning for who hovers, focuses or listens."""
    coded = Markup('<abbr tabindex="0" title="{}">{}</abbr>')
    return Markup(" ").join(coded.format(legend[code], code) if code in legend else code for code in cell.split())
