"""What one operator of a traced graph costs: forward MACs, and a backward product per operand that needs a gradient.

A MAC is one multiply-accumulate of a convolution, linear layer, matrix product or attention product. The gradient of
each operand of a product costs the product's own MACs again, so an operator's bill follows from its forward MACs and
from which of its operands autograd wants a gradient for. A complex MAC is four real ones. Three explicit lists cover
the operators: _PRODUCTS here (billed), ELEMENTWISE (operations per element, a line apart, in no MAC count) and FREE (no
arithmetic on features) in plain.py. What stands on none of them is an error, because an operator counted as 0 by
silence is how counts go wrong.

A new product is a line here, and one in `functions`, by which the trace sees it.
"""

from collections import Counter
from math import prod
from typing import Any

import torch
from fvcore.nn.jit_handles import conv_flop_count
from torch import Tensor, nn

from harness.measure.bill.rules import contractions, recurrent
from harness.measure.bill.rules.operands import FORWARD, INPUT, Handle, lines, needs_gradient, real_macs, shape
from harness.measure.bill.rules.reached import Reached
from harness.record.errors import UncountedOperator


def _convolution(inputs: list[Any], outputs: list[Any]) -> "Counter[str]":
    """Every tap of the kernel at every position counts, padding included: N x prod(weight) x prod(positions).

    The weight is (out, in / groups, k...), so groups are accounted for; a transposed one slides over its input.
    """
    x_shape, weight_shape, out_shape = shape(inputs[0]), shape(inputs[1]), shape(outputs[0])
    if len(x_shape) != len(weight_shape):
        raise UncountedOperator(f"convolution of an unbatched input of shape {x_shape}: add the batch dimension")
    # aten::_convolution has a flag `transposed`; aten::_convolution_mode (padding="same") has none
    transposed = bool(inputs[6].toIValue()) if len(inputs) > 7 else False
    macs = int(conv_flop_count(x_shape, weight_shape, out_shape, transposed=transposed))
    return lines("conv", macs, weights=(inputs[1],), inputs=(inputs[0],))


def _linear(inputs: list[Any], outputs: list[Any]) -> "Counter[str]":
    """Elements of the output x features of the input: right for a weight of one dimension too."""
    macs = prod(shape(outputs[0])) * shape(inputs[0])[-1]
    return lines("linear", macs, weights=(inputs[1],), inputs=(inputs[0],))


def _product(inputs: list[Any], outputs: list[Any]) -> "Counter[str]":
    """Elements of the product x inner length: right for vectors and broadcast batches too."""
    return lines("matmul", prod(shape(outputs[0])) * shape(inputs[0])[-1], inputs=(inputs[0], inputs[1]))


def _added_product(inputs: list[Any], outputs: list[Any]) -> "Counter[str]":
    """The first operand is only added."""
    return _product(inputs[1:3], outputs)


def _summed_product(inputs: list[Any], outputs: list[Any]) -> "Counter[str]":
    """addbmm: the products (B, N, K) x (B, K, M) of a batch, summed over the batch."""
    macs = prod(shape(inputs[1])) * shape(inputs[2])[-1]
    return lines("matmul", macs, inputs=(inputs[1], inputs[2]))


def _attention(inputs: list[Any], outputs: list[Any]) -> "Counter[str]":
    """Query (..., L, E), key (..., S, E), value (..., S, V): scores L S E, then weighted values L S V, per head.

    Backward: each operand's own product, and dP = dO V^T where query, key or a learnt mask need a gradient. A causal
    mask saves nothing here, and what a flash kernel recomputes is not billed: both are the kernel's affair.
    """
    query, key, value, mask = inputs[:4]
    *batch, length, width = shape(query)
    keys, value_width = shape(value)[-2:]
    scores, weighted = prod(batch) * length * keys * width, prod(batch) * length * keys * value_width
    through_scores = any(needs_gradient(operand) for operand in (query, key, mask))
    backward = scores * (needs_gradient(query) + needs_gradient(key))
    backward += weighted * (needs_gradient(value) + through_scores)
    operands = (query, key, value)
    forward, backward = real_macs(scores + weighted, operands), real_macs(backward, operands)
    return Counter({f"{FORWARD} attention": forward, f"{INPUT} attention": backward})


_PRODUCTS: dict[str, Handle] = (
    dict.fromkeys(("aten::_convolution", "aten::_convolution_mode"), _convolution)
    | dict.fromkeys((f"aten::{name}" for name in ("matmul", "mm", "bmm", "mv", "dot", "vdot", "inner")), _product)
    | dict.fromkeys((f"aten::{name}" for name in ("addmm", "addmm_", "addmv", "addmv_")), _added_product)
    | dict.fromkeys(("aten::baddbmm", "aten::baddbmm_"), _added_product)
    | dict.fromkeys(("aten::addbmm", "aten::addbmm_"), _summed_product)
    | dict.fromkeys((f"aten::{name}" for name in ("lstm", "gru", "rnn_tanh", "rnn_relu")), recurrent.layers)
    | dict.fromkeys((f"aten::{name}_cell" for name in ("lstm", "gru", "rnn_tanh", "rnn_relu")), recurrent.cell)
    | {
        "aten::linear": _linear,
        "aten::linalg_matmul": _product,
        "aten::einsum": contractions.einsum,
        "aten::tensordot": contractions.tensordot,
        "aten::linalg_multi_dot": contractions.chain,
        "aten::bilinear": contractions.bilinear,
        "aten::scaled_dot_product_attention": _attention,
    }
)

functions = frozenset(
    getattr(owner, name)
    for owner, names in (
        (torch, "conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d matmul mm bmm addmm addmv"),
        (torch, "baddbmm addbmm einsum mv dot vdot inner tensordot bilinear lstm gru rnn_tanh rnn_relu"),
        (torch, "lstm_cell gru_cell rnn_tanh_cell rnn_relu_cell"),
        (torch.linalg, "matmul multi_dot"),
        (Tensor, "matmul __matmul__ __rmatmul__ mm bmm addmm addmm_ addmv addmv_ baddbmm baddbmm_ addbmm addbmm_"),
        (Tensor, "mv dot vdot inner"),
        (nn.functional, "linear scaled_dot_product_attention"),
    )
    for name in names.split()
)
"""The calls that multiply: the trace watches each (count.py)."""


def products() -> dict[str, Handle]:
    """Operator -> handle that bills it, for one trace."""
    reached = Reached()
    return {kind: _with_backward_if(reached, rule) for kind, rule in _PRODUCTS.items()}


def _with_backward_if(reached: Reached, rule: Handle) -> Handle:
    def handle(inputs: list[Any], outputs: list[Any]) -> "Counter[str]":
        counts = rule(inputs, outputs)
        if not any(map(reached, outputs)):
            counts = Counter({key: number for key, number in counts.items() if key.startswith(FORWARD)})
        return counts

    return handle
