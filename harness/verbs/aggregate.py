"""`harness aggregate`: finished records to table, trend and figures. Needs no torch, no hydra, no wandb."""

import argparse
import json
import sys
from pathlib import Path

from harness.verbs.arguments import add_recipe, add_records, asked_level


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    add_records(parser)
    add_recipe(parser)
    parser.add_argument("--out", type=Path, metavar="DIR", help="where to write (default: DIR; with --json: nowhere)")
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout and nothing else")
    parser.add_argument("--no-figures", action="store_true", help="tables only")


def main(args: argparse.Namespace) -> int:
    """Read, analyse, write; return 0. Raises BadInput in one line for anything that cannot be read."""
    # Not at the top: the help answers without the second that numpy, scipy and matplotlib take.
    from harness.analyse.show.aggregate import build, write
    from harness.analyse.show.pages import terminal

    document = build(args.runs, asked_level(args), draws=args.draws, seed=args.seed, recipe=args.recipe)
    out = args.out or (None if args.json else args.runs)
    paths = [] if out is None else write(document, out, figures=not args.no_figures)
    if args.json:
        json.dump(document, sys.stdout, indent=1, allow_nan=False)
        print()
    else:
        print(terminal(document))
        print("\n" + "\n".join(f"wrote {path}" for path in paths))
    return 0
