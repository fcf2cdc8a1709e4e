import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from harness import models
from harness.measure import run as run_module
from harness.measure.bill.count import bill
from harness.measure.config.compose import compose
from harness.measure.config.schema import Config
from harness.measure.config.words import portable
from harness.measure.data.protocol import steps_per_epoch
from harness.measure.machine import device
from harness.measure.machine.signals import StopFlag
from harness.measure.run import run
from harness.measure.stages.ending import Result
from harness.measure.stages.fits import check_fits
from harness.measure.stages.opening import say_remarks
from harness.measure.training import loop as train
from harness.record.curve import TIMING_FIELDS
from harness.record.errors import BadInput, OutOfMemory
from harness.record.folders.folder import STATE, read_run
from harness.record.folders.survey import survey
from tests.measure.conftest import Tiny

MakeConfig = Callable[..., Config]


def measure(config: Config, stop: StopFlag | None = None) -> Result:
    return run(config, overrides=["data=fake", "out=/somewhere", "data.root=/data"], stop=stop or StopFlag())


def untimed(folder: Path) -> list[dict[str, object]]:
    rows = [json.loads(line) for line in (folder / "curve.jsonl").read_text().splitlines()]
    return [{k: v for k, v in row.items() if k not in TIMING_FIELDS} for row in rows]


def test_a_full_schedule_ends_with_its_budget_and_a_complete_record(tiny_config: MakeConfig) -> None:
    config = tiny_config()
    result = measure(config)
    assert (result.outcome, result.exit_code) == ("budget_exhausted", 0)
    made = read_run(result.folder)
    assert [e.epoch for e in made.curve] == [1.0, 2.0]
    assert made.summary["totals"]["images"] == 2 * 240
    assert made.summary["hardware"]["precision"] == "fp32"
    provenance = json.loads((result.folder / "provenance.json").read_text())
    assert provenance["overrides"] == ["data=fake"]
    assert len(provenance["segments"]) == 1


def test_the_ledger_is_images_times_the_bill(tiny_config: MakeConfig) -> None:
    config = tiny_config("recipe.batch_size=50", "evaluations_per_epoch=2")
    made = read_run(measure(config).folder)
    per_image = bill(models.build("tiny", classes=10), resolution=16)
    last = made.curve[-1]
    assert len(made.curve) == 4
    assert last.images == 2 * 240  # four batches of 50 and one of 40
    assert last.train_forward_macs == last.images * per_image.forward_macs
    assert last.train_backward_macs == last.images * per_image.backward_macs
    assert last.evaluation_macs == 4 * last.total * per_image.evaluation_macs
    assert last.lost_macs == 0


def test_one_seed_gives_one_curve_and_another_seed_another(tiny_config: MakeConfig, tmp_path: Path) -> None:
    augmented = ("recipe.train_transform=random_crop", "recipe.flip=true", "recipe.mixup_alpha=0.2")
    first = measure(tiny_config(*augmented)).folder
    second = measure(tiny_config(*augmented, f"out={tmp_path / 'again'}")).folder
    assert first != second
    assert first.name == second.name
    assert untimed(first) == untimed(second)
    assert untimed(measure(tiny_config(*augmented, "seed=1")).folder) != untimed(first)


def test_it_stops_at_the_first_evaluation_at_the_target(tiny_config: MakeConfig) -> None:
    level = (
        "target.metric=top1",
        "target.value=0.5",
        "target.confirm=1",
        "budget.epochs=30",
        "evaluations_per_epoch=2",
    )
    made = read_run(measure(tiny_config(*level)).folder)
    assert made.outcome == "reached"
    accuracies = [e.correct_top1 / e.total for e in made.curve]
    assert accuracies[-1] >= 0.5
    assert all(accuracy < 0.5 for accuracy in accuracies[:-1])


