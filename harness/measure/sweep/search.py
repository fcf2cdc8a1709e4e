"""`harness search`: the shortest plan with which an architecture still reaches the target.

Its runs are ordinary records of kind `search` below OUT/DATA/search: `harness aggregate` reports them beside the
fixed-plan protocol and never mixes them with it. Started again, a search skips what is done and resumes what was
interrupted.
"""

import argparse
import contextlib
import json
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.measure.machine.signals import StopFlag
from harness.measure.sweep.bisection import Ask, Outcome, Rule, next_step
from harness.record.errors import EXIT_DONE, EXIT_INTERRUPTED, BadInput, HarnessError
from harness.record.folder import read_summary
from harness.record.ledger import LEDGER_LINES
from harness.record.units import paper_pflop

if TYPE_CHECKING:
    from harness.measure.config.schema import Config

FOLDER = "search"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.add_argument(
        "overrides", nargs="*", metavar="KEY=VALUE", help="as for harness train; budget.epochs is the longest plan"
    )
    parser.add_argument("--min-epochs", type=int, default=1, metavar="N", help="the shortest plan tried (default 1)")
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="runs per plan (default 3)")
    parser.add_argument(
        "--needed", type=int, metavar="N", help="runs that must reach the target (default: the majority)"
    )
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout and nothing else")


def main(args: argparse.Namespace) -> int:
    """Search; exit code 0 also when no plan succeeds (that is a result), 75 when interrupted."""
    rule = Rule(args.seeds, args.seeds // 2 + 1 if args.needed is None else args.needed)
    stop = StopFlag().install()
    from harness.measure.config.compose import compose

    config = compose(args.overrides)
    compose([*args.overrides, f"budget.epochs={args.min_epochs}"])  # the shortest plan must be a valid one too
    if config.target.metric is None:
        raise BadInput("a search needs a level to reach: give target=NAME, target=FILE or target.metric= target.value=")
    if config.recipe.schedule == "step":
        print("note: a step schedule keeps its drops however short the plan; a smooth one shrinks", file=sys.stderr)
    with contextlib.redirect_stdout(sys.stderr) if args.json else contextlib.nullcontext():
        document = search(config, args.overrides, rule, args.min_epochs, stop)
    if document is None:
        print("harness: interrupted; the same command resumes the search", file=sys.stderr)
        return EXIT_INTERRUPTED
    print(json.dumps(document, indent=1) if args.json else text(document))
    return EXIT_DONE


def search(config: "Config", overrides: list[str], rule: Rule, low: int, stop: StopFlag) -> dict[str, Any] | None:
    """Run until the shortest plan is known; None when interrupted."""
    from harness.measure.run import run

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


def text(document: dict[str, Any]) -> str:
    """The result for a terminal."""
    rule, runs, ledger = document["rule"], document["runs"], document["search_ledger"]
    found = document["shortest_plan_epochs"]
    low, high = document["range_epochs"]
    answer = f"no plan of {low} to {high} epochs succeeds" if found is None else f"shortest plan: {found} epochs"
    spent = ledger["train_forward_macs"] + ledger["train_backward_macs"]
    lines = [f"  {r['planned_epochs']} epochs, seed {r['seed']}: {r['outcome'].replace('_', ' ')}" for r in runs]
    return "\n".join(
        [
            f"{document['model']}: {answer} ({rule['needed']} of {rule['seeds']} seeds must reach "
            f"{document['target']['metric']} {document['target']['value']:.2%})",
            *lines,
            f"the search itself: {len(runs)} runs, {spent:,} MACs of training, "
            f"{paper_pflop(ledger['train_forward_macs']):.3g} PFLOP (paper unit); it is no part of any cost to target",
        ]
    )
