"""What a person sees of many runs: a table, a live view of it on a terminal, plain lines elsewhere."""

import sys
import time
from collections import Counter
from collections.abc import Sequence
from types import TracebackType

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from harness.record.folders.survey import Line
from harness.record.units import macs_to_pflop
from harness.record.words import several

_ENDED = ("reached", "complete", "censored")
_ORDER = ("running", "failed", "interrupted", *_ENDED, "waiting")
_UNCOLLAPSED_LINES = 4
"""Lines of a screen that are not for runs: the heading, what is left out, the whole, the cursor."""


def table(lines: Sequence[Line], *, notes: bool = True) -> Table:
    """A line a run; `notes`: with its Slurm job and what there is to say of it. Without them it fits 80 columns."""
    drawn = Table(box=None, padding=(0, 1, 0, 0))
    for heading in ("model", "seed", "state", "epoch", "accuracy %", "img/s", "PFLOP"):
        drawn.add_column(heading, justify="left" if heading in ("model", "state") else "right", no_wrap=True)
    if notes:
        drawn.add_column("job", justify="right", no_wrap=True)
        drawn.add_column("note", ratio=1, overflow="fold")
    for line in lines:
        cells = [line.model, _text(line.seed), line.state, _epoch(line), accuracy(line)]
        cells += [_text(line.images_per_second, ",.0f")]
        cells.append("" if line.spent_macs is None else f"{macs_to_pflop(line.spent_macs):.3g}")
        drawn.add_row(*(Text(cell) for cell in [*cells, *([line.job or "", line.note] if notes else [])]))
    return drawn


def accuracy(line: Line) -> str:
    """The last look against the level, for instance "top-1 78.10 of 79.70"."""
    if line.accuracy is None or line.metric is None:
        return ""
    goal = "" if line.target is None else f" of {100 * line.target:.2f}"
    return f"{line.metric[:3]}-{line.metric[3:]} {100 * line.accuracy:.2f}{goal}"


def whole(lines: Sequence[Line], at_once: int | None = None) -> str:
    """All runs in one line: how many in which state, PFLOP spent, and the time that is left at most."""
    counts = Counter(line.state for line in lines)
    states = ", ".join(f"{count} {state}" for state, count in counts.most_common())
    spent = macs_to_pflop(sum(line.spent_macs or 0 for line in lines))
    left = seconds_left(lines, at_once)
    rest = "" if left is None else f"; at most {duration(left)} left"
    return f"{several(len(lines), 'run')}: {states}; {spent:.3g} PFLOP spent{rest}"


def seconds_left(lines: Sequence[Line], at_once: int | None = None) -> float | None:
    """Wall time until every run has spent its whole plan, by the pace measured so far; None while nothing tells.

    A run that reaches its target ends before. `at_once`: how many run at a time; by default as many as do now.
    """
    open_runs = [line for line in lines if line.state in ("running", "waiting")]
    pace = {line.folder: line.seconds / line.epoch for line in lines if line.seconds and line.epoch}
    if not open_runs or not pace:
        return None
    alike = {line.model: pace[line.folder] for line in lines if line.folder in pace}
    mean = sum(pace.values()) / len(pace)
    left = [
        ((line.planned_epochs or 0) - (line.epoch or 0.0)) * pace.get(line.folder, alike.get(line.model, mean))
        for line in open_runs
    ]
    at_once = at_once or sum(line.state == "running" for line in lines) or 1
    return max(*left, sum(left) / min(at_once, len(open_runs)))


def duration(seconds: float) -> str:
    """For instance "45 s", "12 min" or "3.2 h"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


class View:
    """Shows runs while they go on: a table that is redrawn on a terminal, a line for every news elsewhere."""

    def __init__(self, console: Console | None = None, refresh_seconds: float = 1.0) -> None:
        self._console = console or Console(file=sys.stderr, highlight=False)
        self._live = Live(console=self._console, auto_refresh=False) if self._console.is_terminal else None
        self.refresh_seconds = refresh_seconds
        self._shown_at = -refresh_seconds
        self._told: dict[str, tuple[object, ...]] = {}

    def __enter__(self) -> "View":
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        if self._live is not None:
            self._live.stop()

    def is_due(self) -> bool:
        """True when it is time to show something again."""
        return time.monotonic() - self._shown_at >= self.refresh_seconds

    def show(self, lines: Sequence[Line], at_once: int | None = None, note: str = "") -> None:
        """Draw the runs as they are now; `note` stands below them."""
        self._shown_at = time.monotonic()
        if self._live is not None:
            self._live.update(self._screen(lines, at_once, note), refresh=True)
            return
        for line in lines:
            news = (line.state, line.accuracy, line.note)
            if line.state != "waiting" and self._told.get(line.folder) != news:
                self._told[line.folder] = news
                words = f"{line.model} seed {_text(line.seed)}: {_news(line)}"
                self._console.print(words, markup=False, soft_wrap=True)

    def _screen(self, lines: Sequence[Line], at_once: int | None, note: str) -> Group:
        """What decides now first; the rest in a line where the screen is too small."""
        ordered = sorted(lines, key=lambda line: _ORDER.index(line.state))
        room = max(1, self._console.height - _UNCOLLAPSED_LINES - bool(note))
        shown, hidden = ordered[:room], ordered[room:]
        more = [Text(f"and {len(hidden)} more")] if hidden else []
        more += [Text(whole(lines, at_once), overflow="fold"), *([Text(note)] if note else [])]
        return Group(table(shown, notes=False), *more)


def _news(line: Line) -> str:
    """A run in words."""
    parts = [
        line.state if line.state != "running" else "",
        f"epoch {_epoch(line)}" if line.accuracy is not None else "",
    ]
    parts += [accuracy(line), line.note]
    if line.accuracy is not None and line.images_per_second is not None:
        parts.append(f"{line.images_per_second:,.0f} images/s")
    return "  ".join(part for part in parts if part) or "started"


def _epoch(line: Line) -> str:
    return "" if line.epoch is None else f"{round(line.epoch, 2):g}/{_text(line.planned_epochs)}"


def _text(value: float | None, form: str = "") -> str:
    return "" if value is None else format(value, form)
