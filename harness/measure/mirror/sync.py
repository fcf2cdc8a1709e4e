"""Finished runs go to W&B from their records, whatever became of the mirror while they ran."""

import json
import tempfile
from pathlib import Path
from typing import Any

import yaml

from harness.measure.config.tracking import from_environment, refuse_what_wandb_would
from harness.measure.mirror.journal import begin_journal, closing_summary, journal_path
from harness.measure.mirror.wandb_process import read_head, upload
from harness.paths import CONF
from harness.record.errors import HarnessError
from harness.record.folders.folder import CONFIG, Run

DEFAULTS = CONF / "tracking" / "wandb.yaml"


def default_options() -> dict[str, Any]:
    """The options of conf/tracking/wandb.yaml as they stand there, what depends on a run not filled in."""
    options: dict[str, Any] = yaml.safe_load(DEFAULTS.read_text(encoding="utf-8"))
    return options


def run_options(run: Run, root: Path, given: dict[str, Any]) -> dict[str, Any]:
    """The tracking options of a run: its journal's below `root`, or the defaults; what is `given` wins over both.

    Raises BadInput for what W&B would refuse.
    """
    journal = journal_path(root, run.summary["run_id"])
    if journal.exists():
        own = read_head(journal)["options"]
    else:
        own = default_options()
        data, recipe = run.summary["dataset"]["name"], run.summary["recipe"]
        own["group"] = f"{data}-{recipe}"
        own["tags"] = [data, recipe, run.model]
        own["run_name"] = f"{run.model}-seed{run.seed}"
        own |= from_environment()
    options = {**own, **given, "dir": str(root)}
    refuse_what_wandb_would(options, remedy="--")
    return options


def upload_run(run: Run, options: dict[str, Any], live_journal: Path) -> None:
    """Rebuild the journal from the record (evaluations) and from what the live one kept (metrics between them).

    Raises HarnessError where W&B refuses.
    """
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
