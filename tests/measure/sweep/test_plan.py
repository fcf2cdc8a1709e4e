"""The forecast: epochs from what was measured or published, cost from the exact bill, and what is missing."""

import json
import multiprocessing
import os
import shutil
from pathlib import Path

import pytest
from torch import nn

from harness import cli, models
from harness.measure.bill import cache
from harness.measure.bill.count import Bill, bill
from harness.measure.config.compose import compose
from harness.measure.config.gpus import GPUS
from harness.measure.sweep import forecast as plan
from harness.measure.sweep.forecast import Forecast, forecast, missing
from harness.record.errors import BadInput, UncountedOperator
from harness.record.folders.folder import find_run_folders, is_finished, read_run, read_summary, seal
from harness.record.units import macs_to_flops

WORDS = ["data=fake", "model=squeezenet1_1", "threads=1", "device=cpu"]
LEARNS = ["data=fake", "model=resnet18", "threads=1", "device=cpu", "budget.epochs=4", "evaluations_per_epoch=2"]
LEARNS += ["target.value=0.15", "target.confirm=1"]
"""ResNet-18 is well above chance on the generated images in its third epoch, and stops there."""


def test_the_whole_plan_costs_what_the_run_then_costs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [*WORDS, f"out={tmp_path}", "budget.epochs=2", "target=none", "evaluations_per_epoch=2"]
    (row,) = forecast([compose(words)])
    assert (row.epochs, row.basis) == (2.0, "whole plan")
    assert row.forward_macs == bill(models.build("squeezenet1_1", classes=10), resolution=32).forward_macs
    assert row.gpu_hours == pytest.approx(macs_to_flops(row.macs) / (0.2 * GPUS["A100"].peak_flops_per_second) / 3600)
    assert cli.main(["train", *words, "--json"]) == 0
    totals = json.loads(capsys.readouterr().out)["totals"]
    assert row.macs == totals["train_forward_macs"] + totals["train_backward_macs"] + totals["evaluation_macs"]
    (again,) = forecast([compose(words)])
    assert (again.basis, again.macs, again.disk_bytes) == ("finished", 0, 0)


