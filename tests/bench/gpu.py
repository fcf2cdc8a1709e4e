"""The training step on a GPU, fed from memory: harness beside bare loop, with CUDA graphs, compiled, joules an image.

    python -m tests.bench.gpu                    # a GPU machine: the sixteen architectures at 64 px
    python -m tests.bench.gpu --resolution 224 --batch 256 --models alexnet,resnet50
    python -m tests.bench.gpu --models resnet18 --ways bare,harness,graphs,compiled   # compiles in every round

First checks on the device that every network gives the CPU's logits, then measures; all ways train one network on
one batch that lies on the device, with the same precision, memory format, loss, optimiser and clock. After every
network the result file is written anew, so that a time limit loses only what it cut. Without a GPU it runs a toy size
on the CPU to show that it works: no result is written then, whatever the options.
"""

import argparse
import contextlib
import json
import math
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import torch

from harness import models
from harness.measure.bill.count import bill
from harness.measure.config.compose import compose
from harness.measure.config.schema import Config
from harness.measure.machine.device import Machine, energy_counter, nvml_handle, prepare, resolve
from harness.measure.machine.signals import StopFlag
from harness.measure.run import run as harness_run
from harness.measure.training import graph
from harness.measure.training.recipe.loss import TrainingLoss
from harness.record.folders.folder import read_run
from harness.record.units import FLOPS_PER_MAC
from tests.bench import core
from tests.bench.loop import Feed

NOT_A_GPU = "NOT A GPU RESULT: torch sees no GPU here; toy sizes on the CPU, only to show that the script runs"
PUBLISHED = (
    "alexnet,vgg11,googlenet,resnet18,resnet34,resnet50,squeezenet1_1,wide_resnet50_2,densenet121,resnext50_32x4d,"
    "mobilenet_v1,shufflenet_v1_x1_0,mobilenet_v2,shufflenet_v2_x1_0,shufflenet_v2_x1_5,efficientnet_b0"
)
TOLERANCE = 1e-2
"""Largest difference of a logit between devices in fp32, as a share of the largest: sums differ in their order."""

ENERGY_SECONDS = 1.0
"""NVML's counter moves in steps of up to a tenth of a second: a shorter stretch would hold few of them."""


class DeviceFeed(Feed):
    """A batch on the device; a stamp waits for the device, then reads the clock and the joules used (NaN: unknown)."""

    def __init__(self, steps: int, args: argparse.Namespace, machine: Machine) -> None:
        super().__init__(steps, args.batch, args.resolution, warm_up=args.warm_up)
        images, labels = self.batch
        self.batch = (images.to(machine.device, memory_format=machine.memory_format), labels.to(machine.device))
        self._machine, self._energy = machine, energy_counter(machine.device)

    def stamp(self) -> tuple[float, float]:
        self._machine.synchronise()
        joules = self._energy() if self._energy else float("nan")
        return time.perf_counter(), joules

    def per_image(self) -> tuple[float, float]:
        """Seconds and joules an image of the timed part; NaN joules where it was too short for their counter."""
        (start, joules), (end, joules_end) = self.stamps
        images = self.steps * len(self.batch[0])
        used = joules_end - joules if end - start >= ENERGY_SECONDS else float("nan")
        return (end - start) / images, used / images


def configured(args: argparse.Namespace, name: str, *words: str) -> Config:
    """The config of a run as a user would start it, on this machine."""
    return resolve(compose([
        "data=fake", f"model={name}", "target=none", "budget.epochs=1", f"data.resolution={args.resolution}",
        f"recipe.batch_size={args.batch}", "checkpoint_at_evaluations=false", *words,
    ]))  # fmt: skip


def bare_step(config: Config) -> tuple[Machine, Callable[[torch.Tensor, torch.Tensor], None]]:
    """The plainest training step with the run's own network, precision, memory format, loss and optimiser."""
    machine, recipe = prepare(config, 0), config.recipe
    torch.manual_seed(0)
    model = models.build(config.model.name, classes=10, **config.model.kwargs)
    model = model.to(machine.device).to(memory_format=machine.memory_format).train()
    if config.compile:
        torch.compiler.reset()
    network = torch.compile(model, dynamic=False) if config.compile else model
    loss_of = TrainingLoss(label_smoothing=0.0, auxiliary_weight=config.model.auxiliary_weight)
    optimizer = torch.optim.SGD(
        model.parameters(), lr=1e-3, momentum=recipe.momentum, weight_decay=recipe.weight_decay,
        fused=True if machine.fused_optimizer else None,
    )  # fmt: skip

    def step(images: torch.Tensor, labels: torch.Tensor) -> None:
        with machine.autocast():
            loss = loss_of(network(images), labels)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return machine, step


