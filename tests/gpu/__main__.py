"""Every test of this folder, and what it found, as a table: `python -m tests.gpu`.

Words for pytest may follow, as in `python -m tests.gpu -k pixels` or `-n 8` (side by side). A line is printed as each
test ends, so that a time limit loses only what it cut. Without a GPU the CPU's halves run and the others say why they
do not. The exit code is pytest's.
"""

import sys
from pathlib import Path

import pytest
import torch
from rich.console import Console
from rich.table import Table


class Found:
    """What pytest tells of each test."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, str, float, str]] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep the call of a test, or what kept it from being called."""
        if report.when != "call" and report.outcome == "passed":
            return
        figure = str(dict(report.user_properties).get("figure", ""))
        if report.outcome == "skipped" and isinstance(report.longrepr, tuple):
            figure = report.longrepr[2].removeprefix("Skipped: ")
        elif report.outcome == "failed":
            figure = str(report.longrepr).strip().splitlines()[-1]
        words = report.nodeid.rpartition("::")[2].removeprefix("test_").replace("_", " ")
        self.rows.append((words, report.outcome, report.duration, figure))
        print(f"\n{report.outcome} after {report.duration:.1f} s: {words}  {figure}", file=sys.stderr, flush=True)


def table(rows: list[tuple[str, str, float, str]], title: str) -> Table:
    """One row a test."""
    shown = Table("test", "outcome", "seconds", "figure", title=title)
    for words, outcome, seconds, figure in rows:
        shown.add_row(words, outcome, f"{seconds:.1f}", figure)
    return shown


def main(words: list[str]) -> int:
    """Run them; the exit code is pytest's."""
    found = Found()
    code = pytest.main([str(Path(__file__).parent), "-q", "--no-header", *words], plugins=[found])
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU: the CPU's halves at toy size"
    Console(markup=False, width=130).print(table(found.rows, f"{device}, torch {torch.__version__}"))
    return int(code)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
