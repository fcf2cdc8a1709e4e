"""What autograd keeps of a forward pass for the backward one."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks


@contextmanager
def keeping(model: nn.Module) -> Iterator[dict[int, torch.UntypedStorage]]:
    """Around a forward pass of `model`: every storage that autograd keeps, once; those of weights and buffers apart.

    What is noted is held, so that no storage takes the place, and the number, of one that has gone.
    """
    own = {tensor.untyped_storage()._cdata for tensor in (*model.parameters(), *model.buffers())}
    kept: dict[int, torch.UntypedStorage] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in own:
            kept[storage._cdata] = storage
        return tensor

    with saved_tensors_hooks(note, lambda tensor: tensor):
        yield kept
