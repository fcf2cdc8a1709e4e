"""Operators that are no product: those with arithmetic on features, those without any, those whose inside is hidden."""

from collections import Counter
from math import prod
from typing import Any

from fvcore.nn.jit_handles import get_shape

from harness.measure.bill.rules.operands import ELEMENTWISE_LINE, Handle, constant, shape
from harness.record.errors import UncountedOperator


def elementwise(operations: int) -> Handle:
    """`operations` per element of the output."""

    def handle(inputs: list[Any], outputs: list[Any]) -> "Counter[str]":
        name = outputs[0].node().kind().removeprefix("aten::").rstrip("_")
        return Counter({f"{ELEMENTWISE_LINE} {name}": operations * prod(get_shape(outputs[0]) or [])})

    return handle


def pooling(inputs: list[Any], outputs: list[Any]) -> "Counter[str]":
    """One operation per element of the window and output position."""
    name = outputs[0].node().kind().removeprefix("aten::")
    window = constant(inputs[1])
    return Counter({f"{ELEMENTWISE_LINE} {name}": prod(window) * prod(shape(outputs[0]))})


def reduction(inputs: list[Any], outputs: list[Any]) -> "Counter[str]":
    """One operation per element of the input."""
    name = outputs[0].node().kind().removeprefix("aten::")
    return Counter({f"{ELEMENTWISE_LINE} {name}": prod(get_shape(inputs[0]) or [])})


# Operations per element: fvcore's convention for norms (5 with statistics and affine), 1 for everything simple.
ELEMENTWISE: dict[str, Handle] = (
    {f"aten::{name}_norm": elementwise(5) for name in ("batch", "group", "layer", "instance", "rms", "_weight")}
    | {f"aten::{name}_pool{n}d": pooling for name in ("max", "avg") for n in (1, 2, 3)}
    | {f"aten::adaptive_{name}_pool{n}d": reduction for name in ("avg", "max") for n in (1, 2, 3)}
    | {
        f"aten::{name}": reduction
        for name in (
            *("mean", "sum", "amax", "amin", "prod", "var", "std", "var_mean", "std_mean", "logsumexp", "norm"),
            *("linalg_norm", "linalg_vector_norm", "cumsum", "cumprod", "cosine_similarity", "col2im"),
        )
    }
    | {f"aten::{name}": elementwise(5) for name in ("softmax", "log_softmax", "softmin")}
    # neighbours that each output is made of
    | {f"aten::upsample_{name}": elementwise(n) for name, n in (("linear1d", 2), ("bilinear2d", 4), ("bicubic2d", 16))}
    | {"aten::grid_sampler": elementwise(4), "aten::upsample_trilinear3d": elementwise(8)}
    | {
        f"aten::{name}{place}": elementwise(1)
        for place in ("", "_")
        for name in (
            *("relu", "relu6", "hardtanh", "leaky_relu", "elu", "celu", "selu", "prelu", "gelu", "silu", "mish", "glu"),
            *("sigmoid", "hardsigmoid", "hardswish", "tanh", "softplus", "threshold", "clamp", "clamp_min"),
            *("clamp_max", "rrelu", "softsign", "hardshrink", "softshrink", "log_sigmoid"),
            *("add", "sub", "rsub", "mul", "div", "neg", "abs", "pow", "sqrt", "rsqrt", "square", "exp", "log"),
            *("multiply", "divide", "subtract", "true_divide", "negative", "absolute", "reciprocal", "sign", "sgn"),
            *("sin", "cos", "tan", "atan", "atan2", "erf", "exp2", "expm1", "log1p", "log2", "log10", "lerp"),
            *("fmod", "ceil", "round", "trunc", "frac", "logit", "hypot", "logaddexp"),
            *("dropout", "feature_dropout", "alpha_dropout", "feature_alpha_dropout", "bernoulli", "maximum"),
            *("minimum", "addcmul", "addcdiv", "outer", "ger", "addr", "index_add", "scatter_add", "scatter_reduce"),
        )
    }
)

