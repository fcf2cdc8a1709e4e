"""A run's ledger equals what its steps did: partial batches, micro-batches, rising resolution.

What each step did is watched from outside, and priced with the second counter, so that neither the loop's idea of its
own progress nor the bill it uses is taken on trust.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from harness import models
from harness.measure.config.schema import Config
from harness.measure.machine.signals import StopFlag
from harness.measure.run import run
from harness.measure.training import loop as train
from harness.measure.training.state import Training
from harness.record.curve import Evaluation
from harness.record.folders.folder import read_run
from tests.measure.bill.second_counter import count

TRAIN_IMAGES, BASE, LARGE = 240, 16, 24


class Stages(nn.Module):
    """Runs at any size; the middle is grouped, so that its backward is what other counters get wrong."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.middle = nn.Sequential(nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1, groups=4))
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, num_classes))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.head(self.middle(self.stem(images)))
        return logits


@dataclasses.dataclass(frozen=True)
class Step:
    """One optimiser step as seen from outside."""

    images: int
    resolution: int


def price(step: Step) -> tuple[int, int]:
    """Forward and backward MACs of the whole step, as one batch, by the second counter."""
    with torch.device("meta"):
        network = Stages(10)
        image = torch.empty(step.images, 3, step.resolution, step.resolution)
    macs = count(network, image)
    return macs.forward, macs.weight_gradient + macs.input_gradient


Measure = Callable[..., tuple[list[Step], list[Evaluation]]]


@pytest.fixture
def measure(monkeypatch: pytest.MonkeyPatch, tiny_config: Callable[..., Config]) -> Measure:
    monkeypatch.setitem(models.ZOO, "tiny", Stages)
    original = train.optimise_step

    def go(**recipe: Any) -> tuple[list[Step], list[Evaluation]]:
        seen: list[Step] = []

        def watched(training: Training, images: torch.Tensor, *args: Any) -> torch.Tensor:
            seen.append(Step(len(images), images.shape[-1]))
            return original(training, images, *args)

        monkeypatch.setattr(train, "optimise_step", watched)
        evaluations = recipe.pop("evaluations", 1)
        overrides = [f"recipe.{key}={value}" for key, value in recipe.items()]
        config = tiny_config(*overrides, f"evaluations_per_epoch={evaluations}")
        return seen, read_run(run(config, overrides=[], stop=StopFlag()).folder).curve

    return go


def check(seen: list[Step], curve: list[Evaluation], *, evaluations: int) -> None:
    prices = {step: price(step) for step in set(seen)}
    last = curve[-1]
    assert len(curve) == evaluations
    assert last.images == sum(step.images for step in seen) == 2 * TRAIN_IMAGES
    assert last.train_forward_macs == sum(prices[step][0] for step in seen)
    assert last.train_backward_macs == sum(prices[step][1] for step in seen)
    evaluation, _ = price(Step(last.total, BASE))
    assert last.evaluation_macs == evaluations * evaluation * last.looks
    assert last.lost_macs == 0
    assert all(isinstance(value, int) for value in (last.train_forward_macs, last.train_backward_macs))


def test_partial_batches(measure: Measure) -> None:
    seen, curve = measure(batch_size=50, evaluations=2)
    assert [step.images for step in seen] == 2 * [50, 50, 50, 50, 40]
    check(seen, curve, evaluations=4)


def test_accumulation(measure: Measure) -> None:
    """Micro-batches change nothing: 32 images in three parts of 11, 11 and 10 cost what 32 cost."""
    seen, curve = measure(batch_size=32, accumulation_steps=3)
    check(seen, curve, evaluations=2)


def test_resolution_schedule(measure: Measure) -> None:
    phases = f"[{{from_epoch:0,resolution:{BASE}}},{{from_epoch:1,resolution:{LARGE}}}]"
    seen, curve = measure(resolution_schedule=phases)
    assert {step.resolution for step in seen} == {BASE, LARGE}
    check(seen, curve, evaluations=2)
    first = curve[0].train_forward_macs
    assert curve[1].train_forward_macs - first > 2 * first  # (24 / 16)^2 = 2.25 on maps


def test_the_live_weights_look_is_billed_beside_the_averages(measure: Measure) -> None:
    seen, curve = measure(average="ema", evaluations=2)
    assert all(row.looks == 2 for row in curve)
    check(seen, curve, evaluations=4)


def test_all_at_once(measure: Measure) -> None:
    seen, curve = measure(
        batch_size=50,
        accumulation_steps=2,
        resolution_schedule=f"[{{from_epoch:1,resolution:{LARGE}}}]",
        evaluations=3,
    )
    assert len({step.resolution for step in seen}) == 2
    check(seen, curve, evaluations=6)
