"""Every family of torchvision's classifiers is counted, and torch's own counter agrees under a step of two images.

The smallest of each family in the suite; all 80, two minutes on a core, with EVERY_CLASSIFIER=1 in the environment.
"""

import os
import re
from collections.abc import Sequence

import pytest
import torch
from torch import nn
from torchvision import models

from harness.measure.bill.count import bill
from tests.measure.bill.dispatched import step

SMALLEST = (
    *("alexnet", "convnext_tiny", "densenet121", "efficientnet_b0", "efficientnet_v2_s", "googlenet", "inception_v3"),
    *("maxvit_t", "mnasnet0_5", "mobilenet_v2", "mobilenet_v3_small", "regnet_x_400mf", "regnet_y_400mf", "resnet18"),
    *("resnext50_32x4d", "shufflenet_v2_x0_5", "squeezenet1_1", "swin_t", "swin_v2_t", "vgg11_bn", "vit_b_32"),
    "wide_resnet50_2",
)
EVERY = models.list_models(module=models)
SIDE = 64
OTHER_SIDES = {"inception_v3": 299, "vit_h_14": 56, "maxvit_t": 224}  # its auxiliary head's least; 4 x 14; the only one


def build(name: str, side: int) -> nn.Module:
    """Shapes without weights, where its constructor can do without."""
    arguments = {"image_size": side} if name.startswith("vit_") else {}
    if name in ("googlenet", "inception_v3"):
        arguments |= {"init_weights": False}
    try:
        with torch.device("meta"):
            return models.get_model(name, weights=None, **arguments)
    except (NotImplementedError, RuntimeError):  # RegNet computes its widths with tensors, MaxViT its drop rates
        return models.get_model(name, weights=None, **arguments)


def test_no_family_is_left_out() -> None:
    def families(names: Sequence[str]) -> set[str]:
        return {re.match(r"[a-z]+", name)[0] for name in names}

    assert families(SMALLEST) == families(EVERY)


@pytest.mark.parametrize("name", EVERY if os.environ.get("EVERY_CLASSIFIER") else SMALLEST)
def test_counted(name: str) -> None:
    side = OTHER_SIDES.get(name, SIDE)
    network = build(name, side)
    found = bill(network, resolution=side)
    second = step(network.to("meta"), torch.empty(2, 3, side, side, device="meta"))
    assert 2 * found.forward_macs + found.once_forward_macs == second.forward
    assert 2 * found.spent_macs + found.once_macs == second.forward + second.backward
    assert 2 * found.evaluation_macs + found.once_evaluation_macs == second.evaluation
    assert (found.once_macs > 0) == name.startswith("swin_v2")  # its position bias is made by a small network, once
