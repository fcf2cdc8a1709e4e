"""A second counter of MACs, sharing nothing with the one in harness: no trace, no fvcore, no rules in common.

Forward: a closed form per type of module, evaluated by forward hooks. Backward: what autograd itself recorded, walking
its graph from the outputs; a product's gradient is there exactly if autograd would compute it.
"""

from dataclasses import dataclass
from math import ceil, prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.swin_transformer import ShiftedWindowAttention


class ProductAttention(nn.Module):
    """One head per channel group through scaled_dot_product_attention, for the property test: (N, T, width)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query_key_value = nn.Linear(width, 3 * width)

    def forward(self, tokens: Tensor) -> Tensor:
        batch, length, width = tokens.shape
        packed = self.query_key_value(tokens).view(batch, length, 3, self.heads, width // self.heads)
        query, key, value = packed.permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(query, key, value)
        return mixed.transpose(1, 2).reshape(batch, length, width)


@dataclass
class Count:
    """MACs of the whole batch."""

    forward: int = 0
    weight_gradient: int = 0
    input_gradient: int = 0


def count(network: nn.Module, image: Tensor) -> Count:
    """Counts one forward pass of `network` in its present mode, and the backward pass that its outputs would start."""
    total = Count()

    def add_forward(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        total.forward += _forward_macs(module, inputs, output)

    handles = [module.register_forward_hook(add_forward) for module in network.modules()]
    outputs = network(image)
    for handle in handles:
        handle.remove()
    pending = [out.grad_fn for out in (outputs if isinstance(outputs, tuple) else (outputs,))]
    seen = set()
    while pending:
        node = pending.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        parents = [parent for parent, _ in node.next_functions]
        pending.extend(parents)
        _add_backward(total, node, parents)
    return total


def _forward_macs(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> int:
    if isinstance(module, (nn.ConvTranspose1d, nn.ConvTranspose2d)):
        return inputs[0].numel() * module.out_channels // module.groups * prod(module.kernel_size)
    if isinstance(module, (nn.Conv1d, nn.Conv2d)):
        return output.numel() * module.in_channels // module.groups * prod(module.kernel_size)
    if isinstance(module, nn.Linear):
        return output.numel() * module.in_features
    if isinstance(module, ProductAttention):
        batch, length, width = inputs[0].shape
        return 2 * batch * length * length * width
    if isinstance(module, nn.MultiheadAttention):
        batch, length, width = inputs[0].shape
        return batch * (4 * length * width * width + 2 * length * length * width)
    if isinstance(module, ShiftedWindowAttention):
        # The linear layers inside are called as functions; windows cover the map padded to whole windows.
        batch, height, width, channels = inputs[0].shape
        side = module.window_size[0]
        tokens = batch * ceil(height / side) * side * ceil(width / side) * side
        return tokens * channels * (4 * channels + 2 * side * side)
    return 0


def _add_backward(total: Count, node: Any, parents: list[Any]) -> None:
    """`parents` are in the order of the operator's operands; None stands where autograd wants no gradient."""
    name = node.name()
    if name == "ConvolutionBackward0":
        out_shape = node._input_metadata[0].shape
        weight_shape = _operand_shape(node._saved_weight, node, 1)
        positions = _operand_shape(node._saved_input, node, 0) if node._saved_transposed else out_shape
        macs = prod(positions) * prod(weight_shape[1:])
        total.input_gradient += macs * (parents[0] is not None)
        total.weight_gradient += macs * (parents[1] is not None)
    elif name in ("AddmmBackward0", "MmBackward0", "BmmBackward0"):
        first, second = parents[-2:]
        if first is None and second is None:
            return  # only the bias is trained
        saved = (
            (node._saved_mat1, node._saved_mat2) if name == "AddmmBackward0" else (node._saved_self, node._saved_mat2)
        )
        inner = saved[0].shape[-1] if saved[0] is not None else saved[1].shape[-2]
        macs = prod(node._input_metadata[0].shape) * inner
        total.input_gradient += macs * (first is not None)
        if second is not None and _is_weight(second):
            total.weight_gradient += macs
        elif second is not None:
            total.input_gradient += macs
    elif any(word in name for word in ("Attention", "Bilinear", "Einsum", "Linear", "mv", "dot")):
        raise NotImplementedError(f"the second counter does not know {name}")


def _operand_shape(saved: Tensor | None, node: Any, index: int) -> torch.Size:
    """Autograd drops an operand that no gradient needs; its producer still knows the shape."""
    if saved is not None:
        return saved.shape
    producer, output_index = node.next_functions[index]
    if hasattr(producer, "variable"):
        return producer.variable.shape
    return producer._input_metadata[output_index].shape


def _is_weight(node: Any) -> bool:
    """A parameter, or the transpose of one, which is how linear layers use theirs."""
    if node.name() == "TBackward0":
        node = node.next_functions[0][0]
    return hasattr(node, "variable")
