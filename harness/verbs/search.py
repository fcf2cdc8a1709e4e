"""`harness search`: the shortest plan with which an architecture still reaches the target."""

import argparse
import contextlib
import json
import sys
from typing import Any

from harness.measure.machine.output import make_lasting
from harness.measure.machine.signals import StopFlag
from harness.record.errors import EXIT_DONE, EXIT_INTERRUPTED, BadInput
from harness.record.units import paper_pflop


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
    """Search; exit code 0 also when no plan succeeds (that is a result), 75 when interrupted.

    Raises BadInput for what a search cannot do.
    """
    make_lasting()
    stop = StopFlag().install()  # before torch is imported, which takes seconds: so no import of it above
    from harness.measure.config.compose import compose
    from harness.measure.config.tracking import refuse_several_under_an_agent
    from harness.measure.sweep.bisection import Rule
    from harness.measure.sweep.search import search

    if any(word.lstrip("+").startswith("hydra") for word in args.overrides):
        raise BadInput("a search runs here, one run after the other: Hydra's own words have no effect on it")
    rule = Rule(args.seeds, args.seeds // 2 + 1 if args.needed is None else args.needed)
    config = compose(args.overrides)
    refuse_several_under_an_agent([config.tracking.name] * 2)
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
