"""How far the runs below a folder are, finished or not: from the run folders and, where there is one, from the queue.

It is for people: nothing here decides what becomes of a run.
"""

import json
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness.record.curve import Evaluation, parse_line
from harness.record.errors import RecordError
from harness.record.folders.folder import CURVE, STATE, find_run_folders, is_finished, read_run, read_summary
from harness.record.folders.lock import seems_alive
from harness.record.folders.sweep import (
    SUBMISSIONS,
    Queued,
    Submission,
    logs_of,
    queue,
    read_manifests,
    submitters,
    telling_line,
)

_NOT_BEGUN = ("PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_HOLD", "SPECIAL_EXIT")
"""States in Slurm of a job that has not begun, or not begun again."""

_LAST_LINE_BYTES = 4096


@dataclass(frozen=True)
class Status:
    """One run as it stands; None where it is not known.

    state: waiting, running, reached, complete, censored, interrupted or failed. accuracy: the last look's, by `metric`;
    target: the level, None for a full schedule; seconds: training and evaluation so far.
    """

    model: str
    seed: int | None
    state: str
    epoch: float | None
    planned_epochs: int | None
    top1: float | None
    metric: str | None
    accuracy: float | None
    target: float | None
    images_per_second: float | None
    train_forward_macs: int | None
    seconds: float | None
    job: str | None
    note: str
    folder: str


def survey(root: Path) -> list[Status]:
    """All runs below `root`, submitted or begun, by folder. Raises RecordError where there is none."""
    root = root.absolute()
    base = next((parent for parent in (root, *root.parents) if (parent / SUBMISSIONS).is_dir()), root)
    submitted = {base / folder: one for folder, one in read_manifests(base).items()}
    submitted = {folder: one for folder, one in submitted.items() if folder.is_relative_to(root)}
    begun = find_run_folders(root)
    if not begun and not submitted:
        raise RecordError(f"{root}: no run in it; start one with `harness train`")
    live = queue(submitters(base)) if submitted else {}
    folders = sorted({*begun, *submitted})
    return [_status(folder, submitted.get(folder), live, base) for folder in folders]


def status_of(
    folder: Path, state: str, note: str, *, model: str, seed: int | None, planned_epochs: int | None
) -> Status:
    """One run whose state is known; how far it is from its folder, which may not be there yet."""
    facts = {"model": model, "seed": seed, "planned_epochs": planned_epochs, **read_facts(folder)}
    images, seconds = facts.get("images"), facts.get("train_seconds")
    return Status(
        model=str(facts["model"]),
        seed=facts["seed"],
        state=state,
        epoch=facts.get("epoch"),
        planned_epochs=facts["planned_epochs"],
        top1=facts.get("top1"),
        metric=facts.get("metric"),
        accuracy=facts.get("accuracy"),
        target=facts.get("target"),
        images_per_second=images / seconds if images and seconds else None,
        train_forward_macs=facts.get("train_forward_macs"),
        seconds=None if seconds is None else seconds + facts.get("eval_seconds", 0.0),
        job=None,
        note=note,
        folder=str(folder),
    )


def outcome_of(folder: Path) -> tuple[str, str]:
    """State and note of a finished run."""
    try:
        summary = read_summary(folder)
    except RecordError as error:
        return "failed", str(error)
    outcome = str(summary["outcome"])
    if outcome == "budget_exhausted" and summary["target"] is None:
        return "complete", "full schedule, no target"
    return ("reached", "") if outcome == "reached" else ("censored", outcome.replace("_", " "))


def _status(folder: Path, submission: Submission | None, live: dict[str, Queued] | None, base: Path) -> Status:
    slurm = None if submission is None or live is None else live.get(submission.job)
    if is_finished(folder):
        state, note = outcome_of(folder)
    elif submission is not None and slurm is not None and slurm.never_starts:
        state, note = "failed", f"{slurm.reason}: it never starts; scancel {submission.job} and submit again"
    elif slurm is not None:
        state = "waiting" if slurm.state in _NOT_BEGUN else "running"
        note = slurm.state.lower() + (f": {slurm.reason}" if state == "waiting" and slurm.reason else "")
    elif seems_alive(folder):
        state, note = "running", ""
    elif submission is not None and live is None:
        state, note = "waiting", "squeue does not answer"
    else:
        told = None if submission is None else telling_line(*logs_of(base, submission.job))
        state, note = _state_left(folder, told)
    model, seed = (folder.parent.name, None) if submission is None else (submission.model, submission.seed)
    status = status_of(folder, state, note, model=model, seed=seed, planned_epochs=None)
    return status if submission is None else replace(status, job=submission.job)


def _state_left(folder: Path, told: str | None) -> tuple[str, str]:
    """State and note of a run that nobody is at and that left no record. told: what its log says."""
    facts, again = _state(folder), "start it again and it resumes"
    if facts.get("state") == "failed":
        return "failed", str(facts.get("error"))
    if facts.get("state") == "interrupted":
        return "interrupted", again
    if told is not None:
        return "failed", told
    return ("failed", f"killed; {again}") if facts else ("failed", "ended before its first step")


def read_facts(folder: Path) -> dict[str, Any]:
    """How far a run is: its state, and its last look where that is further; empty where neither is there."""
    if is_finished(folder):
        try:
            run = read_run(folder)
        except RecordError:
            return {}
        target = run.target
        facts = {
            "model": run.model,
            "seed": run.seed,
            "planned_epochs": run.summary["planned_epochs"],
            "epoch": 0.0,
            "train_forward_macs": 0,
            "metric": "top1" if target is None else target.metric,
            "target": None if target is None else target.value,
        }
        return facts | (_facts_of(run.curve[-1], str(facts["metric"])) if run.curve else {})
    facts = _state(folder)
    last = _last_look(folder / CURVE)
    if last is None:
        return facts
    seen = _facts_of(last, str(facts.get("metric", "top1")))
    between_looks = facts.get("images", 0) > last.images
    return {**seen, **facts, "top1": seen["top1"], "accuracy": seen["accuracy"]} if between_looks else facts | seen


def _facts_of(look: Evaluation, metric: str) -> dict[str, Any]:
    return {
        "epoch": look.epoch,
        "top1": look.correct_top1 / look.total,
        "accuracy": look.correct(metric) / look.total if look.judged(metric) else None,
        "train_forward_macs": look.train_forward_macs,
        "images": look.images,
        "train_seconds": look.train_seconds,
        "eval_seconds": look.eval_seconds,
    }


def _state(folder: Path) -> dict[str, Any]:
    try:
        facts = json.loads((folder / STATE).read_bytes())
    except (OSError, ValueError):
        return {}
    return facts if isinstance(facts, dict) else {}


def _last_look(path: Path) -> Evaluation | None:
    """The last whole line of a curve that may be growing."""
    with suppress(OSError, ValueError), open(path, "rb") as file:
        file.seek(max(0, path.stat().st_size - _LAST_LINE_BYTES))
        return parse_line(file.read().decode().rpartition("\n")[0].rpartition("\n")[2])
    return None
