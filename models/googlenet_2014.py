"""GoogLeNet as published (Szegedy et al. 2014, arXiv 1409.4842), table 1 and section 5: 5x5 branches, local response
normalisation, no BatchNorm, two auxiliary heads. torchvision's `googlenet` has BatchNorm and 3x3 in their place.

About 7.0 M parameters and 1.6 G multiply-adds without the auxiliary heads. The paper gives no constants for the
normalisation and no initial weights; both are those of BVLC's Caffe reproduction (models/bvlc_googlenet), and so are
the raw centred levels that they are made for.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.googlenet import GoogLeNetOutputs

from .alexnet_2012 import LEVELS

# table 1: 1x1, 3x3 reduce, 3x3, 5x5 reduce, 5x5, pool projection
INCEPTIONS = {
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}


def _conv(inputs: int, outputs: int, *, kernel: int = 1, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2), nn.ReLU(inplace=True))


def _pool() -> nn.Module:
    return nn.MaxPool2d(3, stride=2, ceil_mode=True)


def _normalise() -> nn.Module:
    return nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=1.0)


class Inception(nn.Module):
    """Figure 2 (b): four branches side by side, concatenated over channels."""

    def __init__(self, inputs: int, widths: tuple[int, int, int, int, int, int]) -> None:
        super().__init__()
        ones, reduce3, threes, reduce5, fives, projection = widths
        self.branch1 = _conv(inputs, ones)
        self.branch3 = nn.Sequential(_conv(inputs, reduce3), _conv(reduce3, threes, kernel=3))
        self.branch5 = nn.Sequential(_conv(inputs, reduce5), _conv(reduce5, fives, kernel=5))
        self.branch_pool = nn.Sequential(nn.MaxPool2d(3, stride=1, padding=1), _conv(inputs, projection))
        self.outputs = ones + threes + fives + projection

    def forward(self, features: Tensor) -> Tensor:
        branches = (self.branch1, self.branch3, self.branch5, self.branch_pool)
        return torch.cat([branch(features) for branch in branches], dim=1)


class AuxiliaryHead(nn.Module):
    """Section 5: average pooling 5x5 / 3, 128 1x1 filters, 1024 units, dropout 0.7. (N, C, 14, 14) -> (N, classes)."""

    def __init__(self, inputs: int, num_classes: int, dropout: float) -> None:
        super().__init__()
        self.conv = _conv(inputs, 128)
        self.hidden = nn.Sequential(nn.Linear(128 * 4 * 4, 1024), nn.ReLU(inplace=True), nn.Dropout(dropout))
        self.classifier = nn.Linear(1024, num_classes)

    def forward(self, features: Tensor) -> Tensor:
        if min(features.shape[-2:]) >= 5:
            features = functional.avg_pool2d(features, 5, stride=3)
        features = functional.adaptive_avg_pool2d(features, 4)  # 4 x 4 already at 224 pixels
        logits: Tensor = self.classifier(self.hidden(self.conv(features).flatten(1)))
        return logits


class GoogLeNet2014(nn.Module):
    """(N, 3, H, W) -> (N, num_classes); in train mode GoogLeNetOutputs(logits, head at 4d, head at 4a)."""

    def __init__(self, num_classes: int = 1000, dropout: float = 0.4, dropout_aux: float = 0.7) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            *(_conv(3, 64, kernel=7, stride=2), _pool(), _normalise()),
            *(_conv(64, 64), _conv(64, 192, kernel=3), _normalise(), _pool()),
        )
        blocks: dict[str, Inception] = {}
        channels = 192
        for name, widths in INCEPTIONS.items():
            blocks[name] = Inception(channels, widths)
            channels = blocks[name].outputs
        self.stage3 = nn.Sequential(blocks["3a"], blocks["3b"], _pool())
        self.inception4a = blocks["4a"]
        self.inception4bcd = nn.Sequential(blocks["4b"], blocks["4c"], blocks["4d"])
        self.stage4e5 = nn.Sequential(blocks["4e"], _pool(), blocks["5a"], blocks["5b"])
        self.auxiliary1 = AuxiliaryHead(blocks["4a"].outputs, num_classes, dropout_aux)
        self.auxiliary2 = AuxiliaryHead(blocks["4d"].outputs, num_classes, dropout_aux)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(nn.Dropout(dropout), nn.Linear(channels, num_classes))
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                nn.init.kaiming_uniform_(module.weight, nonlinearity="linear")  # Caffe's xavier: by what comes in alone
                assert module.bias is not None
                nn.init.constant_(module.bias, 0.2)
        for last in (self.auxiliary1.classifier, self.auxiliary2.classifier, self.classifier[-1]):
            assert isinstance(last, nn.Linear)
            nn.init.zeros_(last.bias)

    def forward(self, images: Tensor) -> Tensor | GoogLeNetOutputs:
        at_4a = self.inception4a(self.stage3(self.stem(LEVELS * images)))
        at_4d = self.inception4bcd(at_4a)
        logits: Tensor = self.classifier(self.pool(self.stage4e5(at_4d)).flatten(1))
        if not self.training:
            return logits
        return GoogLeNetOutputs(logits, self.auxiliary2(at_4d), self.auxiliary1(at_4a))
