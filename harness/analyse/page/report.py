"""`harness report`: one self-contained HTML page of a folder of records, to read, to attach to a paper, to argue with.

Everything on it comes from `aggregate.build`, the document that also makes the table and the figures: this page draws
and words, it computes nothing.
"""

import argparse
from pathlib import Path

from harness.analyse.show.aggregate import build
from harness.analyse.show.arguments import add_records, add_trend, asked_level
from harness.record.files import write_atomic

SIZE_LIMIT_BYTES = 6_000_000
"""What can still be attached to a mail or a submission; plotly's own script is 4.8 MB of it."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    add_records(parser)
    add_trend(parser)
    parser.add_argument("--out", type=Path, default=Path("report.html"), metavar="FILE", help="default: report.html")


def main(args: argparse.Namespace) -> int:
    """Build the document and write the page. Raises BadInput in one line for anything that cannot be read."""
    from harness.analyse.page.page import page
    from harness.analyse.page.sources import read_sources

    level = asked_level(args)
    document = build(args.runs, level, unit=args.unit, draws=args.draws, seed=args.seed, recipe=args.recipe)
    html = page(document, read_sources(args.runs))
    args.out.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(args.out, html)
    print(f"wrote {args.out} ({len(html.encode()) / 1e6:.1f} MB, opens without a network)")
    return 0
