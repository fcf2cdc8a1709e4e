"""Whole runs on a GPU: resumed as if never stopped, in 16 bit, compiled, as graphs, fused, through NCCL."""

import copy
import json
import shutil
import sysconfig
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from harness import models
from harness.measure.config.compose import compose
from harness.measure.config.schema import Config
from harness.measure.data.sources import build
from harness.measure.machine.device import energy_counter
from harness.measure.machine.distributed import BACKENDS, gradients_shared
from harness.measure.machine.signals import StopFlag
from harness.measure.run import run
from harness.measure.training import loop
from harness.measure.training.graph import WARM_UP, GraphedUpdate
from harness.measure.training.recipe.optimiser import build_optimizer, set_learning_rate
from harness.record.curve import TIMING_FIELDS
from harness.record.folders.folder import CHECKPOINT, read_run
from tests.gpu.devices import each_device, network, only_on_gpu
from tests.measure.faults import Net

Say = Callable[[str, object], None]


@pytest.fixture(autouse=True)
def settings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A small network beside the zoo's, and torch's settings put back by monkeypatch's end."""
    monkeypatch.setitem(models.ZOO, "net", Net)
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", torch.backends.cudnn.benchmark)
    before = torch.are_deterministic_algorithms_enabled()
    yield
    torch.use_deterministic_algorithms(before)


def config(device: str, out: Path, *words: str, net: list[str] | None = None) -> Config:
    """A short run of the device's network, or of `net`."""
    few = ["data.images_per_class=24", "recipe.batch_size=16", "recipe.lr=0.02", "budget.epochs=2"]
    fixed = ["data=fake", "target=none", "threads=1", f"device={device}", f"out={out}", "evaluations_per_epoch=3"]
    return compose([*fixed, *few, *(net or network(device)), *words])


def curve(folder: Path) -> list[dict[str, object]]:
    """The curve without its clocks and joules."""
    rows = [json.loads(line) for line in (folder / "curve.jsonl").read_text().splitlines()]
    return [{key: value for key, value in row.items() if key not in (*TIMING_FIELDS, "energy_joules")} for row in rows]


class StopAt(StopFlag):
    """A stop that is asked for at a step, by what looks at it once a step."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self._left = steps

    @property
    def signal_name(self) -> str | None:
        self._left -= 1
        return "SIGTERM" if self._left < 0 else None

    @signal_name.setter
    def signal_name(self, name: str | None) -> None: ...


WITH_DROPOUT = [*network("cpu"), "+model.kwargs.dropout=0.3"]
"""A network that draws masks, small enough for either device."""
PRECISIONS = {"cpu": ["fp32"], "cuda": ["fp32", "bf16", "fp16"]}
GRAPH = "cuda_graph=true"


@each_device
def test_interrupted_and_resumed_is_as_never_stopped(device: str, tmp_path: Path, record_property: Say) -> None:
    """Bit for bit under deterministic=true, in every precision of the device, at a step between two evaluations.

    With an average of the weights; once with dropout, whose masks are of the device's own generator; and on a GPU with
    graphs, which a resumed run captures anew, some steps later.
    """
    cases = [(precision, network(device), "") for precision in PRECISIONS[device]] + [("fp32", WITH_DROPOUT, "")]
    if device == "cuda":
        cases += [("bf16", network(device), GRAPH), ("fp32", WITH_DROPOUT, GRAPH)]
    for number, (precision, net, graph) in enumerate(cases):
        words = ["deterministic=true", f"precision={precision}", "recipe.average=ema", "recipe.average_decay=0.9"]
        words += [graph] if graph else []
        whole = run(config(device, tmp_path / f"{number}" / "whole", *words, net=net), stop=StopFlag()).folder
        asked = config(device, tmp_path / f"{number}" / "stopped", *words, net=net)
        stopped = run(asked, stop=StopAt(7))
        assert stopped.outcome == "interrupted"
        assert (stopped.folder / CHECKPOINT).exists()
        resumed = run(asked, stop=StopFlag())
        assert resumed.outcome == "budget_exhausted"
        assert curve(resumed.folder) == curve(whole)
    record_property("figure", f"{', '.join(PRECISIONS[device])}: equal")


@only_on_gpu
def test_each_seed_has_dropout_masks_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever counted the bill before: at the first step the GPU's generator stands at the run's seed."""
    seeds: list[int] = []
    original = loop.optimise_step

    def watched(*arguments: Any) -> torch.Tensor:
        seeds.append(torch.cuda.initial_seed())
        return original(*arguments)

    monkeypatch.setattr(loop, "optimise_step", watched)
    for seed in (3, 4):
        run(config("cuda", tmp_path, f"seed={seed}", "budget.epochs=1", net=WITH_DROPOUT), stop=StopFlag())
    assert sorted(set(seeds)) == [3, 4]


