"""The search for the shortest plan with which an architecture still reaches the target.

Its runs are ordinary records of kind `search` below OUT/DATA/search: `harness aggregate` reports them beside the
fixed-plan protocol and never mixes them with it. Started again, a search skips what is done and resumes what was
interrupted.
"""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from harness.measure.config.schema import Config
from harness.measure.machine.signals import StopFlag
from harness.measure.run import run
from harness.measure.sweep.bisection import Ask, Outcome, Rule, next_step
from harness.record.errors import HarnessError
from harness.record.folders.folder import read_summary
from harness.record.ledger import LEDGER_LINES

FOLDER = "search"


def search(config: Config, overrides: list[str], rule: Rule, low: int, stop: StopFlag) -> dict[str, Any] | None:
    """Run until the shortest plan is known; None when interrupted.

    Raises HarnessError where a run ends out of memory.
    """
    known: list[Outcome] = []
    summaries: list[dict[str, Any]] = []
    high = config.budget.epochs
    while isinstance(step := next_step(known, low=low, high=high, rule=rule), Ask):
        asked = replace(
            config,
            seed=config.seed + step.seed,
            out=str(Path(config.out) / config.data.name / FOLDER),
            budget=replace(config.budget, epochs=step.epochs),
        )
        words = [*overrides, f"budget.epochs={step.epochs}", f"seed={asked.seed}"]
        result = run(asked, overrides=words, stop=stop, search=asdict(rule))
        if result.outcome == "interrupted":
            return None
        if result.outcome == "out_of_memory":
            raise HarnessError(f"{result.folder}: out of memory is no answer to the search; lower recipe.batch_size")
        known.append(Outcome(step.epochs, step.seed, result.outcome == "reached"))
        summaries.append(read_summary(result.folder))
    return {
        "model": config.model.name,
        "target": summaries[0]["target"],
        "rule": asdict(rule),
        "range_epochs": [low, high],
        "shortest_plan_epochs": step.epochs,
        "runs": [
            {"planned_epochs": o.epochs, "seed": s["seed"], "outcome": s["outcome"], "run_id": s["run_id"]}
            for o, s in zip(known, summaries, strict=True)
        ],
        "search_ledger": {line: sum(s["totals"][line] for s in summaries) for line in LEDGER_LINES},
    }
