"""`harness replay`: the published study (Hernandez & Brown 2020) rebuilt from its constants, and how fragile it is."""

import argparse
import json

from harness.analyse.show.words import rounded


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout and nothing else")


def main(args: argparse.Namespace) -> int:
    """Print the replay; return 0. Raises BadInput where the published constants are missing."""
    from harness.analyse.show.replay import replay, text  # not at the top: see aggregate.py

    document = rounded(replay())
    print(json.dumps(document, indent=1, allow_nan=False) if args.json else text(document))
    return 0
