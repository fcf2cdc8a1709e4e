"""compile=true compiles every shape that the plan has: none runs eager while the record says compiled."""

import functools
from collections.abc import Callable, Iterator

import pytest
import torch
from torch._dynamo.testing import CompileCounter

from harness.measure.config.schema import Config
from harness.measure.machine.signals import StopFlag
from harness.measure.run import run


@pytest.fixture(autouse=True)
def dynamo() -> Iterator[None]:
    """Leave torch's settings and caches as they were."""
    with torch._dynamo.config.patch():
        yield
    torch.compiler.reset()


def test_more_shapes_than_torchs_limit_are_all_compiled(
    tiny_config: Callable[..., Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Five resolutions with a full and a last batch each: torch's own limit is eight, then it is silently eager."""
    counter = CompileCounter()  # torch's dynamo and its limit; the code it would generate is not what is asked
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend=counter))
    phases = ",".join(f"{{from_epoch:{epoch},resolution:{16 + 2 * epoch}}}" for epoch in range(5))
    resized = ["model.name=pooled", f"recipe.resolution_schedule=[{phases}]", "budget.epochs=5"]
    done = run(tiny_config(*resized, "compile=true"), overrides=[], stop=StopFlag())
    assert done.outcome == "budget_exhausted"
    assert counter.frame_count >= 10


def test_a_shape_too_many_is_an_error(tiny_config: Callable[..., Config], monkeypatch: pytest.MonkeyPatch) -> None:
    from harness.measure.training import state

    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend=CompileCounter()))
    monkeypatch.setattr(state, "SHAPES_PER_RESOLUTION", 1)
    with pytest.raises(torch._dynamo.exc.FailOnRecompileLimitHit):
        run(tiny_config("model.name=pooled", "compile=true"), overrides=[], stop=StopFlag())


@pytest.fixture(autouse=True)
def pooled(monkeypatch: pytest.MonkeyPatch) -> None:
    """A network for any resolution."""
    from harness import models

    class Pooled(torch.nn.Module):
        def __init__(self, num_classes: int) -> None:
            super().__init__()
            self.conv = torch.nn.Conv2d(3, 8, 3, stride=2)
            self.head = torch.nn.Linear(8, num_classes)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return self.head(self.conv(images).relu().mean((2, 3)))

    monkeypatch.setitem(models.ZOO, "pooled", Pooled)
