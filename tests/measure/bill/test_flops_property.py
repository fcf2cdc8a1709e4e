"""Random small networks: the bill and the second counter agree, forward and backward, whatever is frozen."""

import copy

import torch
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from harness.measure.bill.count import bill
from tests.measure.bill.second_counter import ProductAttention, count

CHANNELS = 8  # of every map, divisible by every number of groups and heads below
SIDE = 6


class Block(nn.Module):
    """A layer with an optional shortcut round it, an optional cut of the gradient before it, and frozen parts."""

    def __init__(self, layer: nn.Module, *, shortcut: bool, detached: bool, frozen: str) -> None:
        super().__init__()
        self.layer, self.shortcut, self.detached = layer, shortcut, detached
        for name, parameter in layer.named_parameters():
            parameter.requires_grad_(frozen not in ("all", name.rpartition(".")[2]))

    def forward(self, features: Tensor) -> Tensor:
        if self.detached:
            features = features.detach()
        out: Tensor = self.layer(features)
        return out + features if self.shortcut and out.shape == features.shape else out


class OnTokens(nn.Module):
    """Runs `layer`, which maps (N, T, C) to the same shape, over the positions of a map."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, features: Tensor) -> Tensor:
        tokens = features.flatten(2).transpose(1, 2)
        if isinstance(self.layer, nn.MultiheadAttention):
            mixed = self.layer(tokens, tokens, tokens, need_weights=False)[0]
        else:
            mixed = self.layer(tokens)
        return mixed.transpose(1, 2).reshape(features.shape)


@st.composite
def convolutions(draw: st.DrawFn) -> nn.Module:
    padding = draw(st.sampled_from(["same", "valid", 1, 2]))
    kernel = draw(st.integers(1, 3))
    stride = 1 if padding == "same" else draw(st.integers(1, 2))
    if padding == 2 and kernel < 3:
        padding = 0
    groups = draw(st.sampled_from([1, 2, 4, 8]))
    return nn.Conv2d(CHANNELS, CHANNELS, kernel, stride, padding, groups=groups, bias=draw(st.booleans()))


@st.composite
def transposed(draw: st.DrawFn) -> nn.Module:
    groups = draw(st.sampled_from([1, 2, 8]))
    return nn.ConvTranspose2d(CHANNELS, CHANNELS, draw(st.integers(1, 3)), groups=groups, bias=draw(st.booleans()))


@st.composite
def layers(draw: st.DrawFn) -> nn.Module:
    heads = draw(st.sampled_from([1, 2, 4]))
    return draw(
        st.one_of(
            convolutions(),
            transposed(),
            st.sampled_from([nn.ReLU(), nn.ReLU(inplace=True), nn.BatchNorm2d(CHANNELS), nn.GELU(), nn.Dropout(0.5)]),
            st.builds(lambda bias: OnTokens(nn.Linear(CHANNELS, CHANNELS, bias=bias)), st.booleans()),
            st.just(OnTokens(ProductAttention(CHANNELS, heads))),
            st.just(OnTokens(nn.MultiheadAttention(CHANNELS, heads, batch_first=True))),
        )
    )


@st.composite
def networks(draw: st.DrawFn) -> nn.Sequential:
    body: list[nn.Module] = [nn.Conv2d(3, CHANNELS, 1)]
    for _ in range(draw(st.integers(1, 6))):
        layer = draw(layers())
        inplace = getattr(layer, "inplace", False)
        body.append(
            Block(
                layer,
                shortcut=draw(st.booleans()) and not inplace,
                detached=draw(st.integers(0, 9)) == 0 and not inplace,
                frozen=draw(st.sampled_from(["none", "none", "none", "all", "weight", "bias"])),
            )
        )
    classes = draw(st.integers(1, 5))
    body += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(CHANNELS, classes, bias=draw(st.booleans()))]
    body[0].requires_grad_(draw(st.booleans()))
    return nn.Sequential(*body)


@settings(max_examples=100, deadline=None, derandomize=True)  # the same hundred everywhere
@given(networks())
def test_the_two_counters_agree(network: nn.Sequential) -> None:
    try:
        copy.deepcopy(network).eval()(torch.zeros(1, 3, SIDE, SIDE))
    except RuntimeError:  # strides have eaten the map before a kernel of 3
        reject()
    found = bill(network, resolution=SIDE)
    network.train()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
    shapes = network.to("meta")
    image = torch.empty(1, 3, SIDE, SIDE, device="meta")
    with sdpa_kernel(SDPBackend.MATH):
        second = count(shapes, image)
        evaluation = count(shapes.eval(), image).forward
    assert (second.forward, second.weight_gradient, second.input_gradient, evaluation) == (
        found.forward_macs,
        found.weight_gradient_macs,
        found.input_gradient_macs,
        found.evaluation_macs,
    )
