"""The bill of every architecture, against four independent sources: torchvision, the papers, autograd, torch."""

import json
from functools import cache
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode, conv_flop_count
from torchvision.models import get_model_weights

from harness import models
from harness.measure.bill.count import Bill, bill
from harness.measure.bill.report import counted, row
from harness.measure.config import cards
from tests.measure.bill.second_counter import count

GOLDEN = {r["model"]: r for r in json.loads((Path(__file__).parents[2] / "golden" / "complexity.json").read_text())}
ZOO = sorted(models.ZOO)


@cache
def skeleton(name: str) -> nn.Module:
    """Shapes without weights: nothing below depends on a value."""
    return cards.skeleton(name, resolution=224).to("meta")


def billed(name: str) -> Bill:
    """Counted once in a session, most by `test_golden`."""
    return counted(name, fresh=False)


def one_image() -> torch.Tensor:
    return torch.empty(1, 3, 224, 224, device="meta")


def in_train_mode(network: nn.Module) -> nn.Module:
    """BatchNorm aside, which refuses one value per channel; its mode changes no product."""
    network.train()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
    return network


def test_golden_covers_the_zoo() -> None:
    assert set(GOLDEN) == set(models.ZOO)


@pytest.mark.parametrize("name", ZOO)
def test_golden(name: str) -> None:
    """Regenerate with: harness count --json > tests/golden/complexity.json"""
    assert row(name) == GOLDEN[name]


@pytest.mark.parametrize("name", models.TORCHVISION)
def test_torchvision_metadata(name: str) -> None:
    """num_params, and _ops to its printed digits, at the resolution the weights were evaluated at."""
    compared = 0
    for weights in get_model_weights(name):
        if "SWAG" in weights.name:  # other resolution, other parameters
            continue
        side = weights.transforms().crop_size[0]
        found = billed(name) if side == 224 else bill(cards.skeleton(name, resolution=side), resolution=side)
        assert found.params == weights.meta["num_params"]
        assert round(found.evaluation_macs / 1e9, 3) == weights.meta["_ops"]
        compared += 1
    assert compared


def test_papers_own_figures() -> None:
    """Figures as printed; where a paper prints none, the exact ones of the reference implementation named."""
    mobilenet = billed("mobilenet_v1")
    assert round(mobilenet.forward_macs / 1e6) == 569  # table 4
    assert round(mobilenet.params / 1e6, 1) == 4.2  # table 4
    assert round(billed("shufflenet_v1_x1_0").forward_macs / 1e6) == 137  # table 2; "140 MFLOPs" in the text
    assert round(billed("alexnet_2012").params / 1e6) == 61  # "60 million" in the paper
    assert billed("alexnet_2012").params == 60_965_224  # BVLC's Caffe model of it
    googlenet = billed("googlenet_2014")
    assert googlenet.params == 6_998_552  # BVLC's Caffe model of it
    assert round(googlenet.evaluation_macs / 1e9, 2) == 1.58
    assert round(billed("googlenet").evaluation_macs / 1e9, 1) == 1.5


@pytest.mark.parametrize("name", ZOO)
def test_second_counter(name: str) -> None:
    """Module hooks and autograd's own graph agree to the integer: forward, both gradients, evaluation."""
    network, found = in_train_mode(skeleton(name)), billed(name)
    second = count(network, one_image())
    assert (second.forward, second.weight_gradient, second.input_gradient) == (
        found.forward_macs,
        found.weight_gradient_macs,
        found.input_gradient_macs,
    )
    assert count(network.eval(), one_image()).forward == found.evaluation_macs


def _torchs_own_macs(name: str) -> tuple[int, int]:
    """FlopCounterMode over forward and backward, in MACs: as it is, and told what a convolution's gradients cost."""

    def backward(grad: list[int], x: list[int], w: list[int], *args: object, out_shape: object) -> int:
        transposed, mask = args[4], args[-1]
        return sum(mask[:2]) * conv_flop_count(x, w, grad, transposed=transposed)

    network = in_train_mode(skeleton(name))
    told = FlopCounterMode(display=False, custom_mapping={torch.ops.aten.convolution_backward: backward})
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as stock, told:
        outputs = network(one_image())
        heads = outputs if isinstance(outputs, tuple) else (outputs,)
        torch.stack([head.sum() for head in heads]).sum().backward()
    network.zero_grad(set_to_none=True)
    assert stock.get_total_flops() % 2 == told.get_total_flops() % 2 == 0
    return stock.get_total_flops() // 2, told.get_total_flops() // 2


@pytest.mark.parametrize("name", ZOO)
def test_flop_counter_mode(name: str) -> None:
    """Wrong where convolutions have groups; told that a gradient costs the forward MACs, it is right there too."""
    stock, told = _torchs_own_macs(name)
    assert told == billed(name).spent_macs
    if any(isinstance(module, nn.Conv2d) and module.groups > 1 for module in skeleton(name).modules()):
        assert stock > 1.1 * told
    else:
        assert stock == told


@pytest.mark.parametrize("name", ["resnet18", "efficientnet_b0", "swin_t", "googlenet"])
def test_counting_leaves_no_trace(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights, statistics, flags, gradients, mode, hooks and random state stay as they were, bit for bit.

    A GPU's too, which no fork of the CPU's generator sets back: dropout would be the same for all seeds.
    """
    seeds: list[int] = []
    monkeypatch.setattr(torch.cuda, "manual_seed_all", seeds.append)
    network = models.build(name, classes=10)
    network.eval()
    next(network.parameters()).requires_grad_(False)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    random_state = torch.get_rng_state()
    bill(network, resolution=64)
    assert torch.equal(torch.get_rng_state(), random_state)
    assert seeds == []
    after = network.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert all(parameter.grad is None for parameter in network.parameters())
    assert [parameter.requires_grad for parameter in network.parameters()].count(False) == 1
    assert not any(module.training or module._forward_hooks for module in network.modules())


def test_device_and_dtype_do_not_matter() -> None:
    """A network on a device without data, in half precision, is billed as on the CPU and stays there."""
    network = models.build("mobilenet_v2", classes=10).half().to("meta")
    assert bill(network, resolution=32) == bill(models.build("mobilenet_v2", classes=10), resolution=32)
    assert {(p.device.type, p.dtype) for p in network.parameters()} == {("meta", torch.float16)}
