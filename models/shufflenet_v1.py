"""ShuffleNet v1 (Zhang et al. 2017, arXiv 1707.01083), table 1 at width 1 with three groups (g = 3).

Units of grouped 1x1, channel shuffle, depthwise 3x3, grouped 1x1. The paper states about 140 M multiply-adds.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

# (output channels, units) of stages 2 to 4 for g = 3; the first unit of each halves the map
STAGES = ((240, 4), (480, 8), (960, 4))
STEM_CHANNELS = 24


def _conv(inputs: int, outputs: int, *, kernel: int = 1, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    """Convolution and BatchNorm; the padding keeps the map's size at stride 1."""
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    return [convolution, nn.BatchNorm2d(outputs)]


class Unit(nn.Module):
    """Figure 2 (b) and (c): the shortcut is added, or, at stride 2, average-pooled and concatenated.

    The bottleneck is a quarter of the unit's output. Stage 2 starts without groups in its first 1x1 convolution,
    because the stem's 24 channels are few (section 3.3).
    """

    def __init__(self, inputs: int, outputs: int, *, stride: int, groups: int, first_groups: int) -> None:
        super().__init__()
        bottleneck = outputs // 4
        self.groups, self.stride = groups, stride
        branch_outputs = outputs - inputs if stride == 2 else outputs
        self.reduce = nn.Sequential(*_conv(inputs, bottleneck, groups=first_groups), nn.ReLU(inplace=True))
        self.depthwise = nn.Sequential(*_conv(bottleneck, bottleneck, kernel=3, stride=stride, groups=bottleneck))
        self.expand = nn.Sequential(*_conv(bottleneck, branch_outputs, groups=groups))

    def forward(self, features: Tensor) -> Tensor:
        branch = self.reduce(features)
        branch = branch.unflatten(1, (self.groups, -1)).transpose(1, 2).flatten(1, 2)  # channel shuffle
        branch = self.expand(self.depthwise(branch))
        if self.stride == 2:
            shortcut = functional.avg_pool2d(features, 3, stride=2, padding=1)
            return functional.relu(torch.cat((shortcut, branch), dim=1))
        return functional.relu(features + branch)


class ShuffleNetV1(nn.Module):
    """(N, 3, H, W) -> (N, num_classes)."""

    def __init__(self, num_classes: int = 1000, groups: int = 3) -> None:
        super().__init__()
        self.stem = nn.Sequential(*_conv(3, STEM_CHANNELS, kernel=3, stride=2), nn.ReLU(inplace=True))
        self.pool = nn.MaxPool2d(3, stride=2, padding=1)
        units: list[nn.Module] = []
        channels = STEM_CHANNELS
        for outputs, count in STAGES:
            for index in range(count):
                first_groups = 1 if channels == STEM_CHANNELS else groups
                stride = 2 if index == 0 else 1
                units.append(Unit(channels, outputs, stride=stride, groups=groups, first_groups=first_groups))
                channels = outputs
        self.units = nn.Sequential(*units)
        self.classifier = nn.Linear(channels, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Tensor) -> Tensor:
        features = self.units(self.pool(self.stem(images)))
        logits: Tensor = self.classifier(features.mean((2, 3)))
        return logits
