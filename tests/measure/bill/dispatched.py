"""Torch's own counter under a whole training step: what the kernels below autograd are asked to multiply.

It shares nothing with the bill's trace and rules. Stock it ignores groups in a convolution's backward and counts some
products as 0: those are told here.
"""

from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode, conv_flop_count


@dataclass(frozen=True)
class Step:
    """MACs of a whole batch."""

    forward: int
    backward: int
    evaluation: int


def step(network: nn.Module, images: Tensor) -> Step:
    """Counts a step and an evaluation of `network` on `images`; BatchNorm is left in eval mode."""
    network.train()
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval()
    with _counter() as counter:
        outputs = network(images)
        forward = _macs(counter)
        sum(head.abs().sum() for head in _tensors(outputs)).backward()
    network.zero_grad(set_to_none=True)
    with _counter() as evaluation, torch.no_grad():
        network.eval()(images)
    network.train()
    return Step(forward, _macs(counter) - forward, _macs(evaluation))


def _tensors(outputs: Any) -> list[Tensor]:
    return [outputs] if isinstance(outputs, Tensor) else [tensor for each in outputs for tensor in _tensors(each)]


def _counter() -> FlopCounterMode:
    aten = torch.ops.aten
    told = {
        aten.convolution_backward: _convolution_backward,
        aten.mv: lambda a, b, **_: 2 * prod(a),
        aten.dot: lambda a, b, **_: 2 * a[0],
        aten.addmv: lambda _, a, b, **__: 2 * prod(a),
        aten.addmm_: lambda _, a, b, **__: 2 * prod(a) * b[-1],
        aten.baddbmm_: lambda _, a, b, **__: 2 * prod(a) * b[-1],
        aten.addbmm: lambda _, a, b, **__: 2 * prod(a) * b[-1],
    }
    return _Math(display=False, custom_mapping=told)


class _Math(FlopCounterMode):
    """Attention as its two products, not as one kernel."""

    def __enter__(self) -> "_Math":
        self._kernel = sdpa_kernel(SDPBackend.MATH)
        self._kernel.__enter__()
        super().__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        super().__exit__(*error)
        self._kernel.__exit__(*error)


def _convolution_backward(grad: list[int], x: list[int], w: list[int], *args: object, out_shape: object) -> int:
    transposed, mask = args[4], args[-1]
    return sum(mask[:2]) * conv_flop_count(x, w, grad, transposed=transposed)


def _macs(counter: FlopCounterMode) -> int:
    assert counter.get_total_flops() % 2 == 0
    return counter.get_total_flops() // 2
