"""`harness power`: what it takes to tell two costs or two halving times apart, before anybody pays for it."""

import argparse
import json
import math

from harness.record.errors import BadInput
from harness.verbs.arguments import add_choice, add_level, asked_level


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    add_level(parser)
    add_choice(parser)
    parser.add_argument("--factor", type=float, default=1.25, metavar="R", help="ratio of two costs (default 1.25)")
    parser.add_argument(
        "--halving-months",
        type=float,
        nargs=2,
        metavar=("A", "B"),
        help="two halving times (default: the study's 16 and Moore's 24)",
    )
    parser.add_argument("--power", type=float, default=0.8, metavar="P", help="chance to tell them (default 0.8)")
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout and nothing else")


def main(args: argparse.Namespace) -> int:
    """Print what it takes; return 0, also where the records are too few to say. Raises BadInput for no question."""
    two = args.halving_months
    if not (math.isfinite(args.factor) and args.factor > 1):
        raise BadInput(f"--factor {args.factor:g}: the ratio of the dearer to the cheaper, above 1, as 1.25")
    if two is not None and not (min(two) > 0 and math.isfinite(max(two)) and two[0] != two[1]):
        raise BadInput(f"--halving-months {two[0]:g} {two[1]:g}: give two different numbers of months above 0")
    asked = asked_level(args)
    # Not at the top: the help comes without the second that these take.
    from harness.analyse.evidence.runs.groups import group_runs
    from harness.analyse.evidence.runs.run import read_records
    from harness.analyse.show.power import text
    from harness.analyse.show.words import rounded
    from harness.analyse.trend.power import ALPHA, Question, answers

    if not ALPHA < args.power < 1:
        raise BadInput(f"--power {args.power:g}: a chance above {ALPHA:g}, which luck has, and below 1, as 0.8")
    question = Question(factor=args.factor, power=args.power)
    if two is not None:
        question = Question(args.factor, (two[0], two[1]), args.power)
    groups = group_runs(read_records(args.runs, skip_broken=args.skip_broken).runs, asked)
    found = [answers(group, question, args.recipe, args.plans) for group in groups]
    print(json.dumps({"groups": rounded(found)}, indent=1, allow_nan=False) if args.json else text(found))
    return 0
