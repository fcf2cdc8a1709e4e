"""`harness aggregate`: finished records to table, trend and figures. Needs no torch, no hydra, no wandb."""

import argparse
import json
import sys
from pathlib import Path

from harness.verbs.arguments import add_choice, add_records, asked_document, asked_level, say_what_is_read


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    add_records(parser)
    add_choice(parser)
    parser.add_argument("--out", type=Path, metavar="DIR", help="where to write (default: DIR; with --json: nowhere)")
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout and nothing else")
    parser.add_argument("--no-figures", action="store_true", help="tables only")


def main(args: argparse.Namespace) -> int:
    """Read, analyse, write; return 0. Raises BadInput in one line for anything that cannot be read."""
    level = asked_level(args)
    if not args.json:
        say_what_is_read(args.runs)
    # Not at the top: the help and the first line come without the second that these take.
    from harness.analyse.show.aggregate import write
    from harness.analyse.show.pages import terminal

    document = asked_document(args, level)
    out = args.out or (None if args.json else args.runs)

    def written() -> list[Path]:
        return [] if out is None else write(document, out, figures=not args.no_figures)

    try:
        if args.json:
            json.dump(document, sys.stdout, indent=1, allow_nan=False)
            print()
        else:
            print(f"\n{terminal(document)}\n", flush=True)  # figures take longer than all else
    except BrokenPipeError:  # nobody reads on, as in `| head`
        written()
        raise
    for path in written():
        if not args.json:
            print(f"wrote {path}")
    return 0
