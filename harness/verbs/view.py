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

from harness.record.folders.survey import Status
from harness.record.units import paper_pflop
from harness.record.words import several

_ENDED = ("reached", "complete", "censored")
_ORDER = ("running", "failed", "interrupted", *_ENDED, "waiting")
_UNCOLLAPSED_LINES = 4
"""Lines of a screen that are not for runs: the heading, what is left out, the whole, the cursor."""


def table(runs: Sequence[Status], *, notes: bool = True) -> Table:
    """A line a run; `notes`: with its Slurm job and what there is to say of it. Without them it fits 80 columns."""
    drawn = Table(box=None, padding=(0, 1, 0, 0))
    for heading in ("model", "seed", "state", "epoch", "accuracy %", "img/s", "PFLOP"):
        drawn.add_column(heading, justify="left" if heading in ("model", "state") else "right", no_wrap=True)
    if notes:
        drawn.add_column("job", justify="right", no_wrap=True)
        drawn.add_column("note", ratio=1, overflow="fold")
    for run in runs:
        cells = [run.model, _text(run.seed), run.state, _epoch(run), accuracy(run)]
        spent_pflop = None if run.train_forward_macs is None else paper_pflop(run.train_forward_macs)
        cells += [_text(run.images_per_second, ",.0f"), _text(spent_pflop, ".3g")]
        drawn.add_row(*(Text(cell) for cell in [*cells, *([run.job or "", run.note] if notes else [])]))
    return drawn


def accuracy(run: Status) -> str:
    """The last look against the level, for instance "top-1 78.10 of 79.70"."""
    if run.accuracy is None or run.metric is None:
        return ""
    goal = "" if run.target is None else f" of {100 * run.target:.2f}"
    return f"{run.metric[:3]}-{run.metric[3:]} {100 * run.accuracy:.2f}{goal}"


def whole(runs: Sequence[Status], at_once: int | None = None) -> str:
    """All runs in one line: how many in which state, PFLOP (paper unit) spent, and the time that is left at most."""
    counts = Counter(run.state for run in runs)
    states = ", ".join(f"{count} {state}" for state, count in counts.most_common())
    spent = paper_pflop(sum(run.train_forward_macs or 0 for run in runs))
    left = seconds_left(runs, at_once)
    rest = "" if left is None else f"; at most {duration(left)} left"
    return f"{several(len(runs), 'run')}: {states}; {spent:.3g} PFLOP spent{rest}"


def seconds_left(runs: Sequence[Status], at_once: int | None = None) -> float | None:
    """Wall time until every run has spent its whole plan, by the pace measured so far; None while nothing tells.

    A run that reaches its target ends before. `at_once`: how many run at a time; by default as many as do now.
    """
    open_runs = [run for run in runs if run.state in ("running", "waiting")]
    pace = {run.folder: run.seconds / run.epoch for run in runs if run.seconds and run.epoch}
    if not open_runs or not pace:
        return None
    alike = {run.model: pace[run.folder] for run in runs if run.folder in pace}
    mean = sum(pace.values()) / len(pace)
    left = [
        ((run.planned_epochs or 0) - (run.epoch or 0.0)) * pace.get(run.folder, alike.get(run.model, mean))
        for run in open_runs
    ]
    at_once = at_once or sum(run.state == "running" for run in runs) or 1
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

    def show(self, runs: Sequence[Status], at_once: int | None = None, note: str = "") -> None:
        """Draw the runs as they are now; `note` stands below them."""
        self._shown_at = time.monotonic()
        if self._live is not None:
            self._live.update(self._screen(runs, at_once, note), refresh=True)
            return
        for run in runs:
            news = (run.state, run.accuracy, run.note)
            if run.state != "waiting" and self._told.get(run.folder) != news:
                self._told[run.folder] = news
                words = f"{run.model} seed {_text(run.seed)}: {_news(run)}"
                self._console.print(words, markup=False, soft_wrap=True)

    def _screen(self, runs: Sequence[Status], at_once: int | None, note: str) -> Group:
        """What decides now first; the rest in a line where the screen is too small."""
        ordered = sorted(runs, key=lambda run: _ORDER.index(run.state))
        room = max(1, self._console.height - _UNCOLLAPSED_LINES - bool(note))
        shown, hidden = ordered[:room], ordered[room:]
        more = [Text(f"and {len(hidden)} more")] if hidden else []
        more += [Text(whole(runs, at_once), overflow="fold"), *([Text(note)] if note else [])]
        return Group(table(shown, notes=False), *more)


def _news(run: Status) -> str:
    """A run in words."""
    parts = [
        run.state if run.state != "running" else "",
        f"epoch {_epoch(run)}" if run.accuracy is not None else "",
    ]
    parts += [accuracy(run), run.note]
    if run.accuracy is not None and run.images_per_second is not None:
        parts.append(f"{run.images_per_second:,.0f} images/s")
    return "  ".join(part for part in parts if part) or "started"


def _epoch(run: Status) -> str:
    return "" if run.epoch is None else f"{round(run.epoch, 2):g}/{_text(run.planned_epochs)}"


def _text(value: float | None, form: str = "") -> str:
    return "" if value is None else format(value, form)
