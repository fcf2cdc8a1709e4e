"""`harness sync`: upload finished runs to W&B from their records."""

import argparse
from pathlib import Path
from typing import Any

from harness.measure.config.tracking import tags_of
from harness.measure.machine.output import make_lasting
from harness.measure.mirror.journal import journal_path, merged_rows
from harness.measure.mirror.sync import run_options, upload_run
from harness.measure.mirror.wandb_process import credentials_present
from harness.record.errors import BadInput
from harness.record.folders.folder import find_run_folders, is_finished, read_run
from harness.record.words import several


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.add_argument("folders", nargs="+", type=Path, help="run folders, or folders that hold some")
    parser.add_argument("--project", help="W&B project (default: the one in the run's config)")
    parser.add_argument("--entity", help="W&B team or user (default: the one in the run's config)")
    parser.add_argument("--group", help="group of the runs (default: the one in the run's config)")
    parser.add_argument("--tags", help="comma-separated, in place of the run's own; '' for none")
    parser.add_argument("--dir", type=Path, default=Path(), help="folder that holds wandb/ (default: here)")
    parser.add_argument("--dry-run", action="store_true", help="only say what would be uploaded")


def main(args: argparse.Namespace) -> int:
    """Upload each finished run below the folders; raises BadInput without a key, HarnessError when W&B refuses."""
    folders = [folder for root in args.folders for folder in find_run_folders(root)]
    finished = [folder for folder in folders if is_finished(folder)]
    if not finished:
        raise BadInput(f"{args.folders[0]}: no finished run to upload; runs are uploaded once they are sealed")
    if not args.dry_run and not credentials_present():
        raise BadInput("no W&B key found; run `wandb login` or set WANDB_API_KEY, then sync again")
    given: dict[str, Any] = {
        name: getattr(args, name) for name in ("project", "entity", "group") if getattr(args, name)
    }
    if args.tags is not None:
        given["tags"] = tags_of(args.tags)
    if not args.dry_run:
        make_lasting()  # who reads the first lines alone stops no upload
    for folder in finished:
        run = read_run(folder)
        options = run_options(run, args.dir, given)
        live = journal_path(args.dir, run.summary["run_id"])
        rows = len(merged_rows(live))
        print(
            f"{folder}: {several(len(run.curve), 'evaluation')}, {several(rows, 'journal row')} -> {options['project']}"
        )
        if not args.dry_run:
            upload_run(run, options, live)
    if skipped := len(folders) - len(finished):
        print(f"{skipped} unfinished, left to the next sync")
    return 0
