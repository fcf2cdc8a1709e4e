"""The forecast: epochs from what was measured or published, cost from the exact bill, and what is missing."""

import json
from pathlib import Path

import pytest

import models
from harness import cli
from harness.measure import plan
from harness.measure.config import compose
from harness.measure.flops import bill
from harness.measure.plan import PEAK_FLOPS_PER_SECOND, forecast, missing
from harness.record.errors import BadInput
from harness.record.units import macs_to_flops

WORDS = ["data=fake", "model=squeezenet1_1", "threads=1", "device=cpu"]


def test_the_whole_plan_costs_what_the_run_then_costs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [*WORDS, f"out={tmp_path}", "budget.epochs=2", "target=none", "evaluations_per_epoch=2"]
    (row,) = forecast([compose(words)])
    assert (row.epochs, row.basis) == (2.0, "whole plan")
    assert row.forward_macs == bill(models.build("squeezenet1_1", classes=10), resolution=32).forward_macs
    assert row.gpu_hours == pytest.approx(macs_to_flops(row.macs) / (0.2 * PEAK_FLOPS_PER_SECOND["A100"]) / 3600)
    assert cli.main(["train", *words, "--json"]) == 0
    totals = json.loads(capsys.readouterr().out)["totals"]
    assert row.macs == totals["train_forward_macs"] + totals["train_backward_macs"] + totals["evaluation_macs"]
    (again,) = forecast([compose(words)])
    assert (again.basis, again.macs, again.disk_bytes) == ("finished", 0, 0)


def test_measured_epochs_of_another_seed_come_before_the_whole_plan(tmp_path: Path) -> None:
    words = [*WORDS, f"out={tmp_path}", "budget.epochs=3", "target.value=0.05", "evaluations_per_epoch=2"]
    assert cli.main(["train", *words, "seed=3"]) == 0  # a level that the first evaluation passes
    (row,) = forecast([compose([*words, "seed=4"])])
    assert (row.epochs, row.basis) == (0.5, "measured, n = 1")


def test_imagenet_is_forecast_from_published_epochs_where_the_data_is_not() -> None:
    config = compose(["data=imagenet", "model=resnet18", "recipe=paper2020", "target=paper_top5", "data.root=/none"])
    (row,) = forecast([config])
    assert (row.epochs, row.basis) == (15.0, "published")
    assert row.macs > 15 * 1_281_167 * 2.9 * row.forward_macs
    assert any(line.startswith("data: ") and "/none" in line for line in missing([config], "local"))
    with pytest.raises(BadInput):
        forecast([compose(["data=imagenet", "data.root=/none", "data.classes=10"])])


def test_an_unknown_gpu_is_bad_input() -> None:
    with pytest.raises(BadInput, match="A100"):
        forecast([compose([*WORDS, "budget.gpu=T1000"])])


def test_what_is_missing_is_told_and_ends_with_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(plan.shutil, "which", lambda _: None)
    monkeypatch.setattr(plan.importlib.util, "find_spec", lambda _: None)
    words = [*WORDS, f"out={tmp_path}", "seed=0,1", "hydra/launcher=slurm", "tracking=wandb"]
    assert cli.main(["plan", "-m", *words, "--json"]) == 2
    document = json.loads(capsys.readouterr().out)
    assert [line.split(":")[0] for line in document["problems"]] == ["launcher", "launcher", "tracking"]
    assert len(document["runs"]) == 2
    assert list(tmp_path.iterdir()) == []


def test_the_table_fits_and_ends_with_the_sum(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["plan", "-m", *WORDS, f"out={tmp_path}", "seed=0,1", "budget.gpu=H100"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 100
    assert [line.split()[:2] for line in lines[1:-1]] == [["squeezenet1_1", "2"]]
    assert lines[-1].startswith("2 runs: ")
    assert "H100-hours at 20% of peak" in lines[-1]
