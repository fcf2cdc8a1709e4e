"""Which source a config names: the one place that knows all of them."""

import torch

from harness.measure.config.schema import DataConfig, RecipeConfig
from harness.measure.data import images, prepared, small
from harness.measure.data.protocol import ImageData
from harness.record.errors import BadInput


def build(data: DataConfig, recipe: RecipeConfig, device: torch.device) -> ImageData:
    """The data set that a config names; raises BadInput where it cannot be found or used."""
    if data.name in small.SOURCES:
        return small.load(data, recipe, device)
    if data.pixels == "originals":
        return images.build(data, recipe, device)
    if data.pixels is not None:
        return prepared.build(data, recipe, device)
    raise BadInput(f"data.name={data.name}: no such data set; there are imagenet, {', '.join(small.SOURCES)}")
