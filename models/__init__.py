"""The zoo: name -> constructor. torchvision's architectures under its own names, and those it lacks, one file each.

Plain nn.Modules for (N, 3, H, W) images, untrained. A network with auxiliary heads returns a tuple in train mode,
logits first; in eval mode every network returns logits (N, classes). Nothing here imports the harness, and torch and
torchvision only where a network is made: they take seconds to import, and the names of the zoo need neither.
"""

import importlib
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn

TORCHVISION = (
    "alexnet",
    "vgg11",
    "googlenet",
    "resnet18",
    "resnet34",
    "resnet50",
    "wide_resnet50_2",
    "squeezenet1_1",
    "densenet121",
    "resnext50_32x4d",
    "mobilenet_v2",
    "shufflenet_v2_x1_0",
    "shufflenet_v2_x1_5",
    "efficientnet_b0",
    "mobilenet_v3_large",
    "mnasnet1_0",
    "regnet_y_400mf",
    "efficientnet_v2_s",
    "convnext_tiny",
    "vit_b_16",
    "swin_t",
)


def _torchvision(name: str, *, num_classes: int, **kwargs: Any) -> "nn.Module":
    from torchvision import models as torchvision_models

    if name == "googlenet":
        kwargs = {"init_weights": True} | kwargs  # torchvision warns unless it is said
    network: nn.Module = getattr(torchvision_models, name)(weights=None, num_classes=num_classes, **kwargs)
    return network


def _mnasnet(*, num_classes: int, batchnorm_momentum: float = 0.01, **kwargs: Any) -> "nn.Module":
    """MnasNet whose running statistics follow as in the authors' code (tensorflow/tpu): their 0.99 is torch's 0.01.

    torchvision has 0.0003: the statistics stand near their start for some 3,300 steps, and so does every evaluation.
    """
    from torch import nn

    network = _torchvision("mnasnet1_0", num_classes=num_classes, **kwargs)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = batchnorm_momentum
    return network


def _own(file: str, name: str, *, num_classes: int, **kwargs: Any) -> "nn.Module":
    """The network of this name from a file beside this one."""
    network: nn.Module = getattr(importlib.import_module(f"{__name__}.{file}"), name)(num_classes=num_classes, **kwargs)
    return network


ZOO: dict[str, Callable[..., "nn.Module"]] = {name: partial(_torchvision, name) for name in TORCHVISION} | {
    "mnasnet1_0": _mnasnet,
    "alexnet_2012": partial(_own, "alexnet_2012", "AlexNet2012"),
    "googlenet_2014": partial(_own, "googlenet_2014", "GoogLeNet2014"),
    "mobilenet_v1": partial(_own, "mobilenet_v1", "MobileNetV1"),
    "shufflenet_v1_x1_0": partial(_own, "shufflenet_v1", "ShuffleNetV1"),
}


def build(name: str, *, classes: int, **kwargs: Any) -> "nn.Module":
    """A fresh network of the zoo with `classes` outputs; KeyError for an unknown name."""
    return ZOO[name](num_classes=classes, **kwargs)


def without_weights(make: Callable[[], "nn.Module"]) -> "nn.Module":
    """What `make` constructs, with shapes but no weights where it can do without them: built in milliseconds."""
    import torch

    try:
        with torch.device("meta"):
            return make()
    except (NotImplementedError, RuntimeError):  # some constructors compute with their tensors, as RegNet its widths
        return make()
