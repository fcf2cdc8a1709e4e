"""The peak of a step's memory against the estimate by which `harness plan` refuses what cannot fit."""

from collections.abc import Callable

import pytest
import torch

from harness import models
from harness.measure.bill.count import bill
from harness.measure.bill.memory import step_bytes
from harness.measure.config.compose import compose
from harness.measure.training.recipe.optimiser import build_optimizer
from tests.gpu.devices import only_on_gpu

IMAGES, SIDE = 64, 224


@only_on_gpu
@pytest.mark.parametrize("sixteen_bit", [False, True], ids=["fp32", "bf16"])
@pytest.mark.parametrize("name", ["alexnet", "resnet50", "mobilenet_v2", "densenet121", "vit_b_16"])
def test_the_estimate_bounds_the_peak_from_below(
    name: str, sixteen_bit: bool, record_property: Callable[[str, object], None]
) -> None:
    """Well above the peak it would refuse plans that fit, and far below it none that do not."""
    recipe = compose([f"model={name}", "data=imagenet", "recipe=paper2020", "target=none"]).recipe
    net = models.build(name, classes=1000)
    estimate = step_bytes(bill(net, resolution=SIDE), images=IMAGES, states=1, sixteen_bit=sixteen_bit)
    net = net.to("cuda", memory_format=torch.channels_last).train()
    optimizer = build_optimizer(net, recipe, fused=True)
    images = torch.randn(IMAGES, 3, SIDE, SIDE, device="cuda").contiguous(memory_format=torch.channels_last)
    labels = torch.zeros(IMAGES, dtype=torch.int64, device="cuda")
    for _ in range(3):
        torch.cuda.reset_peak_memory_stats()
        with torch.autocast("cuda", dtype=torch.bfloat16, enabled=sixteen_bit):
            outputs = net(images)
            loss = torch.nn.functional.cross_entropy(outputs[0] if isinstance(outputs, tuple) else outputs, labels)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        torch.cuda.synchronize()
    peak = torch.cuda.max_memory_allocated()
    record_property("figure", f"{estimate / peak:.2f} of the peak, {peak / 1e9:.2f} GB")
    assert 0.4 * peak < estimate < 1.1 * peak