def bare(config: Config, feed: DeviceFeed) -> None:
    """A loop around the step and nothing else."""
    _, step = bare_step(config)
    for images, labels in feed:
        step(images, labels)


def harness(config: Config, feed: DeviceFeed) -> None:
    """The whole of run.py on the same batch: record, journal, bill, progress, schedule, stop flag, data clock."""
    with tempfile.TemporaryDirectory() as folder, open(os.devnull, "w") as silent, contextlib.redirect_stderr(silent):
        config = replace(config, out=folder, recipe=replace(config.recipe, lr=1e-3))
        with mock.patch("harness.measure.run.build", return_value=feed):
            result = harness_run(config, overrides=[], stop=StopFlag())
        totals = read_run(result.folder).summary["totals"]
    assert result.outcome == "budget_exhausted", result.outcome
    assert totals["images"] == feed.train_images, "the ledger counts other images than were fed"


WAYS: dict[str, tuple[Callable[[Config, DeviceFeed], None], list[str]]] = {
    "bare": (bare, []),
    "harness": (harness, []),
    "graphs": (harness, ["cuda_graph=true"]),
    "compiled": (harness, ["compile=true"]),
}
"""How a step is taken: a loop, and the words that a user adds for it."""


def difference(config: Config, side: int) -> float:
    """Largest difference of the evaluation logits between device and CPU in fp32, as a share of the largest."""
    torch.manual_seed(0)
    model = models.build(config.model.name, classes=10, **config.model.kwargs).eval()
    images = torch.randn(4, 3, side, side)
    device = prepare(replace(config, precision="fp32"), 0).device
    with torch.inference_mode():
        expected = model(images)
        found = model.to(device)(images.to(device)).cpu()
    return float((found - expected).abs().max() / expected.abs().max())


def ceiling(side: int, seconds: float, device: torch.device) -> float:
    """Multiply-adds of a bf16 matrix product of random numbers, in FLOP/s: the most that any network could use."""
    a, b = (torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in range(2))

    def rate(products: int) -> float:
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        start = time.perf_counter()
        for _ in range(products):
            torch.mm(a, b)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return products * side**3 * FLOPS_PER_MAC / (time.perf_counter() - start)

    rate(3)
    products = max(1, round(seconds * rate(10) / (side**3 * FLOPS_PER_MAC)))
    return statistics.median(rate(products) for _ in range(3))


def steps_for(config: Config, args: argparse.Namespace, way: str) -> int:
    """As many steps as take the asked time when they are taken that way."""
    trial = DeviceFeed(10, args, prepare(config, 0))
    WAYS[way][0](config, trial)
    seconds, _ = trial.per_image()
    return min(20_000, max(10, round(args.seconds / (seconds * args.batch))))


def measure(args: argparse.Namespace, name: str, matmul_flops_per_second: float) -> dict[str, Any]:
    """One network: medians over rounds, the ways taking turns at being first."""
    config = configured(args, name)
    apart = difference(config, args.resolution)
    assert apart < TOLERANCE, f"{name}: logits differ from the CPU's by {apart:.1%} of the largest"
    counted = bill(models.build(name, classes=10, **config.model.kwargs), resolution=args.resolution)
    flops = FLOPS_PER_MAC * (counted.forward_macs + counted.backward_macs)
    ways = args.ways.split(",")
    configs = {way: configured(args, name, *WAYS[way][1]) for way in ways}
    steps = {way: steps_for(configs[way], args, way) for way in ways}
    rounds: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
    for turn in range(args.rounds):
        for way in ways[:: -1 if turn % 2 else 1]:
            feed = DeviceFeed(steps[way], args, prepare(configs[way], 0))
            WAYS[way][0](configs[way], feed)
            rounds[way].append(feed.per_image())
    rate = {way: 1 / statistics.median(seconds for seconds, _ in found) for way, found in rounds.items()}
    joules = {way: median_joules([used for _, used in found]) for way, found in rounds.items()}
    fastest = max((way for way in ways if way != "bare"), key=lambda way: rate[way])
    return {
        "model": name, "precision": config.precision, "steps": steps, "spent_flops_per_image": flops,
        "images_per_second": rate, "of_bare": {way: rate[way] / rate["bare"] for way in ways},
        "fastest": fastest, "share_of_matmul_ceiling": rate[fastest] * flops / matmul_flops_per_second,
        "joules_per_image": joules,
        "logits_apart_from_cpu": apart,
        "seconds_per_image_rounds": {way: [seconds for seconds, _ in found] for way, found in rounds.items()},
    }  # fmt: skip


