"""`harness status`: every run of a sweep, finished or not, once or until nothing runs or waits any more."""

import argparse
import json
import time
from dataclasses import asdict
from pathlib import Path

from rich.console import Console

from harness.record.errors import EXIT_DONE
from harness.record.folders.survey import survey
from harness.verbs.view import View, table, whole


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.add_argument("dir", nargs="?", default="results/runs", metavar="DIR", help="root of the run folders")
    parser.add_argument("--watch", action="store_true", help="go on showing it while runs wait or go on")
    parser.add_argument("--json", action="store_true", help="print the runs as one JSON document")


def main(args: argparse.Namespace) -> int:
    """Print a line for every run below DIR."""
    root = Path(args.dir)
    runs = survey(root)
    if args.json:
        print(json.dumps([asdict(run) for run in runs], indent=1))
        return EXIT_DONE
    if args.watch:
        with View(Console(highlight=False)) as view:
            view.show(runs)
            while any(run.state in ("running", "waiting") for run in runs):
                time.sleep(view.refresh_seconds)
                runs = survey(root)
                view.show(runs)
    else:
        Console(width=100, highlight=False, markup=False).print(table(runs))
    print(whole(runs))
    return EXIT_DONE