@pytest.fixture(scope="module")
def seed_3(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with one run that has learned."""
    root = tmp_path_factory.mktemp("learned")
    assert cli.main(["train", *LEARNS, f"out={root}", "seed=3"]) == 0
    return root


@pytest.fixture
def learned(seed_3: Path, tmp_path: Path) -> Path:
    """A copy of it that a test may spoil."""
    return shutil.copytree(seed_3, tmp_path, dirs_exist_ok=True)


def test_measured_epochs_of_another_seed_come_before_the_whole_plan(learned: Path) -> None:
    words = [*LEARNS, f"out={learned}"]
    (folder,) = find_run_folders(learned)
    looks = read_run(folder).curve
    at = next(number for number, look in enumerate(looks, start=1) if look.correct_top1 >= 0.15 * look.total)
    (row,) = forecast([compose([*words, "seed=4"])])
    assert (row.epochs, row.basis) == (at / 2, "measured, n = 1")


def test_every_subset_is_counted_and_billed_for_itself() -> None:
    def rows(*sweep: str) -> list[Forecast]:
        return forecast([compose([*WORDS, "target=none", word]) for word in sweep])

    few, many = rows("data.images_per_class=2", "data.images_per_class=20")
    assert many.forward_macs == few.forward_macs
    evaluations = few.epochs * 90 * bill(models.build("squeezenet1_1", classes=10), resolution=32).evaluation_macs
    assert (many.macs - evaluations) == 10 * (few.macs - evaluations)
    shown = [row.macs for row in rows("data.evaluation_images_per_class=1", "data.evaluation_images_per_class=2")]
    assert shown[0] < shown[1]
    heads = [row.forward_macs for row in rows("data.classes=2", "data.classes=10")]
    assert heads == [bill(models.build("squeezenet1_1", classes=n), resolution=32).forward_macs for n in (2, 10)]
    assert heads[0] < heads[1]


def test_only_runs_alike_are_a_measurement(learned: Path) -> None:
    words = [*LEARNS, f"out={learned}"]

    def basis(*more: str) -> str:
        return forecast([compose([*words, "seed=4", *more])])[0].basis

    others = ["images_per_class=20", "evaluation_images_per_class=5", "classes=9", "resolution=40"]
    for word in [*(f"data.{other}" for other in others), "budget.epochs=2", "recipe.name=other", "model=mobilenet_v2"]:
        assert basis(word) == "whole plan", word
    assert [
        row.basis
        for row in forecast([compose([*words, "data=digits", "target.metric=top1"]), compose([*words, "seed=4"])])
    ] == [
        "whole plan",
        "measured, n = 1",
    ]
    (folder,) = (path for path in find_run_folders(learned) if is_finished(path))
    summary = {key: value for key, value in read_summary(folder).items() if key != "self_sha256"}
    for change in ({"kind": "search"}, {"kind": "imported"}, {"outcome": "budget_exhausted"}):
        seal(folder, summary | change)
        assert read_run(folder).summary.items() >= change.items()
        assert basis() == "whole plan", change
    seal(folder, summary)
    assert basis() == "measured, n = 1"


@pytest.fixture
def counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file with a line for every network that is counted, by the process that counts it; nothing is kept before."""
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(cache.os, "sched_getaffinity", lambda _: {0, 1})

    def told(network: nn.Module, *, resolution: int) -> Bill:
        with (tmp_path / "counted").open("a") as file:
            print(os.getpid(), file=file)
        return bill(network, resolution=resolution)

    monkeypatch.setattr(cache, "bill", told)
    return tmp_path / "counted"


TWO = ["squeezenet1_1", "shufflenet_v2_x1_0"]


def forward_macs() -> list[int]:
    return [row.forward_macs for row in forecast([compose([*WORDS, "target=none", f"model={name}"]) for name in TWO])]


def test_networks_are_counted_at_once_in_other_processes(counted: Path) -> None:
    found = forward_macs()
    assert found == [bill(models.build(name, classes=10), resolution=32).forward_macs for name in TWO]
    processes = counted.read_text().split()
    assert len(processes) == 2
    assert str(os.getpid()) not in processes
    assert forward_macs() == found
    assert counted.read_text().split() == processes  # all are kept


@pytest.mark.parametrize("begun", [0, 1])
def test_where_no_process_can_be_started_they_are_counted_here(
    begun: int, counted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left, fork = [os.fork] * begun, os.fork

    def refuse() -> int:
        if left:
            left.pop()
            return fork()
        raise OSError("no room for a process")

    monkeypatch.setattr(os, "fork", refuse)
    assert forward_macs()
    assert counted.read_text().split().count(str(os.getpid())) == 2 - begun
    assert multiprocessing.active_children() == []


def test_what_fails_in_another_process_is_told_by_this_one(counted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(network: nn.Module, *, resolution: int) -> Bill:
        raise UncountedOperator(f"not at {resolution} pixels, says process {os.getpid()}")

    monkeypatch.setattr(cache, "bill", refuse)
    with pytest.raises(UncountedOperator, match=f"not at 32 pixels, says process {os.getpid()}"):
        forward_macs()


def test_every_place_of_the_data_is_looked_at() -> None:
    roots = ["/none", "/nowhere"]
    lines = missing([compose(["data=imagenet", f"data.root={root}"]) for root in [*roots, *roots]], "local")
    assert [next(root for root in roots if root in line) for line in lines] == roots


def test_imagenet_is_forecast_from_published_epochs_where_the_data_is_not() -> None:
    config = compose(["data=imagenet", "model=resnet18", "recipe=paper2020", "target=paper_top5", "data.root=/none"])
    (row,) = forecast([config])
    assert (row.epochs, row.basis) == (15.0, "published")
    assert row.macs > 15 * 1_281_167 * 2.9 * row.forward_macs
    assert any(line.startswith("data: ") and "/none" in line for line in missing([config], "local"))
    with pytest.raises(BadInput):
        forecast([compose(["data=imagenet", "data.root=/none", "data.classes=10"])])
    with pytest.raises(BadInput):
        forecast([compose(["data=imagenet", "data.root=/none", "data.evaluation_images_per_class=10"])])


def test_what_is_missing_is_told_and_ends_with_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(plan.shutil, "which", lambda _: None)
    monkeypatch.setattr(plan.importlib.util, "find_spec", lambda _: None)
    words = [*WORDS, f"out={tmp_path}", "seed=0,1", "hydra/launcher=slurm", "tracking=wandb"]
    assert cli.main(["plan", "-m", *words, "--json"]) == 2
    document = json.loads(capsys.readouterr().out)
    assert [line.split(":")[0] for line in document["problems"]] == ["launcher", "launcher", "tracking"]
    assert document["problems"][1].endswith("pip install -e '.[slurm]'")  # nothing is published under a name
    assert len(document["runs"]) == 2
    assert list(tmp_path.iterdir()) == []


def test_the_table_fits_and_ends_with_the_sum(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["plan", "-m", *WORDS, f"out={tmp_path}", "seed=0,1", "budget.gpu=H100"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 100
    assert [line.split()[:2] for line in lines[1:-1]] == [["squeezenet1_1", "2"]]
    assert lines[-1].startswith("2 runs: ")
    assert "H100-hours at 20% of peak" in lines[-1]
