"""A run folder on disk: config.yaml, provenance.json, curve.jsonl and run.json, which is written last.

The presence of run.json means finished. Its `sha256` covers the other three files and its `self_sha256` covers
itself, so that a hand-edited record is noticed.
"""

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.record.checked import path_name, published_date
from harness.record.curve import Evaluation, parse_rows
from harness.record.errors import BadInput, RecordError
from harness.record.files import sha256_of, write_atomic
from harness.record.protocol import READABLE_PROTOCOLS, digest
from harness.record.target import Target

CONFIG, PROVENANCE, CURVE, RUN = "config.yaml", "provenance.json", "curve.jsonl", "run.json"
STATE, CHECKPOINT, JOURNAL, LOCK = "state.json", "checkpoint.pt", "journal.bin", "lock"
TRANSIENT = (STATE, CHECKPOINT, JOURNAL)

OUTCOMES = ("reached", "budget_exhausted", "diverged", "out_of_memory", "interrupted")

RUN_KEYS = frozenset(
    # identity
    ("protocol_version", "kind", "run_id", "model", "title", "published", "fidelity", "recipe", "seed")
    # what was asked
    + ("dataset", "target", "planned_epochs", "evaluations_per_epoch", "batch_size")
    # what happened
    + ("outcome", "bill", "totals", "diverged_at_step", "hardware")
    # seals
    + ("sha256", "self_sha256")
)


@dataclass(frozen=True)
class Run:
    """A finished run, read back. `summary` is run.json; see run.json.md for each key."""

    path: Path
    summary: dict[str, Any]
    curve: list[Evaluation]

    @property
    def model(self) -> str:
        """The architecture's name in the zoo."""
        return str(self.summary["model"])

    @property
    def outcome(self) -> str:
        """One of `OUTCOMES`."""
        return str(self.summary["outcome"])

    @property
    def seed(self) -> int:
        """The run's seed."""
        return int(self.summary["seed"])

    @property
    def published(self) -> str:
        """First publication of the architecture, YYYY-MM-DD."""
        return str(self.summary["published"])

    @property
    def target(self) -> Target | None:
        """The level at which the run stopped; None for a full schedule."""
        data = self.summary["target"]
        return None if data is None else Target.from_dict(data)

    @property
    def fingerprint(self) -> str:
        """Identity of the data set, subset included."""
        return str(self.summary["dataset"]["fingerprint"])


def seal(folder: Path, summary: dict[str, Any]) -> None:
    """Write run.json, atomically and last: the record is finished and tamper-evident from here on.

    Raises ValueError where a key is missing.
    """
    sealed = dict(summary)
    sealed["sha256"] = {name: sha256_of(folder / name) for name in (CONFIG, PROVENANCE, CURVE)}
    sealed["self_sha256"] = digest(sealed)
    if missing := RUN_KEYS - sealed.keys():
        raise ValueError(f"summary lacks {sorted(missing)}")
    write_atomic(folder / RUN, json.dumps(sealed, indent=1, allow_nan=False) + "\n")


def is_finished(folder: Path) -> bool:
    """True when the run in `folder` has been sealed."""
    return (folder / RUN).is_file()


def read_summary(folder: Path) -> dict[str, Any]:
    """run.json, checked for syntax, protocol version, keys and its own hash; raises RecordError in one line."""
    path = folder / RUN
    try:
        summary = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise RecordError(f"{folder}: no {RUN}, the run has not finished; resume it or leave it out") from error
    except (OSError, ValueError) as error:
        raise RecordError(f"{path}: truncated or unreadable ({error}); restore the file or run it again") from error
    if not isinstance(summary, dict) or not summary.keys() >= RUN_KEYS:
        missing = sorted(RUN_KEYS - summary.keys()) if isinstance(summary, dict) else ["everything"]
        raise RecordError(f"{path}: not a run record, it lacks {', '.join(missing)}")
    if summary["protocol_version"] not in READABLE_PROTOCOLS:
        raise RecordError(
            f"{path}: protocol version {summary['protocol_version']}, this harness reads "
            f"{' and '.join(map(str, READABLE_PROTOCOLS))}; analyse it with the harness that wrote it"
        )
    claimed = summary["self_sha256"]
    if digest({k: v for k, v in summary.items() if k != "self_sha256"}) != claimed:
        raise RecordError(f"{path}: hash mismatch, edited after the run; restore the original or run it again")
    if summary["outcome"] not in OUTCOMES:
        raise RecordError(f"{path}: unknown outcome {summary['outcome']!r}")
    try:
        _check_names(summary)
    except BadInput as error:
        raise RecordError(f"{path}: {error}; correct it where the record was made") from error
    return summary


def _check_names(summary: dict[str, Any]) -> None:
    """Raise BadInput where a name would choose a path, or the publication date is none."""
    names = {"model": summary["model"], "run_id": summary["run_id"]}
    if "name" in summary["dataset"]:  # what else a record lacks, `harness check` says
        names["dataset.name"] = summary["dataset"]["name"]
    for what, name in names.items():
        if path_name(name, what) != name:
            raise BadInput(f"{what} is {name!r}: a record's name has no slash")
    published_date(summary["published"], "published")


def read_sealed(folder: Path, summary: dict[str, Any]) -> dict[str, bytes]:
    """The three files that run.json seals, by name, read once with their hashes verified; raises RecordError."""
    files = {}
    for name, claimed in summary["sha256"].items():
        path = folder / name
        try:
            files[name] = path.read_bytes()
        except OSError as error:
            raise RecordError(f"{path}: missing or unreadable; restore it or run it again") from error
        if hashlib.sha256(files[name]).hexdigest() != claimed:
            raise RecordError(f"{path}: hash mismatch, edited after the run; restore the original or run it again")
    return files


def read_run(folder: Path) -> Run:
    """A finished run with all its hashes verified; raises RecordError in one line."""
    summary = read_summary(folder)
    files = read_sealed(folder, summary)
    return Run(folder, summary, parse_rows(files[CURVE].decode(), folder / CURVE))


def find_run_folders(root: Path) -> list[Path]:
    """All folders below `root` (itself included) that hold a run, finished or not, in a stable order.

    Raises RecordError where `root` is no folder.
    """
    if not root.is_dir():
        raise RecordError(f"{root}: no such folder")
    return sorted(Path(folder) for folder, _, files in os.walk(root) if CONFIG in files or RUN in files)


def read_runs(root: Path) -> list[Run]:
    """Every finished run below `root`; raises RecordError where there is none or one is damaged."""
    runs = [read_run(folder) for folder in find_run_folders(root) if is_finished(folder)]
    if not runs:
        raise RecordError(f"{root}: no finished run in it; start one with `harness train`")
    return runs
