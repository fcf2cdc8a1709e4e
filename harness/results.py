"""`make results`: every committed table and figure, regenerated from results/. Nothing in them is typed by hand."""

import sys
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

from harness.cli import main as harness
from harness.paths import ROOT
from harness.record.files import write_atomic
from harness.record.folder import RUN, read_summary

RESULTS = ROOT / "results"


def main() -> int:
    """Run every generator in order; the exit code of the first that fails, else 0."""
    for arguments in steps():
        if code := harness(arguments):
            return code
    replayed = StringIO()
    with redirect_stdout(replayed):
        code = harness(["replay", "--json"])
    write_atomic(RESULTS / "published" / "replay.json", replayed.getvalue())
    return code or harness(["readme"])


def steps() -> list[list[str]]:
    """Command lines, in order: bills first, then the analysis of each measured data set."""
    commands = [["count", "--compare", "--out", str(RESULTS / "counting")]]
    for runs in sorted(path for path in (RESULTS / "runs").iterdir() if _has_ladder(path)):
        commands.append(["aggregate", str(runs), "--out", str(RESULTS / runs.name)])
    return commands


def _has_ladder(folder: Path) -> bool:
    """Whether a run until a target has finished there; not so a sweep's own notes, or one full schedule."""
    finished = (run.parent for run in folder.rglob(RUN))
    return any(read_summary(run)["target"] is not None for run in finished)


if __name__ == "__main__":
    sys.exit(main())
