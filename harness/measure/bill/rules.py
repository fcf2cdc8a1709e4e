"""What one operator of a traced graph costs: forward MACs, and a backward product per operand that needs a gradient.

A MAC is one multiply-accumulate of a convolution, linear layer, matrix product or attention product. The gradient of
each operand of a product costs the product's own MACs again, so an operator's bill follows from its forward MACs and
from which of its operands autograd wants a gradient for. Three explicit lists cover the operators: _PRODUCTS (billed),
ELEMENTWISE (operations per element, a separate line that never enters the headline) and FREE (no arithmetic on
features). What stands on none of them is an error, because an operator counted as 0 by silence is how counts go wrong.
"""

from collections import Counter
from collections.abc import Callable
from math import prod
from typing import Any

from fvcore.nn.jit_handles import addmm_flop_jit, bmm_flop_jit, conv_flop_count, get_shape, linear_flop_jit

from harness.record.errors import UncountedOperator

Handle = Callable[[list[Any], list[Any]], "Counter[str]"]
FORWARD, WEIGHT, INPUT, ELEMENTWISE_LINE = "forward", "weight", "input", "elementwise"


def _shape(value: Any) -> list[int]:
    shape = get_shape(value)
    if shape is None:
        raise UncountedOperator(f"the tracer lost the shape of an operand of {value.node().kind()}")
    return shape


def needs_gradient(value: Any) -> bool:
    """Whether autograd wants a gradient for this operand (None and non-tensor operands: no)."""
    return bool(value.isCompleteTensor() and value.type().requires_grad())


def _bill(name: str, macs: int, *, weights: tuple[Any, ...] = (), inputs: tuple[Any, ...] = ()) -> "Counter[str]":
    """`macs` forward, and once more per operand that needs a gradient: weights on one line, features on the other."""
    return Counter(
        {
            f"{FORWARD} {name}": macs,
            f"{WEIGHT} {name}": macs * sum(needs_gradient(value) for value in weights),
            f"{INPUT} {name}": macs * sum(needs_gradient(value) for value in inputs),
        }
    )


def _convolution(inputs: list[Any], outputs: list[Any]) -> "Counter[str]":
    """Every tap of the kernel at every position counts, padding included: N x prod(weight) x prod(positions).

    The weight is (out, in / groups, k...), so groups are accounted for; a transposed one slides over its input.
    """
    x_shape, weight_shape, out_shape = _shape(inputs[0]), _shape(inputs[1]), _shape(outputs[0])
    if len(x_shape) != len(weight_shape):
        raise UncountedOperator(f"convolution of an unbatched input of shape {x_shape}: add the batch dimension")
    # aten::_convolution has a flag `transposed`; aten::_convolution_mode (padding="same") has none
    transposed = bool(inputs[6].toIValue()) if len(inputs) > 7 else False
    macs = int(conv_flop_count(x_shape, weight_shape, out_shape, transposed=transposed))
    return _bill("conv", macs, weights=(inputs[1],), inputs=(inputs[0],))


def _linear(inputs: list[Any], outputs: list[Any]) -> "Counter[str]":
    return _bill("linear", int(linear_flop_jit(inputs, outputs)), weights=(inputs[1],), inputs=(inputs[0],))


def _addmm(inputs: list[Any], outputs: list[Any]) -> "Counter[str]":
    return _bill("matmul", int(addmm_flop_jit(inputs, outputs)), inputs=(inputs[1], inputs[2]))


def _bmm(inputs: list[Any], outputs: list[Any]) -> "Counter[str]":
    return _bill("matmul", int(bmm_flop_jit(inputs, outputs)), inputs=(inputs[0], inputs[1]))


def _baddbmm(inputs: list[Any], outputs: list[Any]) -> "Counter[str]":
    return _bmm(inputs[1:3], outputs)


def _matmul(inputs: list[Any], outputs: list[Any]) -> "Counter[str]":
    """Elements of the product x inner length: right for vectors and broadcast batches too, where fvcore's is not."""
    macs = prod(_shape(outputs[0])) * _shape(inputs[0])[-1]
    return _bill("matmul", macs, inputs=(inputs[0], inputs[1]))


