"""What was submitted to Slurm, kept beside the records, and what Slurm says of it now. Needs squeue, never sacct."""

import json
import os
import re
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

from harness.record.errors import RecordError
from harness.record.files import cannot_write, held, write_atomic

SUBMISSIONS = ".slurm"
"""Folder below the root of the run folders: a manifest per array, and the jobs' logs."""

LOGS = ".local"
"""Folder below the root of the run folders: a log per run that ran beside others on this machine."""

CLIENT_SECONDS = 60


@dataclass(frozen=True)
class Submission:
    """One run handed to Slurm. job: `<array>_<element>` or a plain id; folder: its run folder, relative to the root."""

    job: str
    folder: str
    model: str
    seed: int
    overrides: list[str]


@contextmanager
def alone_at(root: Path) -> Iterator[None]:
    """Hold the submissions below `root`, which is made where it is missing; wait while another process holds them.

    The folder itself is held, because another user may hold that too; where nothing can be, the lock of each run keeps
    a second job from it. Raises HarnessError where the folder cannot be made.
    """
    folder = root / SUBMISSIONS
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(folder, error) from error
    with held(os.open(folder, os.O_RDONLY)):
        yield


def job_id(environment: Mapping[str, str]) -> str | None:
    """The job this process is in, in Slurm's words: `<array>_<element>`, or a plain id, or None outside Slurm.

    Never SLURM_JOB_ID alone for an array: the last element's equals the array's, and requeueing that starts all again.
    """
    array, element = environment.get("SLURM_ARRAY_JOB_ID"), environment.get("SLURM_ARRAY_TASK_ID")
    if array and element:
        return f"{array}_{element}"
    return environment.get("SLURM_JOB_ID")


def write_manifest(root: Path, submissions: list[Submission]) -> Path:
    """Remember an array's runs in a file named after it; returns the file."""
    array = submissions[0].job.partition("_")[0]
    path = root / SUBMISSIONS / f"{array}.json"
    write_atomic(path, json.dumps([asdict(one) for one in submissions], indent=1) + "\n")
    return path


def read_manifests(root: Path) -> dict[str, Submission]:
    """The latest submission of every run below `root`, by its folder; empty where nothing was submitted.

    Raises RecordError for a file that holds no submissions.
    """
    latest: dict[str, Submission] = {}
    for path in sorted((root / SUBMISSIONS).glob("*.json"), key=lambda path: (path.stat().st_mtime_ns, path.name)):
        try:
            latest.update({row["folder"]: Submission(**row) for row in json.loads(path.read_text(encoding="utf-8"))})
        except (ValueError, TypeError, KeyError) as error:
            raise RecordError(f"{path}: not a list of submissions ({error}); remove it") from error
    return latest


class Queued(NamedTuple):
    """An unfinished job in Slurm's words. reason: why it waits, e.g. "Resources"; empty where it does not."""

    state: str
    reason: str = ""

    @property
    def never_starts(self) -> bool:
        """True for a job that waits for one which has failed: it stays in the queue until somebody removes it."""
        return self.reason == "DependencyNeverSatisfied"


def submitters(root: Path) -> set[int]:
    """The users whose submissions lie below `root`, by number: several may work on one folder."""
    return {path.stat().st_uid for path in (root / SUBMISSIONS).glob("*.json")}


def queue(users: Iterable[int] = ()) -> dict[str, Queued] | None:
    """Every unfinished job of this user and of `users`, by id, e.g. {"12_3": ...}; None where squeue cannot tell."""
    who = ",".join(str(user) for user in sorted({os.getuid(), *users}))
    command = ["squeue", "--noheader", "--array", "--user", who, "--format", "%i %T %r"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=CLIENT_SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return None
    if done.returncode != 0:
        return None
    rows = [line.split(maxsplit=2) for line in done.stdout.splitlines()]
    return {row[0]: Queued(row[1], "" if row[2:] in ([], ["None"]) else row[2]) for row in rows if len(row) > 1}


_TELLING = re.compile(
    r"harness: "  # our own one line
    r"|[\w.]*(Error|Exception|Interrupt|Exit)\b"  # the end of a traceback
    r"|slurmstepd: error: (\*\*\*|Detected .*oom)"
    r"|srun: error: .*(Killed|Segmentation fault|Aborted|Bus error|Out Of Memory)"
)


def telling_line(*logs: Path) -> str | None:
    """The last line of these logs that says why a run ended, or None; progress and srun's echoes do not."""
    told = [line for log in logs for line in _tail(log) if _TELLING.match(line)]
    return told[-1] if told else None


def logs_of(root: Path, job: str) -> list[Path]:
    """The error logs of a Slurm job, one a process."""
    return sorted((root / SUBMISSIONS).glob(f"{job}_*_log.err"))


def _tail(path: Path, size_bytes: int = 8192) -> Iterable[str]:
    with open(path, "rb") as file:
        file.seek(max(0, path.stat().st_size - size_bytes))
        return [line.strip() for line in file.read().decode(errors="replace").splitlines() if line.strip()]
