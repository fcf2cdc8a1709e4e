"""The search for the shortest plan: E90, the planned length at which nine runs of ten end at the level.

Its runs have no target, so that each goes through its whole plan and is judged by one look, its last. They are ordinary
records of kind `search` below OUT/DATA/search/LEVEL: `harness aggregate` reports them beside the trend and never in it.
Started again, a search skips what is done and resumes what was interrupted.
"""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from harness.measure.config.compose import Composed, compose
from harness.measure.config.level import target_of
from harness.measure.config.schema import Config
from harness.measure.config.words import quoted
from harness.measure.sweep.design import Ask, Rule, next_step
from harness.measure.sweep.job import Ended, Job
from harness.record.dose_response import fit, success, tally
from harness.record.errors import EXIT_BAD_INPUT, EXIT_INTERRUPTED, BadInput, HarnessError
from harness.record.folders.folder import Run, is_finished, read_run
from harness.record.ledger import LEDGER_LINES
from harness.record.target import Target
from harness.record.units import paper_pflop

FOLDER = "search"

RunBlock = Callable[[list[Job]], list[Ended]]
"""Runs the jobs of a block, one after the other or at once, and says what became of each that was begun."""


def level_of(config: Config) -> Target:
    """The level to look for, the first where a config names several; raises BadInput where it names none."""
    target = target_of(config)
    if target is None:
        raise BadInput("a search needs a level to reach: give target=NAME, target=FILE or target.metric= target.value=")
    return target.each()[0]


def search(overrides: list[str], rule: Rule, run_block: RunBlock) -> dict[str, Any] | None:
    """Run until the design has no further block; what E90 is, as plain data, or None when interrupted.

    overrides: as for one run; `budget.epochs` is the rule's affair. Raises what a run raises.
    """
    config = compose(overrides)
    level = level_of(config)
    known: list[tuple[int, bool]] = []
    runs: list[Run] = []
    composed: Composed = {}
    while isinstance(step := next_step(known, rule), Ask):
        jobs = [_job(overrides, config, level, rule, step.epochs, seed, composed) for seed in step.seeds]
        ended = run_block(jobs)
        if (made := _records(ended, jobs)) is None:
            return None
        known += [(step.epochs, _judged(run, level)) for run in made]
        runs += made
    return _document(level, rule, known, runs, step.reason)


def _job(
    overrides: list[str], config: Config, level: Target, rule: Rule, epochs: int, seed: int, composed: Composed
) -> Job:
    """A run to its plan's end, in the words that compose to it."""
    out = Path(config.out) / config.data.name / FOLDER / f"{level.metric}_{level.value!r}"
    kept = [word for word in overrides if not word.lstrip("+~").startswith(("target=", "target.", "out=", "seed="))]
    words = [
        *kept,
        "target=none",
        f"out={quoted(str(out))}",
        f"budget.epochs={epochs}",
        f"seed={config.seed + seed}",
    ]
    asked = compose(words, known=composed)
    if target_of(asked) is not None:
        raise BadInput("the experiment holds a level of its own: take it out of its file and name it in words, target=")
    return Job(words, asked, search={"level": level.as_dict(), **asdict(rule)})


def _records(ended: list[Ended], jobs: list[Job]) -> list[Run] | None:
    """The records of a block in the order asked for, None when interrupted; raises where a run failed."""
    by_seed = {one.job.config.seed: one for one in ended}
    for one in ended:
        if one.error is not None and one.code != EXIT_INTERRUPTED:
            raise (BadInput if one.code == EXIT_BAD_INPUT else HarnessError)(one.line)
    in_order = [by_seed.get(job.config.seed) for job in jobs]
    folders = [one.folder for one in in_order if one is not None and one.folder is not None and is_finished(one.folder)]
    return None if len(folders) < len(jobs) else [read_run(folder) for folder in folders]


def _judged(run: Run, level: Target) -> bool:
    last = (run.curve[-1].correct(level.metric), run.curve[-1].total) if run.curve else None
    succeeded = success(run.outcome, last, level.value)
    if succeeded is None:
        raise HarnessError(f"{run.path}: {run.outcome.replace('_', ' ')} is no answer; lower recipe.batch_size")
    return succeeded


def _document(level: Target, rule: Rule, known: list[tuple[int, bool]], runs: list[Run], reason: str) -> dict[str, Any]:
    fitted = fit(tally(known))
    totals = {line: sum(run.summary["totals"][line] for run in runs) for line in LEDGER_LINES}
    epochs = sum(run.summary["totals"]["images"] / run.summary["dataset"]["train_images"] for run in runs)
    an_epoch = paper_pflop(totals["train_forward_macs"]) / epochs if epochs else None
    priced = [None if e is None or an_epoch is None else e * an_epoch for e in (fitted.e90, *fitted.interval)]
    return {
        "model": runs[0].model,
        "level": level.as_dict(),
        "rule": asdict(rule),
        "e90_epochs": fitted.e90,
        "interval_epochs": list(fitted.interval),
        "e90_paper_pflop": priced[0],
        "interval_paper_pflop": priced[1:],
        "case": fitted.case,
        "words": fitted.words,
        "stopped": reason,
        "tried": fitted.tried_data,
        "runs": [
            {
                "planned_epochs": planned,
                "seed": run.seed,
                "outcome": run.outcome,
                "final_accuracy": run.curve[-1].correct(level.metric) / run.curve[-1].total if run.curve else None,
                "succeeded": good,
                "run_id": run.summary["run_id"],
            }
            for (planned, good), run in zip(known, runs, strict=True)
        ],
        "search_ledger": totals,
    }