def _einsum(inputs: list[Any], outputs: list[Any]) -> "Counter[str]":
    """Two operands: the product of the sizes of all letters."""
    equation = inputs[0].toIValue().replace(" ", "")
    operands = list(inputs[1].node().inputs())
    if len(operands) != 2 or "." in equation:
        raise UncountedOperator(f"einsum {equation}: only two operands without ellipsis are billed; write it as those")
    sizes: dict[str, int] = {}
    for letters, operand in zip(equation.split("->")[0].split(","), operands, strict=True):
        sizes.update(zip(letters, _shape(operand), strict=True))
    return _bill("matmul", prod(sizes.values()), inputs=tuple(operands))


def _attention(inputs: list[Any], outputs: list[Any]) -> "Counter[str]":
    """Query (..., L, E), key (..., S, E), value (..., S, V): scores L S E, then weighted values L S V, per head.

    Backward: each operand's own product, and dP = dO V^T where query, key or a learnt mask need a gradient. A causal
    mask saves nothing here, and what a flash kernel recomputes is not billed: both are the kernel's affair.
    """
    query, key, value, mask = inputs[:4]
    *batch, length, width = _shape(query)
    keys, value_width = _shape(value)[-2:]
    scores, weighted = prod(batch) * length * keys * width, prod(batch) * length * keys * value_width
    through_scores = any(needs_gradient(operand) for operand in (query, key, mask))
    backward = scores * (needs_gradient(query) + needs_gradient(key))
    backward += weighted * (needs_gradient(value) + through_scores)
    return Counter({f"{FORWARD} attention": scores + weighted, f"{INPUT} attention": backward})


def _native_attention(inputs: list[Any], outputs: list[Any]) -> "Counter[str]":
    """The fused inference kernel of nn.MultiheadAttention on (N, L, E): three projections, both products, one more.

    It has no derivative, so PyTorch takes it only where nothing needs a gradient.
    """
    batch, length, width = _shape(inputs[0])
    keys = _shape(inputs[1])[1]
    projections = batch * width * width * (2 * length + 2 * keys)
    return Counter({f"{FORWARD} attention": projections + 2 * batch * length * keys * width})


_PRODUCTS: dict[str, Handle] = {
    "aten::_convolution": _convolution,
    "aten::_convolution_mode": _convolution,
    "aten::linear": _linear,
    "aten::addmm": _addmm,
    "aten::mm": _matmul,
    "aten::matmul": _matmul,
    "aten::mv": _matmul,
    "aten::dot": _matmul,
    "aten::bmm": _bmm,
    "aten::baddbmm": _baddbmm,
    "aten::einsum": _einsum,
    "aten::scaled_dot_product_attention": _attention,
    "aten::_native_multi_head_attention": _native_attention,
}
# Recorded below autograd: the flag of their output is wrong (_Products in count.py).
_UNFLAGGED = ("aten::_convolution",)


def products() -> dict[str, Handle]:
    """Operator -> handle that bills it, for one trace."""
    reached = _Reached()
    return {kind: _with_backward_if(reached, rule) for kind, rule in _PRODUCTS.items()}


def _with_backward_if(reached: "_Reached", rule: Handle) -> Handle:
    def handle(inputs: list[Any], outputs: list[Any]) -> "Counter[str]":
        counts = rule(inputs, outputs)
        if not reached(outputs[0]):
            counts = Counter({key: number for key, number in counts.items() if key.startswith(FORWARD)})
        return counts

    return handle


class _Reached:
    """Whether the backward pass, which starts at the outputs, comes to a value of the graph."""

    def __init__(self) -> None:
        self._values: set[int] | None = None

    def __call__(self, value: Any) -> bool:
        if self._values is None:
            self._values = set()
            for node in reversed(list(value.node().owningBlock().nodes())):
                if node.kind() == "prim::Constant":  # most of the nodes, and no gradient ends there
                    continue
                self._values.update(out.unique() for out in node.outputs() if self._continues(out))
        return value.unique() in self._values

    def _continues(self, value: Any) -> bool:
        assert self._values is not None
        carries = needs_gradient(value) or not value.isCompleteTensor()  # a list or a tuple has no flag
        for use in value.uses():
            user = use.user
            if user.kind() == "prim::Return" and carries:
                return True
            for out in user.outputs():
                tensor_flagged = needs_gradient(out) or user.kind() in _UNFLAGGED
                flagged = tensor_flagged if out.isCompleteTensor() else carries
                # A write into a slice is used by nobody in the graph; what was written into is.
                written = user.kind().endswith("_") and not out.uses()
                if flagged and (written or out.unique() in self._values):
                    return True
        return False


