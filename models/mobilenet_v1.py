"""MobileNet v1 (Howard et al. 2017, arXiv 1704.04861), table 1, at width 1 unless said otherwise.

A full 3x3 convolution, then thirteen pairs of depthwise 3x3 and pointwise 1x1, BatchNorm and ReLU after each.
The paper states 569 M multiply-adds and 4.2 M parameters at 224 pixels.
"""

from torch import Tensor, nn

# (output channels of the pointwise convolution, stride of the depthwise one)
BLOCKS = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1))


def _conv(inputs: int, outputs: int, *, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """Convolution, BatchNorm, ReLU; the padding keeps the map's size at stride 1."""
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


class MobileNetV1(nn.Module):
    """(N, 3, H, W) -> (N, num_classes). The paper names no dropout; 0.001 is the authors' code's.

    width: the paper's multiplier of every layer's channels (section 3.3).
    """

    def __init__(self, num_classes: int = 1000, dropout: float = 0.001, width: float = 1.0) -> None:
        super().__init__()
        channels = round(32 * width)
        layers = [_conv(3, channels, kernel=3, stride=2)]
        for full_width, stride in BLOCKS:
            outputs = round(full_width * width)
            layers.append(_conv(channels, channels, kernel=3, stride=stride, groups=channels))
            layers.append(_conv(channels, outputs, kernel=1))
            channels = outputs
        self.features = nn.Sequential(*layers)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(nn.Dropout(dropout), nn.Linear(channels, num_classes))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.classifier(self.pool(self.features(images)).flatten(1))
        return logits
