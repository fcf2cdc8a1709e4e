"""`harness check`: the glue between the audit, which needs no torch, and the recount of the MACs, which does."""

import argparse
import sys
from pathlib import Path

from harness.analyse.evidence.check import Recount, check_paths
from harness.record.errors import EXIT_DONE, EXIT_ERROR
from harness.record.words import several


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.add_argument("paths", type=Path, nargs="+", metavar="PATH", help="run folders, or folders with runs below")
    parser.add_argument(
        "--curves", type=Path, metavar="DIR", help="files that records were imported from: are they the same bytes?"
    )
    parser.add_argument("--no-recount", action="store_true", help="do not count the MACs again (needs no torch)")


def main(args: argparse.Namespace) -> int:
    """One line per defect on stdout; exit code 1 with any, 0 with none."""
    recount, how = (None, "MACs not counted again (--no-recount)") if args.no_recount else find_recount()
    audit = check_paths(args.paths, recount, args.curves)
    for defect in audit.defects:
        print(defect)
    rest = f", {audit.unfinished} unfinished left out" if audit.unfinished else ""
    print(f"{several(audit.finished, 'record')}, {several(len(audit.defects), 'defect')}{rest}; {how}", file=sys.stderr)
    if audit.recomputing:
        print(
            f"{several(audit.recomputing, 'record')} with gradient checkpoints: what they compute again stands in "
            "bill.recomputed_macs of run.json and is no part of training's MACs",
            file=sys.stderr,
        )
    return EXIT_ERROR if audit.defects else EXIT_DONE


def find_recount() -> tuple[Recount | None, str]:
    """The counter of the measuring room where its packages can be imported, and a phrase for what was done."""
    try:
        from harness.measure.bill.recount import recount
    except ImportError as error:
        return None, f"MACs not counted again: {error.name or error} cannot be imported here"
    return recount, "MACs counted again"
