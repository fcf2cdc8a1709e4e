"""`harness report`: one self-contained HTML page of a folder of records, to read and to attach."""

import argparse
from pathlib import Path

from harness.verbs.arguments import add_choice, add_records, asked_document, asked_level, say_what_is_read


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    add_records(parser)
    add_choice(parser)
    parser.add_argument("--out", type=Path, default=Path("report.html"), metavar="FILE", help="default: report.html")


def main(args: argparse.Namespace) -> int:
    """Write the page; return 0. Raises BadInput in one line for anything that cannot be read."""
    level = asked_level(args)
    say_what_is_read(args.runs)
    from harness.analyse.page.report import write  # not at the top: see aggregate.py

    size = write(asked_document(args, level), args.runs, args.out)
    print(f"wrote {args.out} ({size / 1e6:.1f} MB, opens without a network)")
    return 0