def test_a_finished_run_is_not_done_again(tiny_config: MakeConfig, capsys: pytest.CaptureFixture[str]) -> None:
    folder = measure(tiny_config()).folder
    before = {p.name: p.stat().st_mtime_ns for p in folder.iterdir()}
    assert measure(tiny_config()).outcome == "budget_exhausted"
    assert "finished already" in capsys.readouterr().err
    assert {p.name: p.stat().st_mtime_ns for p in folder.iterdir()} == before


def test_a_loss_that_is_no_number_ends_the_run_with_its_step(tiny_config: MakeConfig) -> None:
    result = measure(tiny_config("recipe.lr=1.0e+30", "recipe.schedule=constant"))
    assert (result.outcome, result.exit_code) == ("diverged", 3)
    made = read_run(result.folder)
    assert made.summary["diverged_at_step"] >= 2
    assert made.summary["totals"]["step"] == made.summary["diverged_at_step"]


def test_an_interrupted_run_resumes_to_the_same_curve(tiny_config: MakeConfig, tmp_path: Path) -> None:
    whole = measure(tiny_config(f"out={tmp_path / 'whole'}")).folder
    stop = StopFlag()
    stop.signal_name = "SIGINT"  # as if Ctrl-C had come during the first step
    config = tiny_config("evaluations_per_epoch=1")
    result = measure(config, stop)
    assert (result.outcome, result.exit_code) == ("interrupted", 75)
    assert json.loads((result.folder / STATE).read_text())["state"] == "interrupted"
    assert not (result.folder / "run.json").exists()
    resumed = measure(config)
    assert resumed.outcome == "budget_exhausted"
    assert untimed(resumed.folder) == untimed(whole)
    assert len(json.loads((resumed.folder / "provenance.json").read_text())["segments"]) == 2


