"""The exact bill of one image: forward and backward multiply-accumulates (MACs) of a network, from its traced graph.

fvcore traces the network and calls one rule per operator (rules.py). The trace runs in train mode, on the CPU,
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
    warnings.simplefilter("ignore")  # fvcore scripts a loss function at import, which torch deprecates
    from fvcore.nn import FlopCountAnalysis

from harness.measure.bill import operands, plain, rules
from harness.record.errors import UncountedOperator
from harness.record.units import FLOPS_PER_MAC


@dataclass(frozen=True)
class Bill:
    """MACs per image. The stem's input gradient and everything below frozen layers is absent, as in autograd."""

    params: int  # of the network that evaluates, as papers state it
    auxiliary_params: int  # of heads that only training uses
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


class _Products(TorchFunctionMode):
    """Makes the traced graph tell the truth about products.

    The tracer records convolutions below autograd, so their outputs look as if they needed no gradient, and it does
    not notice a later write into a slice: a view taken at each product carries the flag autograd has at that moment.
    It also drops products whose result nothing uses, though they are computed: `results` keeps them in the graph.
    """

    def __init__(self) -> None:
        super().__init__()
        self.results: list[Tensor] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func not in rules.functions:
            return func(*args, **kwargs)
        if func.__name__.endswith("_") and not func.__name__.endswith("__"):  # in place: the graph follows the tensor
            out = func(args[0], *(_view(a) for a in args[1:]), **{k: _view(v) for k, v in kwargs.items()})
            self.results.append(out.detach())
            return out
        out = func(*(_view(a) for a in args), **{k: _view(v) for k, v in kwargs.items()})
        self.results += [each.detach() for each in (out if isinstance(out, tuple) else (out,))]
        return _view(out)


def _view(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.view_as(value)
    if isinstance(value, (list, tuple)) and any(isinstance(item, Tensor) for item in value):
        return type(value)(_view(item) for item in value)  # the operands of einsum
    return value


@torch.inference_mode(False)
def bill(model: nn.Module, *, resolution: int, channels: int = 3) -> Bill:
    """Bill of one image of (channels, resolution, resolution) through `model`, honouring its requires_grad flags.

    Raises UncountedOperator, with the operator's name, for anything that no rule covers.
    """
    shadow = _shadow(model)
    image = torch.zeros(1, channels, resolution, resolution)
    trained = _trace(shadow, image, training=True)
    # A second trace would double the time, and most networks do the same in both modes.
    same = _quick_evaluation_macs(shadow, image) == trained.forward_macs
    evaluated = trained if same else _trace(shadow, image, training=False)
    only_trained = {name for name in evaluated.uncalled - trained.uncalled if name}
    auxiliary = sum(p.numel() for n, p in model.named_parameters() if n.rpartition(".")[0] in only_trained)
    return Bill(
        params=sum(parameter.numel() for parameter in model.parameters()) - auxiliary,
        auxiliary_params=auxiliary,
        forward_macs=trained.forward_macs,
        weight_gradient_macs=sum(trained.lines[operands.WEIGHT].values()),
        input_gradient_macs=sum(trained.lines[operands.INPUT].values()),
        evaluation_macs=evaluated.forward_macs,
        by_operator=trained.lines[operands.FORWARD],
        elementwise_ops=trained.lines[operands.ELEMENTWISE_LINE],
    )


@dataclass(frozen=True)
class _Trace:
    """One pass: line of the bill -> operator -> number, and the names of modules that took no part."""

    lines: dict[str, dict[str, int]]
    uncalled: set[str]

    @property
    def forward_macs(self) -> int:
        return sum(self.lines[operands.FORWARD].values())


def _trace(shadow: nn.Module, image: Tensor, *, training: bool) -> _Trace:
    shadow.train(training)
    for module in shadow.modules():
        if isinstance(module, _BatchNorm):
            # Same products, and no refusal of one value per channel, which batch 1 has where the map is 1 x 1.
            module.eval()
    products = _Products()
    hook = shadow.register_forward_hook(lambda _module, _args, out: (out, tuple(products.results)))
    analysis = FlopCountAnalysis(shadow, image)
    analysis.clear_op_handles().unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    analysis.set_op_handle(**dict.fromkeys(plain.FREE), **dict.fromkeys(plain.OPAQUE, plain.refuse))
    analysis.set_op_handle(**plain.ELEMENTWISE, **rules.products())
    gradients = torch.enable_grad() if training else torch.no_grad()
    with torch.random.fork_rng(devices=[]), gradients, products:
        counts: Counter[str] = analysis.by_operator()
    hook.remove()
    unknown = sorted(analysis.unsupported_ops())
    if unknown:
        raise UncountedOperator(f"no rule bills {', '.join(unknown)}: add it to harness/measure/bill/rules.py")
    lines: dict[str, dict[str, int]] = {
        line: {} for line in (operands.FORWARD, operands.WEIGHT, operands.INPUT, operands.ELEMENTWISE_LINE)
    }
    for key, number in counts.items():
        line, operator = key.split(" ")
        lines[line][operator] = int(number)
    return _Trace(lines, analysis.uncalled_modules())


def _quick_evaluation_macs(shadow: nn.Module, image: Tensor) -> int | None:
    """MACs of one evaluated image by torch's own counter on shape-only tensors, in milliseconds; None if it cannot.

    It counts what it does not know as 0, so its word is worth something only where it confirms another count.
    """
    shadow.eval()
    norms = [m for m in shadow.modules() if type(m) in (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)]
    for norm in norms:
        norm.forward = _unchanged  # it has no products, and its shape-only form takes longer than all the rest
    named = dict(shadow.named_parameters()) | dict(shadow.named_buffers())
    state = {name: tensor.detach().to("meta") for name, tensor in named.items()}
    try:
        with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
            torch.func.functional_call(shadow, state, (image.to("meta"),))
    except (RuntimeError, NotImplementedError):  # an operator, or a constant, that has no shape-only form
        return None
    finally:
        for norm in norms:
            del norm.forward
    return int(counter.get_total_flops()) // FLOPS_PER_MAC


def _unchanged(features: Tensor) -> Tensor:
    return features


def _shadow(model: nn.Module) -> nn.Module:
    """A float32 copy on the CPU. Weights are borrowed where they are there already, else zeros: no value matters."""
    memo: dict[int, Any] = {}
    for parameter in model.parameters():
        here = parameter.device.type == "cpu" and parameter.dtype == torch.float32
        # numpy's zeros are pages the kernel has not handed out yet: 0.5 GB of VGG cost nothing
        data = parameter.detach() if here else torch.from_numpy(np.zeros(tuple(parameter.shape), np.float32))
        memo[id(parameter)] = nn.Parameter(data, requires_grad=parameter.requires_grad)
    for buffer in model.buffers():
        memo[id(buffer)] = _copied(torch.zeros_like(buffer, device="cpu") if buffer.is_meta else buffer)
    for module in model.modules():  # torch's older weight_norm keeps a derived weight, which no copy takes
        derived = [value for value in vars(module).values() if isinstance(value, Tensor) and not value.is_leaf]
        memo |= {id(value): value.detach() for value in derived}
    return copy.deepcopy(model, memo)


def _copied(buffer: Tensor) -> Tensor:
    return buffer.detach().to("cpu", torch.float32 if buffer.is_floating_point() else buffer.dtype, copy=True)
