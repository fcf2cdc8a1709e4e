"""`harness search`: E90, the shortest plan with which nine runs of ten still end at the level."""

import argparse
import contextlib
import json
import sys
from typing import TYPE_CHECKING, Any

from harness.measure.machine.importing import uncollected
from harness.measure.machine.output import make_lasting
from harness.measure.machine.signals import StopFlag
from harness.record.errors import EXIT_DONE, EXIT_INTERRUPTED, BadInput
from harness.record.units import paper_pflop
from harness.record.words import several
from harness.verbs.at_once import in_parallel

if TYPE_CHECKING:
    from harness.measure.config.schema import Config
    from harness.measure.sweep.search import RunBlock


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.add_argument(
        "overrides",
        nargs="*",
        metavar="KEY=VALUE",
        help="as for harness train; budget.epochs is the longest plan; hydra.launcher.parallel=N runs N of a block at "
        "once; seed= is the first seed: let it be none that set the level",
    )
    parser.add_argument("--min-epochs", type=int, default=1, metavar="N", help="the shortest plan tried (default 1)")
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="runs of one length at a time (default 3)")
    parser.add_argument("--runs", type=int, default=30, metavar="N", help="runs of the whole search (default 30)")
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout and nothing else")


def main(args: argparse.Namespace) -> int:
    """Search; exit code 0 also when E90 is not found (that is a result), 75 when interrupted.

    Raises BadInput for what a search cannot do.
    """
    make_lasting()
    stop = StopFlag().install()  # before torch is imported, which takes seconds: so no import of it above
    with uncollected():
        from harness.measure.config.compose import compose
        from harness.measure.config.tracking import refuse_several_under_an_agent
        from harness.measure.config.words import refuse_without_effect
        from harness.measure.sweep.design import Rule
        from harness.measure.sweep.search import level_of, search

    refuse_without_effect(args.overrides)
    words = [word for word in args.overrides if not word.lstrip("+~").startswith("hydra")]
    config = compose(words)
    level_of(config)
    refuse_several_under_an_agent([config.tracking.name] * 2)
    rule = Rule(args.min_epochs, config.budget.epochs, args.seeds, args.runs)
    compose([*words, f"budget.epochs={rule.shortest}"])  # the shortest plan must be a valid one too
    if config.recipe.schedule == "step":
        print("note: a step schedule keeps its drops however short the plan; a smooth one shrinks", file=sys.stderr)
    with contextlib.redirect_stdout(sys.stderr) if args.json else contextlib.nullcontext():
        document = search(words, rule, _runner(args.overrides, config, rule, stop))
    if document is None:
        print("harness: interrupted; the same command resumes the search", file=sys.stderr)
        return EXIT_INTERRUPTED
    print(json.dumps(document, indent=1, allow_nan=False) if args.json else text(document))
    return EXIT_DONE


def _runner(overrides: list[str], config: "Config", rule: Any, stop: StopFlag) -> "RunBlock":
    """How the runs of a block are made: one after the other in this process, or several at once."""
    from harness.measure.config.compose import compose_node, take_target_file

    with uncollected():
        from harness.measure.sweep.local import local_config, processes_at_once

    launcher = compose_node(take_target_file(overrides)[0], with_hydra=True).hydra.launcher
    if launcher.name != "local":
        raise BadInput(
            "a search decides after each block of runs: it runs where it is started (hydra/launcher=local); start it "
            "inside a job of the cluster, with hydra.launcher.parallel= for its GPUs"
        )
    local = local_config(launcher)
    at_once = min(rule.seeds, processes_at_once(local, [config]))
    if at_once > 1:
        return lambda jobs: in_parallel(jobs, at_once, local.order, stop)
    with uncollected():
        from harness.measure.sweep.here import run_here
    return lambda jobs: run_here(jobs, stop, raises=True)


def text(document: dict[str, Any]) -> str:
    """The result for a terminal."""
    rule, level, ledger = document["rule"], document["level"], document["search_ledger"]
    spent = ledger["train_forward_macs"] + ledger["train_backward_macs"]
    lines = [f"  {t['planned_epochs']} epochs: {t['succeeded']} of {t['runs']} runs" for t in document["tried"]]
    cost = document["e90_paper_pflop"]
    return "\n".join(
        [
            f"{document['model']}: {document['words']}",
            *([] if cost is None else [f"a plan of that length costs {cost:.3g} PFLOP (paper unit) of training"]),
            f"runs that end at {level['metric']} {level['value']:.2%} or above, one look at the plan's end, by length:",
            *lines,
            f"plans of {rule['shortest']} to {rule['longest']} epochs, {several(rule['seeds'], 'seed')} at a time; "
            f"{document['stopped']}",
            f"the search itself: {several(len(document['runs']), 'run')}, {spent:,} MACs of training, "
            f"{paper_pflop(ledger['train_forward_macs']):.3g} PFLOP (paper unit); it is no part of any cost to target",
        ]
    )