@pytest.mark.parametrize("kind", ["sgd", "adamw"])
def test_a_run_that_goes_on_elsewhere_takes_the_kernels_of_its_machine(
    kind: str, tiny_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A checkpoint's state of the optimiser names the kernels that it was made with."""
    words = ["evaluations_per_epoch=1", f"recipe.optimizer={kind}"]
    stop = StopFlag()
    stop.signal_name = "SIGINT"
    measure(tiny_config(*words, "fused_optimizer=false"), stop)
    groups: list[dict[str, Any]] = []
    original = train.optimise_step

    def watched(training: Any, *rest: Any) -> torch.Tensor:
        groups.extend(training.optimizer.param_groups)
        return original(training, *rest)

    monkeypatch.setattr(train, "optimise_step", watched)
    assert measure(tiny_config(*words, "fused_optimizer=true")).outcome == "budget_exhausted"
    assert {group["fused"] for group in groups} == {True}


def test_what_a_crash_lost_stands_on_its_own_line(
    tiny_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = read_run(measure(tiny_config(f"out={tmp_path / 'whole'}")).folder)
    calls = 0

    def dies(*arguments: object) -> torch.Tensor:
        nonlocal calls
        calls += 1
        if calls == 12:  # the fourth step of the second epoch; the checkpoint is that of the first
            raise ValueError("boom")
        return original(*arguments)

    original = train.optimise_step
    with monkeypatch.context() as patch:
        patch.setattr(train, "optimise_step", dies)
        with pytest.raises(ValueError, match="boom"):
            measure(tiny_config())
    resumed = read_run(measure(tiny_config()).folder)
    last, expected = resumed.curve[-1], whole.curve[-1]
    assert last.train_macs == expected.train_macs
    per_step = 32 * (resumed.summary["bill"]["forward_macs"] + resumed.summary["bill"]["weight_gradient_macs"])
    assert last.lost_macs == 3 * (per_step + 32 * resumed.summary["bill"]["input_gradient_macs"])
    assert (last.correct_top1, last.loss) == (expected.correct_top1, expected.loss)


@pytest.mark.parametrize("when", ["checkpoint_minutes=1e-9", "checkpoint_at_evaluations=true"])
def test_what_a_checkpoint_takes_is_on_no_clock(
    tiny_config: MakeConfig, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    now, saves = 0.0, 0

    def save(_: object) -> None:
        nonlocal now, saves
        now, saves = now + 100.0, saves + 1

    monkeypatch.setattr(train, "time", SimpleNamespace(perf_counter=lambda: now, monotonic=time.monotonic))
    monkeypatch.setattr(train.checkpoint, "save", save)
    row = read_run(measure(tiny_config(when)).folder).curve[-1]
    assert saves >= 2
    assert (row.train_seconds, row.eval_seconds) == (0, 0)


def test_checkpoints_can_be_left_out_at_evaluations(tiny_config: MakeConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train.checkpoint, "save", lambda _: pytest.fail("a checkpoint"))
    assert measure(tiny_config("checkpoint_at_evaluations=false")).outcome == "budget_exhausted"


def test_accumulation_and_resolutions_are_billed_as_they_happen(tiny_config: MakeConfig) -> None:
    class Pooled(torch.nn.Module):
        def __init__(self, num_classes: int) -> None:
            super().__init__()
            self.conv = torch.nn.Conv2d(3, 4, 3, padding=1)
            self.head = torch.nn.Linear(4, num_classes)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return self.head(self.conv(images).mean((2, 3)))

    models.ZOO["tiny"] = Pooled  # the fixture's monkeypatch restores it
    schedule = "recipe.resolution_schedule=[{from_epoch: 0, resolution: 16}, {from_epoch: 1, resolution: 24}]"
    config = tiny_config(schedule, "budget.epochs=3", "recipe.accumulation_steps=4", "data.resolution=24")
    last = read_run(measure(config).folder).curve[-1]

    def forward(side: int) -> int:
        return side * side * 27 * 4 + 40

    def weight_gradient(side: int) -> int:
        return forward(side)

    head_input_gradient = 40  # the convolution reads the image, which needs no gradient
    expected_backward = weight_gradient(16) + 2 * weight_gradient(24) + 3 * head_input_gradient
    assert last.train_forward_macs == 240 * (forward(16) + 2 * forward(24))
    assert last.train_backward_macs == 240 * expected_backward


def test_a_level_that_every_network_reaches_is_refused(tiny_config: MakeConfig, tmp_path: Path) -> None:
    """Top-5 of five classes: any five guesses hold the right one."""
    level = ["target.metric=top5", "target.value=0.791"]
    with pytest.raises(BadInput, match=r"target.top5 0\.\d+ says nothing: guessing among 5 classes reaches 1;"):
        measure(tiny_config("data.classes=5", *level))
    assert not (tmp_path / "runs").exists()
    assert measure(tiny_config("data.classes=7", *level)).exit_code == 0


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("recipe.batch_size=1", "raise it"),
        ("evaluations_per_epoch=9", "an epoch has 8 steps"),
        ("data.classes=11", "the data set has 10"),
        ("data.images_per_class=25", "class 0 has 24"),
    ],
)
def test_bad_input_leaves_nothing_behind(tiny_config: MakeConfig, override: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=message):
        measure(tiny_config(override))
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("no more"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"),
    ],
    ids=["torch's", "cuBLAS's"],
)
def test_out_of_memory_leaves_the_run_open(
    error: Exception, tiny_config: MakeConfig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It may be a neighbour's doing: nothing is sealed, `status` says what to do, and the next start trains on."""

    def exhausted(*arguments: object) -> torch.Tensor:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(train, "optimise_step", exhausted)
        with pytest.raises(OutOfMemory, match="start it again and it resumes") as raised:
            measure(tiny_config())
    assert raised.value.exit_code == 1
    (line,) = survey(tmp_path / "runs")
    assert line.state == "failed"
    assert line.note.startswith("out of memory; start it again")
    assert measure(tiny_config()).outcome == "budget_exhausted"


def test_out_of_memory_before_the_first_step_leaves_the_run_open(
    tiny_config: MakeConfig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Another program has the GPU's memory: the network itself does not go in."""

    def exhausted(*arguments: object, **words: object) -> torch.nn.Module:
        raise torch.OutOfMemoryError("no more")

    with monkeypatch.context() as patch:
        patch.setattr(torch.nn.Module, "to", exhausted)
        with pytest.raises(OutOfMemory, match="start it again and it resumes"):
            measure(tiny_config())
    (line,) = survey(tmp_path / "runs")
    assert (line.state, line.note.partition(";")[0], line.seed) == ("failed", "out of memory", 0)
    assert measure(tiny_config()).outcome == "budget_exhausted"


def test_a_kernel_that_is_not_deterministic_is_told_in_one_line(
    tiny_config: MakeConfig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """PyTorch's own error, of an operator that has no such kernel on any device; on a GPU it is AlexNet's pooling."""

    def unordered(*arguments: object) -> torch.Tensor:
        return torch.zeros(2).put_(torch.tensor([0]), torch.tensor([1.0]))

    monkeypatch.setattr(train, "optimise_step", unordered)
    expected = "deterministic=true: there is no such kernel of put_; leave it false, or use device=cpu"
    try:
        with pytest.raises(BadInput) as raised:
            measure(tiny_config("deterministic=true"))
    finally:
        torch.use_deterministic_algorithms(False)
    assert str(raised.value) == expected
    assert [line.note for line in survey(tmp_path / "runs")] == [expected]


def test_synchronised_batchnorm_cannot_be_compiled_over_several_gpus() -> None:
    """Each such layer breaks the graph, and a part that many blocks share is compiled too often (torch 2.15)."""
    asked = replace(compose(["data=fake", "target=none", "sync_batchnorm=true", "compile=true"]), device="cuda")
    data = SimpleNamespace(train_images=2560, evaluation_images=90, classes=10)
    check_fits(asked, data, 1, None)
    check_fits(replace(asked, compile=False), data, 2, None)
    with pytest.raises(BadInput, match="leave one of them off"):
        check_fits(asked, data, 2, None)


def test_a_graph_is_of_one_process() -> None:
    asked = replace(compose(["data=fake", "target=none", "cuda_graph=true"]), device="cuda")
    data = SimpleNamespace(train_images=2560, evaluation_images=90, classes=10)
    check_fits(asked, data, 1, None)
    with pytest.raises(BadInput, match="one process"):
        check_fits(asked, data, 2, None)


def test_a_last_batch_of_fewer_images_than_micro_batches_still_trains(tiny_config: MakeConfig) -> None:
    config = tiny_config("data.images_per_class=5", "recipe.batch_size=16", "recipe.accumulation_steps=8")
    result = measure(config)  # 50 images: batches of 16, 16, 16 and 2
    assert result.outcome == "budget_exhausted"
    assert all(row["loss"] == row["loss"] for row in untimed(result.folder))


def test_only_portable_overrides_go_into_the_record() -> None:
    local = ["++data.root=/home/someone/imagenet", "++out=/scratch/someone", "+tracking.entity=lab", "~tracking"]
    kept = ["model=alexnet", "+experiment=debug", "++recipe.lr=0.1"]
    assert portable([*local, *kept, "target=/home/someone/own.yaml"]) == [*kept, "target=own.yaml"]


@pytest.mark.parametrize(("finished", "words"), [(False, "begun on other data"), (True, "on other data; set another")])
def test_going_on_with_other_data_is_refused(
    tiny_config: MakeConfig, monkeypatch: pytest.MonkeyPatch, finished: bool, words: str
) -> None:
    stop = StopFlag()
    stop.signal_name = None if finished else "SIGTERM"
    measure(tiny_config(), stop)
    original = run_module.build

    def other(*arguments: object) -> object:
        data = original(*arguments)
        data.fingerprint = "0" * 64
        return data

    monkeypatch.setattr(run_module, "build", other)
    with pytest.raises(BadInput, match=words):
        measure(tiny_config())


def test_averaged_weights_clipping_and_adamw_train_too(tiny_config: MakeConfig) -> None:
    extras = (
        "recipe.average=ema",
        "recipe.average_decay=0.9",
        "recipe.gradient_clip_norm=1",
        "recipe.optimizer=adamw",
        "recipe.lr=0.01",
    )
    more = ("recipe.decay_norm_and_bias=false", "recipe.label_smoothing=0.1", "recipe.randaugment=true")
    assert measure(tiny_config(*extras, *more)).outcome == "budget_exhausted"


def test_the_last_partial_batch_counts_unless_batchnorm_would_fail() -> None:
    assert steps_per_epoch(100, 32, 1) == 4
    assert steps_per_epoch(97, 32, 1) == 3
    assert steps_per_epoch(99, 32, 2) == 3
    assert steps_per_epoch(96, 32, 2) == 3


def test_a_batch_larger_than_the_set_is_one_line(tiny_config: MakeConfig) -> None:
    with pytest.raises(BadInput, match=r"recipe\.batch_size=241 is larger than the training set of 240 images"):
        measure(tiny_config("recipe.batch_size=241"))


def test_training_tells_of_a_card_with_another_networks_numbers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The card of SqueezeNet, kept for a network that became another."""
    original = models.ZOO["squeezenet1_1"]
    monkeypatch.setitem(models.ZOO, "squeezenet1_1", models.ZOO["shufflenet_v2_x1_0"])
    words = ["model=squeezenet1_1", "data=fake", "target=none", "budget.epochs=1", f"out={tmp_path}", "threads=1"]
    words += ["data.images_per_class=10"]
    measure(compose(words))
    assert "conf/model/squeezenet1_1.yaml says 1,235,496 params" in capsys.readouterr().err
    monkeypatch.setitem(models.ZOO, "squeezenet1_1", original)
    measure(compose([*words, "seed=1"]))
    assert "correct the card" not in capsys.readouterr().err


@pytest.mark.parametrize(("precision", "fast", "told"), [("bf16", False, 1), ("bf16", True, 0), ("fp32", False, 0)])
def test_training_tells_of_a_precision_that_is_slow_here(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], precision: str, fast: bool, told: int
) -> None:
    """Seven and ten times slower than fp32 (ResNet-50, VGG-11) on a processor with AVX2 alone, without a word."""
    monkeypatch.setattr(device, "has_bf16_kernels", lambda kind: fast)
    say_remarks(compose(["model=resnet18", "data=fake", "target=none", "device=cpu", f"precision={precision}"]))
    assert capsys.readouterr().err.count("no fast bf16 kernels") == told


def test_a_checkpoint_that_no_longer_fits_is_one_line(
    tiny_config: MakeConfig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The network's code changed between two starts of a run; `status` says the same line."""

    class Wider(torch.nn.Module):
        def __init__(self, num_classes: int) -> None:
            super().__init__()
            self.head = torch.nn.Linear(3 * 16 * 16, num_classes)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return self.head(images.flatten(1))

    stop = StopFlag()
    stop.signal_name = "SIGTERM"
    assert measure(tiny_config(), stop).outcome == "interrupted"
    (line,) = survey(tmp_path / "runs")
    begun = line.epoch
    assert begun
    monkeypatch.setitem(models.ZOO, "tiny", Wider)
    with pytest.raises(BadInput, match=r"its checkpoint does not fit this network any more \(Missing key.*start anew"):
        measure(tiny_config())
    (line,) = survey(tmp_path / "runs")
    assert (line.state, line.epoch) == ("failed", begun)
    assert "does not fit this network any more" in line.note
    monkeypatch.setitem(models.ZOO, "tiny", Tiny)  # the code it was begun with
    assert measure(tiny_config()).outcome == "budget_exhausted"
