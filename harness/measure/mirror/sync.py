"""`harness sync`: upload finished runs to W&B from their records, whatever became of the mirror while they ran."""

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import yaml

from harness.measure.mirror.journal import begin_journal, closing_summary, journal_path, merged_rows
from harness.measure.mirror.wandb_process import credentials_present, read_head, upload
from harness.paths import CONF
from harness.record.errors import BadInput, HarnessError
from harness.record.folder import CONFIG, Run, find_run_folders, is_finished, read_run

DEFAULTS = CONF / "tracking" / "wandb.yaml"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.add_argument("folders", nargs="+", type=Path, help="run folders, or folders that hold some")
    parser.add_argument("--project", help="W&B project (default: the one in the run's config)")
    parser.add_argument("--entity", help="W&B team or user (default: the one in the run's config)")
    parser.add_argument("--group", help="group of the runs (default: the one in the run's config)")
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
    for folder in finished:
        run = read_run(folder)
        options = run_options(run, args)
        journal = merged_rows(journal_path(args.dir, run.summary["run_id"]))
        print(f"{folder}: {len(run.curve)} evaluations, {len(journal)} journal rows -> {options['project']}")
        if not args.dry_run:
            _upload(run, options, journal_path(args.dir, run.summary["run_id"]))
    if skipped := len(folders) - len(finished):
        print(f"{skipped} unfinished, left to the next sync")
    return 0


def run_options(run: Run, args: argparse.Namespace) -> dict[str, Any]:
    """The tracking options of a run: its journal's where it was tracked, else the defaults, then the command line."""
    journal = journal_path(args.dir, run.summary["run_id"])
    if journal.exists():
        own = read_head(journal)["options"]
    else:
        own = yaml.safe_load(DEFAULTS.read_text(encoding="utf-8"))
        own["group"] = f"{run.summary['dataset']['name']}-{run.summary['recipe']}"
        own["run_name"] = f"{run.model}-seed{run.seed}"
    given = {name: getattr(args, name) for name in ("project", "entity", "group") if getattr(args, name)}
    return {**own, **given, "dir": str(args.dir)}


def _upload(run: Run, options: dict[str, Any], live_journal: Path) -> None:
    """Rebuild the journal from the record (evaluations) and from what the live one kept (metrics between them)."""
    config = yaml.safe_load((run.path / CONFIG).read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "journal.jsonl"
        if live_journal.exists():
            path.write_bytes(live_journal.read_bytes())
        until = max((e.images for e in run.curve), default=0)
        begin_journal(
            path, run_id=run.summary["run_id"], options=options, config=config, evaluations=run.curve, until=until
        )
        with open(path, "a", encoding="utf-8") as file:
            finish = {"finish": closing_summary(run.summary, run.curve), "folder": str(run.path.resolve())}
            file.write(json.dumps(finish) + "\n")
        try:
            upload(path)
        except Exception as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise HarnessError(f"{run.path}: W&B did not take the run ({reason}); sync again later") from error
