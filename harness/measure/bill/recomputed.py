"""What gradient checkpointing computes a second time in the backward pass: a number beside the bill, never in it.

A whole step is run on the CPU, and torch's own counter is read around every operator that torch.utils.checkpoint
repeats. So what its early stop leaves out is left out here: all after the last tensor that a gradient needs.
"""

import sys
from typing import Any

import torch
import torch.utils.checkpoint
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from harness.measure.bill.probe import seeded
from harness.record.units import FLOPS_PER_MAC

_CHECKPOINT = torch.utils.checkpoint.__file__


def in_checkpoint() -> bool:
    """Whether torch.utils.checkpoint is among the callers: of a product, in the forward pass or in its repetition."""
    frame: Any = sys._getframe(1)
    while frame and frame.f_code.co_filename != _CHECKPOINT:
        frame = frame.f_back
    return frame is not None


def recomputed_macs(shadow: nn.Module, images: Tensor, *, forward_macs: int) -> int | None:
    """MACs that the backward pass of this batch repeats of its forward pass, which costs `forward_macs`.

    None where torch's counter finds another number in the forward pass: what it does not know it counts as 0.
    """
    shadow.train()
    with seeded(0), torch.enable_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        heads = [head for head in _tensors(shadow(images)) if head.requires_grad]
        if counter.get_total_flops() != forward_macs * FLOPS_PER_MAC:
            return None
        with _Repeated(counter) as repeated:
            torch.autograd.backward(heads, [torch.ones_like(head) for head in heads])
    shadow.zero_grad(set_to_none=True)
    return repeated.flops // FLOPS_PER_MAC


class _Repeated(TorchDispatchMode):
    """Reads the counter around every operator that a checkpoint repeats; autograd's own are not called by one."""

    def __init__(self, counter: FlopCounterMode) -> None:
        super().__init__()
        self.flops = 0
        self._counter = counter

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        before = self._counter.get_total_flops()
        out = func(*args, **(kwargs or {}))
        if in_checkpoint():
            self.flops += self._counter.get_total_flops() - before
        return out


def _tensors(outputs: Any) -> list[Tensor]:
    if isinstance(outputs, Tensor):
        return [outputs]
    values = outputs.values() if isinstance(outputs, dict) else outputs
    return [tensor for each in values for tensor in _tensors(each)] if isinstance(outputs, (dict, list, tuple)) else []
