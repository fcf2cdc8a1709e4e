"""`harness report`: one self-contained HTML page of a folder of records, to read, to attach to a paper, to argue with.

Everything on it comes from `aggregate.build`, the document that also makes the table and the figures: this page draws
and words, it computes nothing.
"""

import argparse
from pathlib import Path

from harness.analyse.aggregate import UNITS_OFFERED, asked_level, build
from harness.record.files import write_atomic

SIZE_LIMIT_BYTES = 6_000_000
"""What can still be attached to a mail or a submission; plotly's own script is 4.8 MB of it."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.add_argument("runs", type=Path, metavar="DIR", help="folder with run folders below it")
    parser.add_argument("--out", type=Path, default=Path("report.html"), metavar="FILE", help="default: report.html")
    parser.add_argument("--target", type=Path, metavar="FILE", help="judge every run at the level of this target file")
    parser.add_argument("--metric", choices=("top1", "top5"), help="judge every run at --value of this metric")
    parser.add_argument("--value", type=float, metavar="FRACTION", help="the level for --metric, as 0.565")
    parser.add_argument("--recipe", metavar="NAME", help="only runs of this recipe")
    parser.add_argument("--unit", choices=UNITS_OFFERED, default=UNITS_OFFERED[0], help="unit of the trend")
    parser.add_argument("--draws", type=int, default=10_000, metavar="N", help="bootstrap draws (default 10000)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="seed of the bootstrap (default 0)")


def main(args: argparse.Namespace) -> int:
    """Build the document and write the page. Raises BadInput in one line for anything that cannot be read."""
    from harness.analyse.report_page import page
    from harness.analyse.report_sources import read_sources

    level = asked_level(args.target, args.metric, args.value)
    document = build(args.runs, level, unit=args.unit, draws=args.draws, seed=args.seed, recipe=args.recipe)
    html = page(document, read_sources(args.runs))
    args.out.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(args.out, html)
    print(f"wrote {args.out} ({len(html.encode()) / 1e6:.1f} MB, opens without a network)")
    return 0
