"""What verbs print: at most 100 columns, aligned, and plain text in a pipe."""

import re
from pathlib import Path

import pytest

from harness import cli
from harness.analyse.show.table import TERMINAL_COLUMNS, Table
from tests.analyse.synthetic import Made, curve_reaching, day, ladder, write_run, write_runs


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Long names, a miss, several seeds."""
    root = write_runs(tmp_path_factory.mktemp("terminal"), ladder())
    name = "alexnet_as_published_two_groups_lrn_a_rather_long_name"
    title = "AlexNet as published (two groups, LRN), a rather long title"
    for seed in range(2):
        write_run(root, Made(name, curve_reaching(9), day(3), seed, title=title))
        write_run(root, Made("missed", [0.1] * 4, day(5), seed, outcome="budget_exhausted"))
    return root


@pytest.mark.parametrize(
    "words",
    [
        ["replay"],
        ["count", "shufflenet_v2_x1_0", "squeezenet1_1"],
        ["status", "RUNS"],
        ["aggregate", "RUNS", "--out", "OUT", "--draws", "50", "--no-figures"],
    ],
    ids=lambda words: words[0],
)
def test_tables_fit_and_are_plain_in_a_pipe(
    words: list[str], runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = {"RUNS": str(runs), "OUT": str(tmp_path)}
    assert cli.main([places.get(word, word) for word in words]) == 0
    printed = capsys.readouterr().out
    lines = [line for line in printed.splitlines() if not line.startswith("wrote ")]
    assert len(lines) > 3
    assert max(len(line) for line in lines) <= TERMINAL_COLUMNS
    assert "\x1b" not in printed


def test_a_terminal_table_breaks_words_and_never_numbers() -> None:
    rows = [["a name of several words " * 4, "1234567890 1234567890", "[0.0606, 0.0658]"], ["b", "1", "2"]]
    text = Table.of(["name", "a long heading over a number", "x"], rows).terminal()
    assert max(len(line) for line in text.splitlines()) <= TERMINAL_COLUMNS
    assert "1234567890 1234567890  [0.0606, 0.0658]" in text
    assert re.search(r"^b +1 +2$", text, flags=re.MULTILINE)