@only_on_gpu
@pytest.mark.parametrize(("graph", "free"), [("cuda_graph=false", 1), (GRAPH, WARM_UP + 1)], ids=["eager", "graph"])
def test_a_step_never_waits_for_the_gpu(graph: str, free: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the step, with its average of weights, nor the next batch asks the GPU for anything.

    From step 2 on, and with graphs once the first is captured.
    """
    original, steps = loop.optimise_step, 0

    def watched(*arguments: Any) -> torch.Tensor:
        nonlocal steps
        steps += 1
        torch.cuda.set_sync_debug_mode("error" if steps > free else "default")
        try:
            return original(*arguments)
        finally:
            torch.cuda.set_sync_debug_mode("default")

    monkeypatch.setattr(loop, "optimise_step", watched)
    words = ["recipe.average=ema", "recipe.average_decay=0.9", "budget.epochs=1", "precision=bf16"]
    run(config("cuda", tmp_path, *words, graph), stop=StopFlag())
    assert steps > free + 1


@only_on_gpu
@pytest.mark.parametrize("transform", ["none", "shift", "random_crop", "resized_crop"])
def test_small_images_are_sent_without_a_wait(transform: str) -> None:
    asked = compose(["data=fake", "model=resnet18", f"recipe.train_transform={transform}", "recipe.flip=true"])
    data = build(asked.data, asked.recipe, torch.device("cuda"))
    batches = data.train_batches(seed=0, epoch=0, batch_size=16, start_batch=0, resolution=32, rank=0, world_size=1)
    next(batches)  # makes what is made once
    torch.cuda.set_sync_debug_mode("error")
    try:
        assert len(list(batches)) == data.train_images // 16 - 1
    finally:
        torch.cuda.set_sync_debug_mode("default")


@only_on_gpu
@pytest.mark.parametrize("kind", ["sgd", "nesterov"])
def test_a_fused_first_step_that_overflows_leaves_no_trace(kind: str) -> None:
    """As tests/measure/training/recipe/test_optimiser.py has it on the CPU."""
    torch.manual_seed(0)
    recipe = compose(["data=fake", "model=resnet18", "target=none", f"recipe.optimizer={kind}"]).recipe
    nets = [Net(10).to("cuda")]
    nets.append(copy.deepcopy(nets[0]))
    images, labels = torch.randn(16, 3, 16, 16, device="cuda"), torch.arange(16, device="cuda") % 10
    torch.use_deterministic_algorithms(True)  # memory that nobody has written holds NaN
    for net, overflows in zip(nets, (True, False), strict=True):
        optimizer = build_optimizer(net, recipe, fused=True)
        scaler = torch.amp.GradScaler("cuda", init_scale=2.0**10)
        for factor in (1e38, 1.0) if overflows else (1.0,):
            scaler.scale(nn.functional.cross_entropy(net(images), labels) * factor).backward()
            scaler.step(optimizer)
            scaler.update()
            optimizer.zero_grad()
    for after, expected in zip(*(net.parameters() for net in nets), strict=True):
        torch.testing.assert_close(after, expected, rtol=1e-5, atol=1e-7)


@only_on_gpu
def test_fp16_learns_through_its_scaler(tmp_path: Path, record_property: Say) -> None:
    done = read_run(run(config("cuda", tmp_path, "precision=fp16", "budget.epochs=4"), stop=StopFlag()).folder)
    first, last = done.curve[0].loss, done.curve[-1].loss
    record_property("figure", f"loss {first:.3f} -> {last:.3f}")
    assert done.outcome == "budget_exhausted"
    assert last < first


@each_device
@pytest.mark.parametrize("kind", ["sgd", "nesterov", "adamw"])
def test_fused_kernels_take_the_same_steps(device: str, kind: str, record_property: Say) -> None:
    """Twenty steps on one batch; what differs is the rounding within a kernel. RMSprop has no fused one."""
    torch.manual_seed(0)
    words = [f"recipe.optimizer={kind}", "recipe.lr=0.01"]
    recipe = compose(["data=fake", "model=resnet18", "target=none", *words]).recipe
    plain = Net(10, norm=True).to(device)
    nets = [plain, copy.deepcopy(plain)]
    images, labels = torch.randn(16, 3, 16, 16, device=device), torch.arange(16, device=device) % 10
    for net, fused in zip(nets, (False, True), strict=True):
        optimizer = build_optimizer(net, recipe, fused=fused)
        for _ in range(20):
            nn.functional.cross_entropy(net(images), labels).backward()
            optimizer.step()
            optimizer.zero_grad()
    differences = [
        float((a - b).abs().max() / b.abs().max().clamp_min(1e-6))
        for a, b in zip(*(net.state_dict().values() for net in nets), strict=True)
    ]
    record_property("figure", f"largest difference {max(differences):.1e}")
    assert max(differences) < 1e-3


def update_of(
    net: nn.Module, optimizer: torch.optim.Optimizer, images: torch.Tensor, labels: torch.Tensor, _: int
) -> torch.Tensor:
    """The plainest step."""
    loss = nn.functional.cross_entropy(net(images), labels)
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    return loss.detach()


@only_on_gpu
@pytest.mark.parametrize("kind", ["sgd", "nesterov", "adamw"])
def test_graphs_take_the_same_steps_at_rates_that_change(kind: str, record_property: Say) -> None:
    """Batches of two sizes in turn, so that one graph's memory is used between two replays of the other.

    What differs is the learning rate's rounding, to fp32 in a graph. At a rate of zero nothing moves.
    """
    torch.manual_seed(0)
    recipe = compose(["data=fake", "model=resnet18", "target=none", f"recipe.optimizer={kind}"]).recipe
    plain = Net(10, norm=True).to("cuda")
    graphed = copy.deepcopy(plain)
    optimizers = [build_optimizer(net, recipe, fused=True) for net in (plain, graphed)]
    take = GraphedUpdate(partial(update_of, graphed, optimizers[1]), optimizers[1], torch.device("cuda"))
    batches = [
        (torch.randn(size, 3, 16, 16, device="cuda"), torch.arange(size, device="cuda") % 10) for size in (16, 12)
    ]
    losses: list[tuple[float, float]] = []
    for step in range(24):
        images, labels = batches[step % 2]
        rate = 0.01 / (1 + step % 7)
        set_learning_rate(optimizers[0], rate)
        eager = update_of(plain, optimizers[0], images, labels, len(labels))
        losses.append((float(eager), float(take(images, labels, len(labels), rate))))
        assert {group["lr"] for group in optimizers[1].param_groups} == {rate}
    assert [found for _, found in losses] == pytest.approx([expected for expected, _ in losses], rel=1e-3)
    assert losses[-2][1] < losses[0][1]  # of one batch
    before = copy.deepcopy(list(graphed.parameters()))
    take(*batches[0], 16, 0.0)
    for parameter, was in zip(graphed.parameters(), before, strict=True):
        assert torch.equal(parameter, was)
    record_property("figure", "last loss {:.5f}, {:.5f} with graphs".format(*losses[-1]))


@only_on_gpu
def test_a_run_with_graphs_learns_as_eager_whatever_its_recipe(tmp_path: Path, record_property: Say) -> None:
    """Micro-batches, clipping, mixup, smoothed labels, an average, two resolutions, each with a smaller last batch."""
    phases = "{from_epoch:0,resolution:32},{from_epoch:5,resolution:64}"
    words = [
        *("precision=fp32", "deterministic=true", "budget.epochs=10", "recipe.batch_size=28"),
        *("recipe.accumulation_steps=2", "recipe.gradient_clip_norm=1.0", "recipe.mixup_alpha=0.2"),
        *("recipe.label_smoothing=0.1", "recipe.average=ema", "recipe.average_decay=0.9"),
        f"recipe.resolution_schedule=[{phases}]",
    ]
    eager, graphs = (
        read_run(run(config("cuda", tmp_path / way, *words, way), stop=StopFlag()).folder).curve
        for way in ("cuda_graph=false", GRAPH)
    )
    record_property("figure", f"last loss {eager[-1].loss:.4f} eager, {graphs[-1].loss:.4f} with graphs")
    assert [row.train_macs for row in graphs] == [row.train_macs for row in eager]
    assert [row.loss for row in graphs[:6]] == pytest.approx([row.loss for row in eager[:6]], rel=0.02)
    assert graphs[-1].loss == pytest.approx(eager[-1].loss, rel=0.1)


@only_on_gpu
def test_compiled_with_a_resolution_schedule_learns_as_eager(tmp_path: Path, record_property: Say) -> None:
    """Two resolutions, each with a full and a last batch; on the CPU tests/measure/training/test_compile.py."""
    phases = ",".join(f"{{from_epoch:{epoch},resolution:{side}}}" for epoch, side in enumerate((32, 64)))
    words = ["precision=fp32", "budget.epochs=2", "recipe.batch_size=28", f"recipe.resolution_schedule=[{phases}]"]
    if shutil.which("cc") is None or not Path(sysconfig.get_path("include"), "Python.h").exists():
        pytest.skip("torch.compile needs a C compiler and Python's headers, which are not here")
    eager, compiled = (
        read_run(run(config("cuda", tmp_path / name, *words, f"compile={name}"), stop=StopFlag()).folder).curve
        for name in ("false", "true")
    )
    record_property("figure", f"last loss {eager[-1].loss:.4f} eager, {compiled[-1].loss:.4f} compiled")
    assert [row.train_macs for row in compiled] == [row.train_macs for row in eager]
    assert compiled[0].loss == pytest.approx(eager[0].loss, rel=0.02)


@each_device
def test_one_rank_through_the_backend_has_the_gradients_of_none(device: str) -> None:
    """The backend that a run on several GPUs takes, with one: NCCL for the gradients, gloo for what the host asks."""
    if device == "cuda":
        torch.cuda.set_device(0)
    distributed.init_process_group(BACKENDS[device], store=distributed.HashStore(), rank=0, world_size=1)
    try:
        torch.manual_seed(0)
        alone = Net(10, norm=True).to(device)
        joined = DistributedDataParallel(copy.deepcopy(alone))
        images, labels = torch.randn(16, 3, 16, 16, device=device), torch.arange(16, device=device) % 10
        nn.functional.cross_entropy(alone(images), labels).backward()
        with gradients_shared(joined, now=True):
            nn.functional.cross_entropy(joined(images), labels).backward()
        for a, b in zip(alone.parameters(), joined.parameters(), strict=True):
            assert a.grad is not None
            assert b.grad is not None
            torch.testing.assert_close(a.grad, b.grad, rtol=1e-5, atol=1e-6)
        asked = torch.tensor([3])
        distributed.all_reduce(asked)  # of the host: it must not wait for the GPU
        assert asked.item() == 3
    finally:
        distributed.destroy_process_group()


@each_device
def test_joules_are_those_of_the_device(device: str, tmp_path: Path, record_property: Say) -> None:
    counter = energy_counter(torch.device(device))
    if device == "cuda" and counter is None:
        pytest.skip("NVML tells no energy here")
    curve_of = read_run(run(config(device, tmp_path), stop=StopFlag()).folder).curve
    joules = [row.energy_joules for row in curve_of]
    if counter is None:
        assert set(joules) == {None}
        return
    used = [value for value in joules if value is not None]
    assert len(used) == len(joules)
    assert used == sorted(used)
    watts = used[-1] / (curve_of[-1].train_seconds + curve_of[-1].eval_seconds)
    record_property("figure", f"{watts:.0f} W")
    assert 5 < watts < 2000
