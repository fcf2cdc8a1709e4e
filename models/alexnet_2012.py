"""AlexNet as published (Krizhevsky, Sutskever, Hinton 2012), section 3: two groups, local response normalisation,
overlapping pooling. torchvision's `alexnet` is the single tower of 2014. About 61 M parameters.

The paper says 224 pixels, its arithmetic needs 227: padding 2 gives the same 55 x 55 map. Pooling to 6 x 6 before the
classifier changes nothing at 224 pixels and lets other sizes in.

Section 2: the network sees "the (centered) raw RGB values", and its initial weights and its normalisation are made for
them. The harness's images have a standard deviation of 1, so they are taken back to 57 levels first. Without that the
logits hardly depend on the image, and the units die before they do.
"""

from torch import Tensor, nn

LEVELS = 255 * 0.225
"""Of 256 levels, one standard deviation of ImageNet's pixels (0.224 to 0.229 of the range, by channel)."""


def _normalise() -> nn.Module:
    """k = 2, n = 5, alpha = 1e-4, beta = 0.75. torch divides alpha by n, the paper does not: hence 5e-4."""
    return nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0)


class AlexNet2012(nn.Module):
    """(N, 3, H, W) -> (N, num_classes). Both towers in one tensor; groups = 2 where the paper keeps them apart."""

    def __init__(self, num_classes: int = 1000, dropout: float = 0.5) -> None:
        super().__init__()
        self.features = nn.Sequential(
            *(nn.Conv2d(3, 96, 11, stride=4, padding=2), nn.ReLU(inplace=True), _normalise(), nn.MaxPool2d(3, 2)),
            *(nn.Conv2d(96, 256, 5, padding=2, groups=2), nn.ReLU(inplace=True), _normalise(), nn.MaxPool2d(3, 2)),
            *(nn.Conv2d(256, 384, 3, padding=1), nn.ReLU(inplace=True)),
            *(nn.Conv2d(384, 384, 3, padding=1, groups=2), nn.ReLU(inplace=True)),
            *(nn.Conv2d(384, 256, 3, padding=1, groups=2), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2)),
        )
        self.pool = nn.AdaptiveAvgPool2d(6)
        self.classifier = nn.Sequential(
            *(nn.Linear(256 * 6 * 6, 4096), nn.ReLU(inplace=True), nn.Dropout(dropout)),
            *(nn.Linear(4096, 4096), nn.ReLU(inplace=True), nn.Dropout(dropout)),
            nn.Linear(4096, num_classes),
        )
        self._initialise()

    def _initialise(self) -> None:
        """Section 5: weights from N(0, 0.01); biases 1 in convolutions 2, 4, 5 and the hidden linear layers."""
        layers = [module for module in self.modules() if isinstance(module, (nn.Conv2d, nn.Linear))]
        for number, layer in enumerate(layers, start=1):
            nn.init.normal_(layer.weight, std=0.01)
            assert layer.bias is not None
            nn.init.constant_(layer.bias, 1.0 if number in (2, 4, 5, 6, 7) else 0.0)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.classifier(self.pool(self.features(LEVELS * images)).flatten(1))
        return logits
