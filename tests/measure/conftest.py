from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from harness import models
from harness.measure.config.compose import compose
from harness.measure.config.schema import Config
from tests.ports import free_ports


@pytest.fixture
def free_port() -> int:
    """A TCP port on loopback that was free a moment ago."""
    (port,) = free_ports(1)
    return port


class Tiny(torch.nn.Module):
    """Trains on images of `side` pixels in a millisecond; it has BatchNorm and dropout, both with state."""

    def __init__(self, num_classes: int, side: int = 16) -> None:
        super().__init__()
        self.features = torch.nn.Sequential(
            torch.nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False), torch.nn.BatchNorm2d(8), torch.nn.ReLU()
        )
        self.dropout = torch.nn.Dropout(0.2)
        self.classifier = torch.nn.Linear(8 * (side // 2) ** 2, num_classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.classifier(self.dropout(self.features(images).flatten(1)))


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a tiny network in the zoo."""
    monkeypatch.setitem(models.ZOO, "tiny", Tiny)
    return "tiny"


@pytest.fixture
def tiny_config(tiny: str, tmp_path: Path) -> Callable[..., Config]:
    """A config for the tiny network on generated images at 16 pixels; overrides as on the command line."""

    def make(*overrides: str) -> Config:
        small = ["data=fake", "target=none", "data.resolution=16", "model.min_resolution=16", "budget.epochs=2"]
        own = ["model=alexnet", f"model.name={tiny}", f"out={tmp_path / 'runs'}", "threads=1", "device=cpu"]
        return compose([*small, *own, *overrides])

    return make
