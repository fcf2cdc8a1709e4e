"""`harness status DIR`: every run of a sweep, from the run folders and, where there is one, from Slurm's queue."""

import argparse
import json
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from harness.record.errors import EXIT_DONE, RecordError
from harness.record.folder import STATE, find_run_folders, is_finished, read_run, read_summary
from harness.record.lock import seems_alive
from harness.record.sweep import SUBMISSIONS, Submission, last_words, queue, read_manifests
from harness.record.units import macs_to_pflop

_WAITING = ("PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_HOLD", "SPECIAL_EXIT")
"""States in Slurm of a job that has not begun, or not begun again."""


@dataclass(frozen=True)
class Line:
    """One run. state: waiting, running, reached, complete, censored, interrupted, failed; spent_macs: training."""

    model: str
    seed: int | None
    state: str
    epoch: float | None
    planned_epochs: int | None
    top1: float | None
    spent_macs: int | None
    job: str | None
    note: str
    folder: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.add_argument("dir", nargs="?", default="results/runs", metavar="DIR", help="root of the run folders")
    parser.add_argument("--json", action="store_true", help="print the runs as one JSON document")


def main(args: argparse.Namespace) -> int:
    """Print a line for every run below DIR."""
    lines = survey(Path(args.dir))
    if args.json:
        print(json.dumps([asdict(line) for line in lines], indent=1))
    else:
        _print_table(lines)
    return EXIT_DONE


def survey(root: Path) -> list[Line]:
    """All runs below `root`, submitted or begun, by folder. Raises RecordError where there is none."""
    root = root.absolute()
    base = next((parent for parent in (root, *root.parents) if (parent / SUBMISSIONS).is_dir()), root)
    submitted = {base / folder: one for folder, one in read_manifests(base).items()}
    submitted = {folder: one for folder, one in submitted.items() if folder.is_relative_to(root)}
    begun = find_run_folders(root)
    if not begun and not submitted:
        raise RecordError(f"{root}: no run in it; start one with `harness train`")
    live = queue() if submitted else {}
    folders = sorted({*begun, *submitted})
    return [_line(folder, submitted.get(folder), live, base) for folder in folders]


def _line(folder: Path, submission: Submission | None, live: dict[str, str] | None, base: Path) -> Line:
    facts = _facts(folder)
    slurm = None if submission is None or live is None else live.get(submission.job)
    if is_finished(folder):
        state, note = _outcome(folder)
    elif slurm is not None:
        state, note = ("waiting" if slurm in _WAITING else "running"), slurm.lower()
    elif seems_alive(folder):
        state, note = "running", ""
    elif submission is not None and live is None:
        state, note = "waiting", "squeue does not answer"
    else:
        state, note = _ended(facts, None if submission is None else last_words(base, submission.job))
    planned = facts.get("planned_epochs")
    return Line(
        model=submission.model if submission else str(facts.get("model", folder.parent.name)),
        seed=submission.seed if submission else facts.get("seed"),
        state=state,
        epoch=facts.get("epoch"),
        planned_epochs=planned,
        top1=facts.get("top1"),
        spent_macs=facts.get("train_macs"),
        job=submission.job if submission else None,
        note=note,
        folder=str(folder),
    )


def _outcome(folder: Path) -> tuple[str, str]:
    try:
        summary = read_summary(folder)
    except RecordError as error:
        return "failed", str(error)
    outcome = str(summary["outcome"])
    if outcome == "budget_exhausted" and summary["target"] is None:
        return "complete", "full schedule, no target"
    return ("reached", "") if outcome == "reached" else ("censored", outcome.replace("_", " "))


def _ended(facts: dict[str, Any], words: str | None) -> tuple[str, str]:
    """A run that nobody is at and that left no record."""
    again = "start it again and it resumes"
    if facts.get("state") == "failed":
        return "failed", str(facts.get("error"))
    if facts.get("state") == "interrupted":
        return "interrupted", again
    if words is not None:
        return "failed", words
    return ("failed", f"killed; {again}") if facts else ("failed", "ended before its first step")


def _facts(folder: Path) -> dict[str, Any]:
    """How far a run is: of a finished one from the record, of another from its state; empty where neither is there."""
    if is_finished(folder):
        try:
            run = read_run(folder)
        except RecordError:
            return {}
        last = run.curve[-1] if run.curve else None
        return {
            "model": run.model,
            "seed": run.seed,
            "planned_epochs": run.summary["planned_epochs"],
            "epoch": last.epoch if last else 0.0,
            "top1": last.correct_top1 / last.total if last else None,
            "train_macs": last.train_macs if last else 0,
        }
    try:
        facts = json.loads((folder / STATE).read_bytes())
    except (OSError, ValueError):
        return {}
    return facts if isinstance(facts, dict) else {}


def _print_table(lines: list[Line]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, padding=(0, 1))
    for heading in ("model", "seed", "state", "epoch", "top-1 %", "PFLOP spent", "job"):
        table.add_column(heading, justify="left" if heading in ("model", "state") else "right", no_wrap=True)
    table.add_column("note", ratio=1, overflow="fold")
    for line in lines:
        epoch = "" if line.epoch is None else f"{line.epoch:.3g}/{line.planned_epochs}"
        top1 = "" if line.top1 is None else f"{100 * line.top1:.2f}"
        pflop = "" if line.spent_macs is None else f"{macs_to_pflop(line.spent_macs):.3g}"
        seed = "" if line.seed is None else str(line.seed)
        table.add_row(line.model, seed, line.state, epoch, top1, pflop, line.job or "", line.note)
    Console(width=100, highlight=False, markup=False).print(table)
    counts = Counter(line.state for line in lines)
    print(
        f"{len(lines)} run{'' if len(lines) == 1 else 's'}: "
        + ", ".join(f"{count} {state}" for state, count in counts.most_common())
    )