# Shapes, copies, indices and constants: nothing is computed on features.
FREE: frozenset[str] = frozenset(
    f"aten::{name}"
    for name in (
        *("Int", "ScalarImplicit", "size", "numel", "dim", "detach", "detach_", "clone", "copy_", "contiguous", "to"),
        *("type_as", "alias", "lift_fresh", "view", "view_as", "reshape", "reshape_as", "flatten", "unflatten"),
        *("permute", "t", "t_", "transpose", "transpose_", "swapdims", "swapaxes", "movedim", "moveaxis", "numpy_T"),
        *("mT", "adjoint", "expand", "expand_as", "broadcast_to", "broadcast_tensors", "repeat", "tile"),
        *("repeat_interleave", "unsqueeze", "unsqueeze_", "squeeze", "squeeze_", "slice", "select", "narrow", "index"),
        *("index_select", "index_put", "index_put_", "index_copy", "index_copy_", "index_fill", "index_fill_"),
        *("gather", "scatter", "scatter_", "take_along_dim", "roll", "flip", "rot90", "cat", "concat", "concatenate"),
        *("stack", "hstack", "vstack", "dstack", "column_stack", "split", "split_with_sizes", "unsafe_split"),
        *("unsafe_split_with_sizes", "chunk", "unsafe_chunk", "unbind", "tensor_split", "unfold", "im2col", "pad"),
        *("constant_pad_nd", "zero_pad2d", "reflection_pad1d", "reflection_pad2d", "replication_pad1d"),
        *("replication_pad2d", "pixel_shuffle", "pixel_unshuffle", "channel_shuffle", "upsample_nearest1d"),
        *("upsample_nearest2d", "upsample_nearest3d", "_upsample_nearest_exact2d", "diagonal", "diag", "diag_embed"),
        *("tril", "tril_", "triu", "triu_", "meshgrid", "view_as_complex", "view_as_real", "real", "imag", "complex"),
        *("conj", "resolve_conj", "resolve_neg", "empty", "empty_like", "new_empty", "zeros", "zeros_like"),
        *("new_zeros", "ones", "ones_like", "new_ones", "full", "full_like", "new_full", "eye", "arange", "linspace"),
        *("one_hot", "fill_", "fill", "zero_", "masked_fill", "masked_fill_", "where", "eq", "ne", "lt", "le", "gt"),
        *("ge", "isnan", "isinf", "isfinite", "any", "all", "logical_not", "logical_and", "logical_or"),
        *("logical_xor", "bitwise_not", "bitwise_and", "bitwise_or", "__and__", "__or__", "floor", "floor_divide"),
        *("remainder", "argmax", "argmin", "max", "min", "sort", "argsort", "topk", "cummax", "cummin", "embedding"),
        *("rand", "rand_like", "randn", "randn_like", "randint", "randperm", "normal", "normal_", "uniform_"),
    )
)


def nothing(inputs: list[Any], outputs: list[Any]) -> "Counter[str]":
    """Return no operation at all."""
    return Counter()


# Python code of torch's own that is known to compute nothing; fvcore takes no such name among those to leave out.
HARMLESS: dict[str, Handle] = {
    "prim::PythonOp._NoopSaveInputs": nothing,  # in a checkpoint of torch 2.11: it keeps what goes in
}

# Control flow and foreign code whose inside the graph does not show.
OPAQUE: tuple[str, ...] = ("prim::If", "prim::Loop", "prim::CallMethod", "prim::CallFunction")


def refuse(inputs: list[Any], outputs: list[Any]) -> "Counter[str]":
    """Handle of OPAQUE: scripted parts may multiply unseen. Raises UncountedOperator."""
    raise UncountedOperator("the model contains scripted control flow, whose inside is not billed; pass the eager one")
