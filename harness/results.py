"""`make results`: every committed table and figure, regenerated from results/. Nothing in them is typed by hand."""

import sys
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

from harness.cli import main as harness
from harness.record.files import write_atomic

RESULTS = Path(__file__).resolve().parents[1] / "results"


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
    for runs in sorted(path for path in (RESULTS / "runs").iterdir() if path.is_dir()):
        out = RESULTS / runs.name

        commands.append(["aggregate", str(runs), "--out", str(out)])
    return commands


if __name__ == "__main__":
    sys.exit(main())
