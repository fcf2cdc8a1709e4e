"""Names as people write them; every floor of the analysis may use them."""

import re

DATASETS = {"fashion_mnist": "Fashion-MNIST", "digits": "handwritten digits", "imagenet": "ImageNet"}
"""Data sets by the name in their records."""


def short_title(title: str) -> str:
    """Return an architecture's name without what the title explains after a comma or in brackets."""
    return re.split(r",| \(", title)[0]
