"""Where the tests of this folder run: on a GPU where there is one; on the CPU at toy size, which tries the tests."""

from typing import TypeVar

import pytest
import torch

T = TypeVar("T")

NO_GPU = "no CUDA device here"
ON_GPU = (pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason=NO_GPU))

each_device = pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=ON_GPU)])


def only_on_gpu(test: T) -> T:
    """Marks a test whose subject a CPU does not have."""
    for mark in ON_GPU:
        test = mark(test)
    return test


def network(device: str) -> list[str]:
    """A network with BatchNorm for the device, as words: a real one, or one that a CPU trains in milliseconds."""
    if device == "cuda":
        return ["model=resnet18", "data.resolution=64"]
    return [
        "model=alexnet",
        "model.name=net",
        "+model.kwargs.norm=true",
        "model.min_resolution=16",
        "data.resolution=16",
    ]
