"""Names as people write them; every floor of the analysis may use them."""

import re

DATASETS = {
    "fashion_mnist": "Fashion-MNIST",
    "digits": "handwritten digits",
    "imagenet": "ImageNet",
    "tiny_imagenet": "Tiny ImageNet",
    "fake": "generated images",
}
"""Data sets by the name in their records."""


def named(dataset: str) -> str:
    """Return a data set's name as people write it; its own where nobody has given it another."""
    return DATASETS.get(dataset, dataset)


def short_title(title: str) -> str:
    """Return an architecture's name without what the title explains after a comma or in brackets."""
    return re.split(r",| \(", title)[0]
