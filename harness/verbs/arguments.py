"""Arguments that several verbs share: which records, judged at which level, drawn again how often."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.analyse.evidence.runs.plans import PLANS
from harness.record.errors import BadInput
from harness.record.folders.folder import find_run_folders
from harness.record.words import several

if TYPE_CHECKING:
    from harness.analyse.evidence.runs.groups import Level


def add_records(parser: argparse.ArgumentParser) -> None:
    """DIR, the level and the draws."""
    add_level(parser)
    parser.add_argument("--draws", type=int, default=10_000, metavar="N", help="draws of the seeds (default 10000)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="seed of the draws (default 0)")


def add_level(parser: argparse.ArgumentParser) -> None:
    """DIR and the level."""
    parser.add_argument("runs", type=Path, metavar="DIR", help="folder with run folders below it")
    parser.add_argument("--target", type=Path, metavar="FILE", help="judge every run at the level of this target file")
    parser.add_argument("--metric", choices=("top1", "top5"), help="judge every run at --value of this metric")
    parser.add_argument("--value", type=float, metavar="FRACTION", help="the level for --metric, as 0.565")


def add_choice(parser: argparse.ArgumentParser) -> None:
    """Which runs the trend takes."""
    parser.add_argument("--recipe", metavar="NAME", help="only runs of this recipe")
    parser.add_argument(
        "--plans",
        choices=PLANS,
        default=PLANS[0],
        help="of several plans of an architecture: the experiment's, or the cheapest, for collections nobody planned",
    )
    parser.add_argument("--skip-broken", action="store_true", help="leave broken records out, and list them")


def say_what_is_read(root: Path) -> None:
    """Print a line at once: the libraries of an analysis and its draws take seconds. Nothing where there is no run."""
    if runs := len(find_run_folders(root)):
        print(f"reading {several(runs, 'run')} in {root}", flush=True)


def asked_level(args: argparse.Namespace) -> "Level | None":
    """Return the level of --target or of --metric and --value; None where neither is given.

    Raises BadInput where they do not belong together, or where --draws is below 1.
    """
    from harness.analyse.evidence.runs.groups import Level
    from harness.analyse.evidence.target import read_target

    if getattr(args, "draws", 1) < 1:
        raise BadInput(f"--draws is {args.draws}: use 1 or more")
    if args.target is not None:
        if args.metric is not None or args.value is not None:
            raise BadInput("give either --target or --metric with --value, not both")
        return read_target(args.target)
    if (args.metric is None) != (args.value is None):
        raise BadInput("--metric and --value belong together, as in --metric top1 --value 0.565")
    if args.metric is None:
        return None
    level = Level(args.metric, args.value, source="asked for on the command line")
    level.at(1)  # a percent or a zero is refused here, before anything is read
    return level


def asked_document(args: argparse.Namespace, level: "Level | None") -> dict[str, Any]:
    """Return the document that the arguments of add_records and add_choice ask for. Raises BadInput, RecordError."""
    from harness.analyse.show.aggregate import build  # not at the top: the help comes without the second this takes

    return build(
        args.runs,
        level,
        draws=args.draws,
        seed=args.seed,
        recipe=args.recipe,
        plans=args.plans,
        skip_broken=args.skip_broken,
    )
