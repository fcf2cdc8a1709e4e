"""`make results` takes what is a ladder, and passes over what ordinary use leaves beside it."""

from pathlib import Path

import pytest

from harness import results
from tests.analyse.synthetic import Made, curve_reaching, write_run


def test_sweep_notes_and_full_schedules_are_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = tmp_path / "runs"
    write_run(runs / "measured", Made("alexnet", curve_reaching(5)))
    write_run(runs / "digits", Made("alexnet", [0.3], outcome="budget_exhausted", target=None))
    (runs / ".slurm").mkdir()
    monkeypatch.setattr(results, "RESULTS", tmp_path)
    folders = [command[1] for command in results.steps() if command[0] == "aggregate"]
    assert folders == [str(runs / "measured")]
