"""The page of the coverage bench is what its committed document says."""

import json
from pathlib import Path

from tests.bench import coverage_bench


def test_the_committed_page_is_made_of_the_committed_numbers() -> None:
    document = json.loads((coverage_bench.OUT / "coverage.json").read_text())
    rows = [(row["case"], row["runs_each"]) for row in document["coverage"]]
    assert rows == [(case, seeds) for case in coverage_bench.CASES for seeds in coverage_bench.SEEDS]
    assert document["repetitions"] >= 2_000
    assert (coverage_bench.OUT / "TABLE.md").read_text() == coverage_bench.page(document)


def test_the_bench_writes_both_files(tmp_path: Path) -> None:
    document = coverage_bench.run(2, tmp_path / "new" / "out")
    assert json.loads((tmp_path / "new" / "out" / "coverage.json").read_text()) == document
    assert "three runs in ten miss" in (tmp_path / "new" / "out" / "TABLE.md").read_text()
