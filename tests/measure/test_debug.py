"""`+experiment=debug`: AlexNet, without normalisation, learns within its minute; a network with a defect does not."""

from pathlib import Path

import pytest
import torch
from torchvision.models import ShuffleNetV2, shufflenet_v2_x1_0

from harness import models
from harness.measure.config.compose import compose
from harness.measure.run import run
from harness.record.curve import Evaluation, read_curve

CHANCE = 0.1


class Broken(torch.nn.Module):
    """ShuffleNet v2 whose head never sees its features."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.network: ShuffleNetV2 = shufflenet_v2_x1_0(num_classes=num_classes)
        self.network.conv5.register_forward_hook(lambda *given: torch.zeros_like(given[-1]))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.network(images)


def curve_of(model: str, folder: Path, *words: str) -> list[Evaluation]:
    """Train as the experiment says; the evaluations."""
    done = run(compose(["+experiment=debug", f"model={model}", f"out={folder}", "device=cpu", *words]))
    return read_curve(done.folder / "curve.jsonl")


def test_alexnet_visibly_learns(tmp_path: Path) -> None:
    curve = curve_of("alexnet", tmp_path, "target.value=0.6", "target.confirm=1")  # seen from far
    assert curve[-1].correct_top1 / curve[-1].total >= 6 * CHANCE
    assert curve[-1].loss < curve[0].loss - 0.5  # means of an epoch: they follow later than the accuracy at its end


def test_a_broken_network_visibly_does_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(models.ZOO, "shufflenet_v2_x1_0", Broken)
    curve = curve_of("shufflenet_v2_x1_0", tmp_path)
    assert curve[-1].epoch == 10
    assert max(e.correct_top1 / e.total for e in curve) < 2 * CHANCE
