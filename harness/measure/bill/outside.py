"""Networks outside the zoo, built from what other libraries construct, for the bill of curves made elsewhere.

A constructor is "zoo:NAME", "torchvision:NAME" or "timm:NAME", with arguments as in a web address:
"torchvision:mobilenet_v2?width_mult=0.5". timm is an optional extra.
"""

import importlib
from functools import cache, partial
from typing import Any
from urllib.parse import parse_qsl

import yaml
from torch import nn
from torchvision import models as torchvision_models

from harness.measure.bill.count import bill
from harness.measure.config.cards import skeleton
from harness.models import ZOO, without_weights
from harness.models import build as build_network
from harness.record.errors import BadInput

HE_LAYOUT = "stride_in_first_1x1"
"""Argument of ours for torchvision's ResNets: the layout of He et al. (2015), blocks that shrink in their first 1x1."""


def forward_macs(constructor: str, resolution: int, classes: int = 1000) -> int | None:
    """Forward MACs an image in train mode; None where the zoo, torchvision or timm has no such network here.

    Raises BadInput for a network that does not run at that size.
    """
    return None if (counted := whole_bill(constructor, resolution, classes)) is None else counted["forward_macs"]


@cache
def whole_bill(constructor: str, resolution: int, classes: int = 1000) -> dict[str, int] | None:
    """Every line of the bill of one image; None where there is no such network here.

    Raises BadInput where the network does not run at the resolution.
    """
    network = build(constructor, resolution, classes)
    if network is None:
        return None
    try:
        return bill(network, resolution=resolution).as_recorded()
    except (RuntimeError, ValueError, AssertionError) as error:
        raise BadInput(f"{constructor} does not run at {resolution} pixels ({str(error).splitlines()[0]})") from error


def build(constructor: str, resolution: int, classes: int) -> nn.Module | None:
    """The network, without weights where its constructor can do without; None where nobody here constructs it."""
    library, _, rest = constructor.partition(":")
    name, _, query = rest.partition("?")
    arguments: dict[str, Any] = {key: yaml.safe_load(value) for key, value in parse_qsl(query)}
    he_layout = arguments.pop(HE_LAYOUT, False)
    if library == "zoo":
        if name not in ZOO:
            return None
        made = partial(build_network, name, classes=classes, **arguments)
        made = made if arguments else partial(skeleton, name, resolution=resolution, classes=classes)
    elif library == "torchvision":
        if name not in torchvision_models.list_models(torchvision_models):
            return None
        made = partial(torchvision_models.get_model, name, weights=None, num_classes=classes, **arguments)
    else:
        try:
            timm = importlib.import_module("timm")
        except ImportError:
            return None
        if not timm.is_model(name):
            return None
        made = partial(timm.create_model, name, num_classes=classes, **arguments)
    network = without_weights(made)
    if he_layout:
        _shrink_first(network)
    return network


def _shrink_first(network: nn.Module) -> None:
    """Move every bottleneck's stride from its 3x3 to its first 1x1."""
    for block in network.modules():
        if isinstance(block, torchvision_models.resnet.Bottleneck):
            block.conv1.stride, block.conv2.stride = block.conv2.stride, block.conv1.stride
