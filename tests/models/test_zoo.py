"""Every network of the zoo runs, forward and backward, at the smallest size its card promises."""

import pytest
import torch
from torch import nn
from torchvision.models.googlenet import GoogLeNetOutputs

from harness import models
from harness.measure.config import cards

OWN = ["alexnet_2012", "googlenet_2014", "mobilenet_v1", "shufflenet_v1_x1_0"]


def build(name: str, *, resolution: int, classes: int = 7) -> nn.Module:
    return models.build(name, classes=classes, **cards.read_card(name, resolution=resolution)["kwargs"])


@pytest.mark.parametrize("name", sorted(models.ZOO))
def test_smallest_size(name: str) -> None:
    side = cards.read_card(name, resolution=224)["min_resolution"]
    network = build(name, resolution=side)
    outputs = network.train()(torch.randn(2, 3, side, side))
    heads = outputs if isinstance(outputs, tuple) else (outputs,)
    assert all(head.shape == (2, 7) for head in heads)
    torch.stack([head.sum() for head in heads]).sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters() if parameter.requires_grad)
    with torch.no_grad():
        assert network.eval()(torch.randn(1, 3, side, side)).shape == (1, 7)


@pytest.mark.parametrize("name", sorted(set(models.ZOO) - {"vit_b_16"}))
def test_smaller_than_the_smallest_fails(name: str) -> None:
    side = cards.read_card(name, resolution=224)["min_resolution"] - 1
    if side < 1:
        pytest.skip("runs at one pixel")
    with pytest.raises((RuntimeError, ValueError)):
        build(name, resolution=side).train()(torch.randn(2, 3, side, side))


@pytest.mark.parametrize("name", [name for name in sorted(models.ZOO) if "googlenet" in name])
def test_auxiliary_heads_in_train_mode_only(name: str) -> None:
    card = cards.read_card(name, resolution=224)
    outputs = build(name, resolution=64).train()(torch.randn(2, 3, 64, 64))
    assert isinstance(outputs, GoogLeNetOutputs)
    assert len(outputs) == 3
    assert card["auxiliary_weight"] == 0.3


def test_only_googlenets_have_auxiliary_heads() -> None:
    for name in models.ZOO:
        assert (cards.read_card(name, resolution=224)["auxiliary_weight"] > 0) == ("googlenet" in name)


def test_unknown_name() -> None:
    with pytest.raises(KeyError):
        models.build("alexnet_2013", classes=10)


def test_mobilenet_v1_is_table_1() -> None:
    """Depthwise layers have one filter a channel; 13 pairs after the stem; 7 x 7 x 1024 before the pooling."""
    network = models.build("mobilenet_v1", classes=1000).eval()
    convolutions = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    assert len(convolutions) == 27
    depthwise = convolutions[1::2]
    assert all(layer.groups == layer.in_channels == layer.out_channels for layer in depthwise)
    assert [layer.stride[0] for layer in depthwise] == [1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1]
    with torch.no_grad():
        assert network.features(torch.zeros(1, 3, 224, 224)).shape == (1, 1024, 7, 7)


def test_shufflenet_v1_is_table_1() -> None:
    """Stages of 4, 8 and 4 units at 240, 480 and 960 channels; 56 x 56 after the stem, 7 x 7 at the end."""
    network = models.build("shufflenet_v1_x1_0", classes=1000).eval()
    with torch.no_grad():
        features = network.pool(network.stem(torch.zeros(1, 3, 224, 224)))
        shapes = [tuple(features.shape[1:])]
        for unit in network.units:
            features = unit(features)
            shapes.append(tuple(features.shape[1:]))
    assert shapes == [(24, 56, 56)] + [(240, 28, 28)] * 4 + [(480, 14, 14)] * 8 + [(960, 7, 7)] * 4
    groups = [unit.reduce[0].groups for unit in network.units]
    assert groups == [1] + [3] * 15


def test_shufflenet_v1_mixes_its_groups() -> None:
    """After the shuffle, channel 1 of the bottleneck is the first of the second group: 60 channels, 3 groups of 20."""
    unit = models.build("shufflenet_v1_x1_0", classes=10).units[1].eval()
    seen: list[torch.Tensor] = []
    unit.reduce, unit.depthwise, unit.expand = nn.Identity(), _Seen(seen), nn.Identity()
    unit(torch.arange(60.0).view(1, 60, 1, 1))
    assert seen[0][0, :6, 0, 0].tolist() == [0, 20, 40, 1, 21, 41]


class _Seen(nn.Module):
    def __init__(self, seen: list[torch.Tensor]) -> None:
        super().__init__()
        self.seen = seen

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        self.seen.append(features)
        return features


