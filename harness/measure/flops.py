"""The exact bill of one image: forward and backward multiply-accumulates (MACs) of a network, from its traced graph.

fvcore traces the network and calls one rule per operator (flops_rules.py). The trace runs in train mode, on the CPU,
at batch 1, on a copy: BatchNorm statistics, random state, device and mode of the caller's network stay as they are.
"""

import copy
import warnings
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.modules.batchnorm import _BatchNorm
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode

with warnings.catch_warnings():
    warnings.simplefilter("ignore", FutureWarning)  # fvcore scripts a loss function at import, which torch deprecates
    from fvcore.nn import FlopCountAnalysis

from harness.measure import flops_rules as rules
from harness.record.errors import UncountedOperator


@dataclass(frozen=True)
class Bill:
    """MACs per image. The stem's input gradient and everything below frozen layers is absent, as in autograd."""

    params: int
    forward_macs: int  # train mode, auxiliary heads included
    weight_gradient_macs: int
    input_gradient_macs: int  # gradients of features, both operands of attention's products included
    evaluation_macs: int  # forward in eval mode
    by_operator: dict[str, int]  # forward MACs
    elementwise_ops: dict[str, int]  # norm, pooling, activation: forward operations, no part of any MAC count

    @property
    def backward_macs(self) -> int:
        return self.weight_gradient_macs + self.input_gradient_macs

    @property
    def spent_macs(self) -> int:
        return self.forward_macs + self.backward_macs


class _TrueFlags(TorchFunctionMode):
    """Makes the traced graph tell the truth about gradients, and notes products whose result nothing uses.

    The tracer records convolutions below autograd, so their outputs look as if they needed no gradient, and it does
    not notice a later write into a slice. A view taken at each product carries the flag autograd has at that moment.
    """

    products = frozenset(
        getattr(owner, name)
        for owner, names in (
            (torch, "conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d matmul mm bmm addmm"),
            (torch, "baddbmm einsum mv dot"),
            (Tensor, "matmul __matmul__ __rmatmul__ mm bmm addmm baddbmm mv dot"),
            (nn.functional, "linear scaled_dot_product_attention"),
        )
        for name in names.split()
    )

    def __init__(self) -> None:
        super().__init__()
        self.results: list[tuple[str, Any]] = []  # name of the function, autograd node of its result

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func not in self.products:
            return func(*args, **kwargs)
        out = func(*(_view(a) for a in args), **{k: _view(v) for k, v in kwargs.items()})
        if out.grad_fn is not None:
            self.results.append((func.__name__, out.grad_fn))
        return _view(out)


def _view(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.view_as(value)
    if isinstance(value, (list, tuple)) and any(isinstance(item, Tensor) for item in value):
        return type(value)(_view(item) for item in value)  # the operands of einsum
    return value


def bill(model: nn.Module, *, resolution: int, channels: int = 3) -> Bill:
    """Bill of one image of (channels, resolution, resolution) through `model`, honouring its requires_grad flags.

    Raises UncountedOperator, with the operator's name, for anything that no rule covers.
    """
    shadow = _shadow(model)
    image = torch.zeros(1, channels, resolution, resolution)
    trained = _count(shadow, image, training=True)
    by_operator = trained[rules.FORWARD]
    forward_macs = sum(by_operator.values())
    return Bill(
        params=sum(parameter.numel() for parameter in model.parameters()),
        forward_macs=forward_macs,
        weight_gradient_macs=sum(trained[rules.WEIGHT].values()),
        input_gradient_macs=sum(trained[rules.INPUT].values()),
        evaluation_macs=_evaluation_macs(shadow, image, forward_macs=forward_macs),
        by_operator=by_operator,
        elementwise_ops=trained[rules.ELEMENTWISE_LINE],
    )


def _count(shadow: nn.Module, image: Tensor, *, training: bool) -> dict[str, dict[str, int]]:
    """Line of the bill -> operator -> number, for one image."""
    shadow.train(training)
    for module in shadow.modules():
        if isinstance(module, _BatchNorm):
            # Same products, and no refusal of one value per channel, which batch 1 has where the map is 1 x 1.
            module.eval()
    flags = _TrueFlags()
    check = shadow.register_forward_hook(lambda _module, _args, out: _refuse_unused(flags, out))
    analysis = FlopCountAnalysis(shadow, image)
    analysis.clear_op_handles().unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    analysis.set_op_handle(**dict.fromkeys(rules.FREE), **dict.fromkeys(rules.OPAQUE, rules.refuse))
    analysis.set_op_handle(**rules.ELEMENTWISE, **rules.PRODUCTS)
    gradients = torch.enable_grad() if training else torch.no_grad()
    with torch.random.fork_rng(devices=[]), torch.inference_mode(False), gradients, flags:
        counts: Counter[str] = analysis.by_operator()
    check.remove()
    unknown = sorted(analysis.unsupported_ops())
    if unknown:
        raise UncountedOperator(f"no rule bills {', '.join(unknown)}: add it to harness/measure/flops_rules.py")
    lines: dict[str, dict[str, int]] = {
        line: {} for line in (rules.FORWARD, rules.WEIGHT, rules.INPUT, rules.ELEMENTWISE_LINE)
    }
    for key, number in counts.items():
        line, operator = key.split(" ")
        lines[line][operator] = int(number)
    return lines


def _evaluation_macs(shadow: nn.Module, image: Tensor, *, forward_macs: int) -> int:
    """MACs of one evaluated image. A second trace would double the time, and most nets do the same in both modes.

    torch's own counter on shape-only tensors takes milliseconds, but counts what it does not know as 0: its word is
    taken only where it confirms the train mode's count.
    """
    shadow.eval()
    state = {name: tensor.detach().to("meta") for name, tensor in shadow.state_dict(keep_vars=True).items()}
    try:
        with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
            torch.func.functional_call(shadow, state, (image.to("meta"),))
    except (RuntimeError, NotImplementedError):  # an operator, or a constant, that has no shape-only form
        quick = None
    else:
        quick = counter.get_total_flops()
    if quick == 2 * forward_macs:
        return forward_macs
    return sum(_count(shadow, image, training=False)[rules.FORWARD].values())


def _shadow(model: nn.Module) -> nn.Module:
    """A float32 copy on the CPU. Weights are borrowed where they are there already, else zeros: no value matters."""
    memo: dict[int, Any] = {}
    for parameter in model.parameters():
        here = parameter.device.type == "cpu" and parameter.dtype == torch.float32
        # numpy's zeros are pages the kernel has not handed out yet: 0.5 GB of VGG cost nothing
        data = parameter.detach() if here else torch.from_numpy(np.zeros(tuple(parameter.shape), np.float32))
        memo[id(parameter)] = nn.Parameter(data, requires_grad=parameter.requires_grad)
    for buffer in model.buffers():
        memo[id(buffer)] = torch.zeros_like(buffer, device="cpu") if buffer.is_meta else buffer.detach().cpu().clone()
    return copy.deepcopy(model, memo)


def _refuse_unused(flags: _TrueFlags, out: Any) -> None:
    """The tracer drops products whose result does not reach an output, though they were spent: refuse them."""
    pending = [tensor.grad_fn for tensor in _tensors(out)]
    reached: set[Any] = set()
    while pending:
        node = pending.pop()
        if node is not None and node not in reached:
            reached.add(node)
            pending.extend(parent for parent, _ in node.next_functions)
    for name, node in flags.results:
        if node not in reached:
            raise UncountedOperator(f"the result of {name} does not reach the output, so it has no exact bill; drop it")


def _tensors(value: Any) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    items = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else ()
    return [tensor for item in items for tensor in _tensors(item)]
