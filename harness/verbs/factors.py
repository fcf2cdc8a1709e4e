"""`harness factors`: the gain between two points split into recipe and architecture, both orders and their mean."""

import argparse
import json
from typing import TYPE_CHECKING

from harness.record.errors import BadInput
from harness.verbs.arguments import add_records, asked_level

if TYPE_CHECKING:
    from harness.analyse.trend.factors import Point


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    add_records(parser)
    parser.add_argument("--start", metavar="MODEL:RECIPE", help="e.g. alexnet:era (default: every pair there is)")
    parser.add_argument("--end", metavar="MODEL:RECIPE", help="e.g. efficientnet_b0:modern")
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout and nothing else")


def main(args: argparse.Namespace) -> int:
    """Print every split; return 0. Raises BadInput where the points cannot be read or were not run."""
    from harness.analyse.show.splits import text  # not at the top: see aggregate.py
    from harness.analyse.trend.factors import splits

    asked = asked_level(args)
    if (args.start is None) != (args.end is None):
        raise BadInput("--start and --end belong together, as in --start alexnet:era --end efficientnet_b0:modern")
    pair = None if args.start is None else (_point(args.start), _point(args.end))
    document = splits(args.runs, asked, pair, draws=args.draws, seed=args.seed)
    print(json.dumps({"splits": document}, indent=1, allow_nan=False) if args.json else text(document))
    return 0


def _point(word: str) -> "Point":
    model, _, recipe = word.partition(":")
    if not model or not recipe:
        raise BadInput(f"{word}: give MODEL:RECIPE, as alexnet:era")
    return model, recipe