def test_alexnet_2012_is_section_3() -> None:
    """Neurons per layer as the paper lists them, and its initial weights and biases."""
    network = models.build("alexnet_2012", classes=1000)
    layers = [module for module in network.modules() if isinstance(module, (nn.Conv2d, nn.Linear))]
    shapes = [tuple(layer.weight.shape) for layer in layers]
    assert shapes == [
        (96, 3, 11, 11),
        (256, 48, 5, 5),
        (384, 256, 3, 3),
        (384, 192, 3, 3),
        (256, 192, 3, 3),
        (4096, 9216),
        (4096, 4096),
        (1000, 4096),
    ]
    assert [float(layer.bias.detach().unique().item()) for layer in layers] == [0, 1, 0, 1, 1, 1, 1, 0]
    assert all(abs(layer.weight.std().item() - 0.01) < 2e-4 for layer in layers)
    sizes = []
    for layer in layers[:5]:
        layer.register_forward_hook(lambda _module, _inputs, output: sizes.append(output.shape[-1]))
    with torch.no_grad():
        network.eval()(torch.zeros(1, 3, 224, 224))
    assert sizes == [55, 27, 13, 13, 13]


def test_alexnet_2012_tells_images_apart_before_it_is_trained() -> None:
    """It sees centred raw levels, as its initial weights want it; from a deviation of 1 it made logits 1e-4 apart."""
    torch.manual_seed(0)
    network = models.build("alexnet_2012", classes=10).eval()
    seen: list[float] = []
    network.features[0].register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0].std().item()))
    with torch.no_grad():
        logits = network(torch.randn(8, 3, 64, 64) + torch.randn(8, 3, 1, 1))
    assert seen == [pytest.approx(57.4 * 2**0.5, rel=0.2)]
    assert (logits - logits.mean(0)).std() > 2e-3


def test_alexnet_2012_normalises_as_the_formula_says() -> None:
    """b = a / (2 + 1e-4 * sum over 5 neighbours of a^2)^0.75, worked out for one position."""
    normalise = models.build("alexnet_2012", classes=2).features[2]
    a = torch.tensor([3.0, 50.0, 7.0, 20.0, 100.0, 1.0])
    neighbours = a[2:6].square().sum() + a[1].square()  # of channel 3: channels 1 to 5
    expected = a[3] / (2 + 1e-4 * neighbours) ** 0.75
    assert torch.allclose(normalise(a.view(1, 6, 1, 1))[0, 3, 0, 0], expected)


def test_googlenet_2014_begins_as_bvlcs_reproduction() -> None:
    """Caffe's xavier is by fan-in alone; biases of 0.2 but for the last layers; raw centred levels come in."""
    torch.manual_seed(0)
    network = models.build("googlenet_2014", classes=10).eval()
    last = {id(head) for head in (network.auxiliary1.classifier, network.auxiliary2.classifier, network.classifier[1])}
    for layer in network.modules():
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            bound = (3 / layer.weight[0].numel()) ** 0.5
            assert 0.9 * bound < layer.weight.abs().max() <= bound
            assert torch.all(layer.bias == (0.0 if id(layer) in last else 0.2))
    with torch.no_grad():
        logits = network(torch.randn(8, 3, 64, 64) + torch.randn(8, 3, 1, 1))
    assert (logits - logits.mean(0)).std() > 0.03  # from a deviation of 1, and torch's bounds, it made 0.013


def test_googlenet_2014_is_table_1() -> None:
    """Map sizes and channels of table 1; 5x5 branches; 1024 x 7 x 7 before the pooling."""
    network = models.build("googlenet_2014", classes=1000).eval()
    with torch.no_grad():
        stem = network.stem(torch.zeros(1, 3, 224, 224))
        third = network.stage3(stem)
        at_4a = network.inception4a(third)
        at_4d = network.inception4bcd(at_4a)
        last = network.stage4e5(at_4d)
    shapes = [tuple(features.shape[1:]) for features in (stem, third, at_4a, at_4d, last)]
    assert shapes == [(192, 28, 28), (480, 14, 14), (512, 14, 14), (528, 14, 14), (1024, 7, 7)]
    kernels = [module.kernel_size[0] for module in network.modules() if isinstance(module, nn.Conv2d)]
    assert kernels.count(5) == 9
    assert kernels.count(7) == 1
    assert not any(isinstance(module, nn.BatchNorm2d) for module in network.modules())


@pytest.mark.parametrize("name", OWN)
def test_own_networks_learn_from_their_first_step(name: str) -> None:
    """A small step down the gradient lowers the loss of the same two images."""
    torch.manual_seed(0)
    network = build(name, resolution=64, classes=2).eval()  # no dropout, no batch statistics
    images, labels = torch.randn(2, 3, 64, 64), torch.tensor([0, 1])
    loss = nn.functional.cross_entropy(network(images), labels)
    loss.backward()
    norm = sum(parameter.grad.square().sum() for parameter in network.parameters() if parameter.grad is not None)
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.grad is not None:
                parameter.sub_(parameter.grad * (1e-2 / norm))  # a drop of 0.01 to first order
        after = nn.functional.cross_entropy(network(images), labels)
    assert after < loss


def test_running_statistics_of_mnasnet_follow_within_some_hundred_steps() -> None:
    """torchvision's momentum leaves them near their start for thousands: every early evaluation was at chance."""
    momenta = {m.momentum for m in build("mnasnet1_0", resolution=64).modules() if isinstance(m, nn.BatchNorm2d)}
    assert momenta == {0.01}