def median_joules(rounds: list[float]) -> float | None:
    """None unless every round was long enough for the counter: NaN has no place in an order."""
    return None if any(map(math.isnan, rounds)) else statistics.median(rounds)


def gpu_facts() -> dict[str, Any]:
    """CUDA and cuDNN, and where NVML is at hand the driver and the power limit; empty without a GPU."""
    if not torch.cuda.is_available():
        return {}
    facts: dict[str, Any] = {"cuda": torch.version.cuda, "cudnn": torch.backends.cudnn.version()}
    if (found := nvml_handle(torch.device("cuda", 0))) is not None:
        nvml, handle = found
        with contextlib.suppress(nvml.NVMLError):
            facts["driver"] = nvml.nvmlSystemGetDriverVersion()
            facts["power_limit_watts"] = nvml.nvmlDeviceGetEnforcedPowerLimit(handle) / 1000
    return facts


def line(row: dict[str, Any]) -> str:
    """One row of the table."""
    if "failure" in row:
        return f"{row['model']:20} {row['failure']}"
    rates = "".join(f" {rate:11,.0f} {row['of_bare'][way]:5.2f}" for way, rate in row["images_per_second"].items())
    joules = row["joules_per_image"][row["fastest"]]
    energy = "-" if joules is None else f"{1000 * joules:.2f}"
    return f"{row['model']:20}{rates} {row['share_of_matmul_ceiling']:10.2%} {energy:>9}"


def main() -> None:
    """Measure on a GPU, or show at a toy size that the script runs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    gpu = torch.cuda.is_available()
    parser.add_argument("--models", default=PUBLISHED if gpu else "googlenet,shufflenet_v2_x1_0")
    parser.add_argument("--resolution", type=int, default=64)
    parser.add_argument("--batch", type=int, default=128 if gpu else 4)
    parser.add_argument("--seconds", type=float, default=2.0 if gpu else 0.1, help="timed part of a round, a loop")
    parser.add_argument("--warm-up", type=int, default=10 if gpu else 1, help="steps before the clock starts")
    parser.add_argument("--rounds", type=int, default=3 if gpu else 1)
    parser.add_argument(
        "--ways", default="bare,harness,graphs" if gpu else "bare,harness", help=f"of {', '.join(WAYS)}; bare first"
    )
    parser.add_argument("--out", type=Path, default=core.RESULTS)
    args = parser.parse_args()
    first, *others = args.ways.split(",")
    if first != "bare" or not others or not set(others) <= set(WAYS) - {"bare"} or len(set(others)) < len(others):
        parser.error(f"--ways={args.ways}: bare, then at least one more, each once, of {', '.join(WAYS)}")
    if "graphs" in others and args.warm_up <= graph.WARM_UP:
        parser.error(f"--warm-up={args.warm_up}: the step after the first {graph.WARM_UP} is captured; give more")
    if not gpu:
        print(NOT_A_GPU)
    facts = core.circumstances() | gpu_facts()
    device = torch.device("cuda" if gpu else "cpu")
    most = ceiling(8192 if gpu else 256, 1.0 if gpu else 0.05, device)
    settings = {key: str(value) for key, value in vars(args).items() if key != "out"}
    document = {"circumstances": facts, "settings": settings, "matmul_bf16_flops_per_second": most, "networks": []}
    path = args.out / f"gpu_step_{args.resolution}px_batch{args.batch}_{args.ways.replace(',', '_')}.json"
    for name in args.models.split(","):
        try:
            row = measure(args, name, most)
        except Exception as error:  # noqa: BLE001  (the other networks are measured all the same)
            row = {"model": name, "failure": f"{type(error).__name__}: {str(error).splitlines()[0]}"}
        document["networks"].append(row)
        print(line(row), file=sys.stderr)
        if gpu:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(document, indent=1) + "\n")
    print(
        f"\nbatch {args.batch}, {args.resolution} px, medians of {args.rounds}; bf16 matmul {most / 1e12:.1f} TFLOP/s"
    )
    heads = "".join(f" {way:>11} {'':5}" for way in args.ways.split(","))
    print(f"{'images/s, of bare':20}{heads} {'of ceiling':>10} {'mJ/image':>9}   (the last two: the fastest way)")
    for row in document["networks"]:
        print(line(row))
    print(f"written: {path}" if gpu else NOT_A_GPU)
    if any("failure" in row for row in document["networks"]):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