def elementwise(operations: int) -> Handle:
    """`operations` per element of the output."""

    def handle(inputs: list[Any], outputs: list[Any]) -> "Counter[str]":
        name = outputs[0].node().kind().removeprefix("aten::").rstrip("_")
        return Counter({f"{ELEMENTWISE_LINE} {name}": operations * prod(get_shape(outputs[0]) or [])})

    return handle


def pooling(inputs: list[Any], outputs: list[Any]) -> "Counter[str]":
    """One operation per element of the window and output position."""
    name = outputs[0].node().kind().removeprefix("aten::")
    window = [int(side.toIValue()) for side in inputs[1].node().inputs()]
    return Counter({f"{ELEMENTWISE_LINE} {name}": prod(window) * prod(_shape(outputs[0]))})


def reduction(inputs: list[Any], outputs: list[Any]) -> "Counter[str]":
    """One operation per element of the input."""
    name = outputs[0].node().kind().removeprefix("aten::")
    return Counter({f"{ELEMENTWISE_LINE} {name}": prod(get_shape(inputs[0]) or [])})


# Operations per element: fvcore's convention for norms (5 with statistics and affine), 1 for everything simple.
ELEMENTWISE: dict[str, Handle] = (
    {f"aten::{name}_norm": elementwise(5) for name in ("batch", "group", "layer", "instance", "rms")}
    | {f"aten::{name}": pooling for name in ("max_pool1d", "max_pool2d", "avg_pool1d", "avg_pool2d", "avg_pool3d")}
    | {
        f"aten::{name}": reduction
        for name in ("adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_max_pool2d", "mean", "sum", "amax", "var")
    }
    | {f"aten::{name}": elementwise(5) for name in ("softmax", "log_softmax")}
    | {
        f"aten::{name}{place}": elementwise(1)
        for place in ("", "_")
        for name in (
            *("relu", "relu6", "hardtanh", "leaky_relu", "elu", "celu", "selu", "prelu", "gelu", "silu", "mish"),
            *("sigmoid", "hardsigmoid", "hardswish", "tanh", "softplus", "threshold", "clamp", "clamp_min"),
            *("add", "sub", "rsub", "mul", "div", "neg", "abs", "pow", "sqrt", "rsqrt", "square", "exp", "log"),
            *("dropout", "feature_dropout", "alpha_dropout", "bernoulli", "maximum", "minimum", "addcmul"),
        )
    }
)

# Shapes, copies, indices and constants: nothing is computed on features.
FREE: frozenset[str] = frozenset(
    f"aten::{name}"
    for name in (
        *("Int", "ScalarImplicit", "size", "numel", "dim", "detach", "detach_", "clone", "copy_", "contiguous", "to"),
        *("type_as", "alias", "lift_fresh", "view", "view_as", "reshape", "flatten", "unflatten", "permute", "t"),
        *("transpose", "transpose_", "movedim", "swapaxes", "numpy_T", "mT", "expand", "expand_as", "repeat"),
        *("unsqueeze", "unsqueeze_", "squeeze", "squeeze_", "slice", "select", "narrow", "index", "index_select"),
        *("index_put_", "gather", "roll", "flip", "cat", "concat", "stack", "split", "split_with_sizes", "chunk"),
        *("unbind", "tensor_split", "pad", "constant_pad_nd", "zero_pad2d", "reflection_pad2d", "pixel_shuffle"),
        *("pixel_unshuffle", "channel_shuffle", "upsample_nearest2d", "empty", "empty_like", "new_empty", "zeros"),
        *("zeros_like", "new_zeros", "ones", "ones_like", "new_ones", "full", "full_like", "new_full", "arange"),
        *("fill_", "zero_", "masked_fill", "masked_fill_", "where", "eq", "ne", "lt", "le", "gt", "ge"),
        *("logical_not", "logical_and", "logical_or", "bitwise_not", "__and__", "__or__", "floor", "floor_divide"),
        *("remainder", "argmax", "max", "embedding", "rand", "rand_like", "randperm"),
    )
)

# Control flow and foreign code whose inside the graph does not show.
OPAQUE: tuple[str, ...] = ("prim::If", "prim::Loop", "prim::CallMethod", "prim::CallFunction")


def refuse(inputs: list[Any], outputs: list[Any]) -> "Counter[str]":
    """Handle of OPAQUE: scripted parts may multiply unseen."""
    raise UncountedOperator("the model contains scripted control flow, whose inside is not billed; pass the eager one")
