"""What a person sees while a run trains: a live line on a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Sequence

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from harness.record.curve import Evaluation
from harness.record.target import Target, crossing_of, unconfirmed
from harness.record.units import paper_pflop


class Display:
    """Shows one run. `quiet` silences it (all ranks but the first)."""

    def __init__(
        self, *, model: str, seed: int, epochs: int, total_steps: int, target: Target | None, quiet: bool
    ) -> None:
        self._label = f"{model} seed {seed}"
        self._epochs = epochs
        self._target = target
        self._quiet = quiet
        self._console = Console(file=sys.stderr)
        self._live: Live | None = None
        self._accuracy = "top-1 -"
        self._last = (time.perf_counter(), 0)
        if not quiet and self._console.is_terminal:
            # Two lines, so that 80 columns hold all of it: how far, and how well.
            self._bar = Progress(
                TextColumn("[bold]{task.description}"),
                BarColumn(bar_width=20),
                TimeRemainingColumn(compact=True),
                TextColumn("left"),
                console=self._console,
            )
            self._task = self._bar.add_task(self._label, total=total_steps)
            self._numbers = Text("", no_wrap=True, overflow="ellipsis")
            self._live = Live(Group(self._bar, self._numbers), console=self._console, refresh_per_second=4)
            self._live.start()

    def say(self, text: str) -> None:
        """A line that stays."""
        if not self._quiet:
            self._console.print(f"{self._label}: {text}", highlight=False, soft_wrap=True)

    def step(
        self, *, step: int, epoch: float, images: int, loss: float, train_forward_macs: int, waiting: float
    ) -> float:
        """Refresh the live line; returns images per second since the last refresh."""
        now = time.perf_counter()
        then, before = self._last
        self._last = (now, images)
        rate = (images - before) / max(now - then, 1e-9)
        if self._live is not None:
            self._bar.update(self._task, completed=step, description=f"{self._label} epoch {epoch:.1f}/{self._epochs}")
            self._numbers.plain = (
                f"{rate:,.0f} img/s  loss {loss:.3f}  {self._accuracy}  {paper_pflop(train_forward_macs):.3g} PFLOP  "
                f"waiting {waiting:.0%}"
            )
        return rate

    def started(self, images: int) -> None:
        """Begin measuring throughput at this many images (not 0 in a resumed run)."""
        self._last = (time.perf_counter(), images)

    def evaluation(self, curve: Sequence[Evaluation]) -> None:
        """Show the last evaluation of a curve against the target."""
        row = curve[-1]
        self._accuracy = _against(curve, self._target)
        if self._live is None:
            seconds = max(row.train_seconds or 0.0, 1e-9)
            rate, wait = row.images / seconds, (row.data_wait_seconds or 0.0) / seconds
            self.say(
                f"epoch {round(row.epoch, 2):g}/{self._epochs}  loss {row.loss:.4f}  {self._accuracy}  "
                f"{paper_pflop(row.train_forward_macs):.4g} PFLOP spent  "
                f"{rate:,.0f} images/s  waiting for data {wait:.0%}"
            )

    def close(self) -> None:
        """Give the terminal back."""
        if self._live is not None:
            self._live.stop()


def _against(curve: Sequence[Evaluation], target: Target | None) -> str:
    """The last accuracies in words, for instance "top-1 at 79.9 %, to be confirmed" or "top-1 78.10% of 79.70%"."""
    row = curve[-1]
    if target is None:
        return f"top-1 {row.correct('top1') / row.total:.2%}"
    pending, words = unconfirmed(curve, target), []
    for metric, value in target.levels:
        name, accuracy = f"{metric[:3]}-{metric[3:]}", row.correct(metric) / row.total
        if metric in pending:
            words.append(f"{name} at {100 * accuracy:.1f} %, to be confirmed")
        elif crossing_of(curve, metric, value, target.confirm) is not None:
            words.append(f"{name} {accuracy:.2%} of {value:.2%}, confirmed")
        else:
            words.append(f"{name} {accuracy:.2%} of {value:.2%}")
    return "; ".join(words)
