"""The exact bill of one image: forward and backward multiply-accumulates (MACs) of a network, from its traced graph.

fvcore traces the network and calls one rule per operator (rules/). The trace runs in train mode, on the CPU,
at batch 1, on a copy: BatchNorm statistics, random state, device and mode of the caller's network stay as they are.
A probe without values at a batch of two (probe.py) must agree; where it cannot, traces of other batches, images and
seeds must.
"""

import copy
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.overrides import TorchFunctionMode

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # fvcore scripts a loss function at import, which torch deprecates
    from fvcore.nn import FlopCountAnalysis

from harness.measure.bill.kept import keeping
from harness.measure.bill.probe import Probed, probe, seeded
from harness.measure.bill.recomputed import in_checkpoint, recomputed_macs
from harness.measure.bill.refusals import refuse_reentrant, refuse_unknown_kinds, refuse_unknown_operators
from harness.measure.bill.rules import operands, plain, products
from harness.record.errors import UncountedOperator


@dataclass(frozen=True)
class Bill:
    """MACs per image, and bytes. The stem's input gradient and all below frozen layers is absent, as in autograd."""

    params: int  # of the network that evaluates, as papers state it
    auxiliary_params: int  # of heads that only training uses
    forward_macs: int  # train mode, auxiliary heads included
    weight_gradient_macs: int
    input_gradient_macs: int  # gradients of features, both operands of attention's products included
    evaluation_macs: int  # forward in eval mode
    activation_bytes: int  # what autograd keeps for the backward pass, in float32
    by_operator: dict[str, int]  # forward MACs
    elementwise_ops: dict[str, int]  # norm, pooling, activation: forward operations, no part of any MAC count
    # what a forward pass costs once, however many its images: a weight computed from others, say
    once_forward_macs: int = 0
    once_weight_gradient_macs: int = 0
    once_input_gradient_macs: int = 0
    once_evaluation_macs: int = 0
    # what gradient checkpoints compute again: no training arithmetic, in none of the above; None = unknown
    recomputed_macs: int | None = 0

    @property
    def backward_macs(self) -> int:
        return self.weight_gradient_macs + self.input_gradient_macs

    @property
    def spent_macs(self) -> int:
        return self.forward_macs + self.backward_macs

    def as_recorded(self) -> dict[str, int]:
        """The lines that run.json always holds."""
        names = ("params", "forward_macs", "weight_gradient_macs", "input_gradient_macs", "evaluation_macs")
        return {name: getattr(self, name) for name in names}

    @property
    def once_macs(self) -> int:
        """Forward and backward MACs that a training pass costs beside those of its images."""
        return self.once_forward_macs + self.once_weight_gradient_macs + self.once_input_gradient_macs


class _Products(TorchFunctionMode):
    """Makes the traced graph tell the truth about products.

    The tracer records convolutions below autograd, so their outputs look as if they needed no gradient, and it does
    not notice a later write into a slice: a view taken at each product carries the flag autograd has at that moment.
    It also drops products whose result nothing uses, though they are computed: `results` keeps them in the graph.
    """

    def __init__(self) -> None:
        super().__init__()
        self.results: list[Tensor] = []
        self.checkpointed = False

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func not in products.functions:
            return func(*args, **kwargs)
        self.checkpointed = self.checkpointed or in_checkpoint()
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

    Raises UncountedOperator, with the operator's name, for anything that no rule covers, and with the reason where the
    cost is not one number: a path that values or random numbers decide, products between the images of a batch.
    """
    refuse_unknown_kinds(model)
    shadow = _shadow(model)
    images = partial(_images, channels=channels, resolution=resolution)
    trained, seen = _counted(shadow, images, training=True)
    evaluation = probe(shadow, images(2), training=False)
    # A second trace would double the time, and most networks do the same in both modes.
    same = evaluation.macs == 2 * trained.image.forward_macs and evaluation.functions <= seen.functions
    evaluated = trained if same else _counted(shadow, images, training=False, seen=evaluation)[0]
    only_trained = {name for name in evaluated.image.uncalled - trained.image.uncalled if name}
    auxiliary = sum(p.numel() for n, p in model.named_parameters() if n.rpartition(".")[0] in only_trained)
    return Bill(
        params=sum(parameter.numel() for parameter in model.parameters()) - auxiliary,
        auxiliary_params=auxiliary,
        forward_macs=trained.image.forward_macs,
        weight_gradient_macs=sum(trained.image.lines[operands.WEIGHT].values()),
        input_gradient_macs=sum(trained.image.lines[operands.INPUT].values()),
        evaluation_macs=evaluated.image.forward_macs,
        activation_bytes=trained.image.activation_bytes,
        by_operator=trained.image.lines[operands.FORWARD],
        elementwise_ops=trained.image.lines[operands.ELEMENTWISE_LINE],
        once_forward_macs=trained.once[operands.FORWARD],
        once_weight_gradient_macs=trained.once[operands.WEIGHT],
        once_input_gradient_macs=trained.once[operands.INPUT],
        once_evaluation_macs=evaluated.once[operands.FORWARD],
        recomputed_macs=_recomputed(shadow, images, trained) if trained.image.checkpointed else 0,
    )


def _recomputed(shadow: nn.Module, images: Callable[..., Tensor], cost: "_Cost") -> int | None:
    """An image's share of what checkpoints repeat: what a third one adds to two, as BatchNorm wants more than one."""
    two, three = (
        recomputed_macs(
            shadow,
            images(number),
            forward_macs=number * cost.image.forward_macs + cost.once[operands.FORWARD],
        )
        for number in (2, 3)
    )
    return None if two is None or three is None else three - two


@dataclass(frozen=True)
class _Trace:
    """One pass: line of the bill -> operator -> number, the names of modules that took no part, whether a product stood
    in a checkpoint, and the bytes that autograd kept."""

    lines: dict[str, dict[str, int]]
    uncalled: set[str]
    checkpointed: bool
    activation_bytes: int

    @property
    def forward_macs(self) -> int:
        return sum(self.lines[operands.FORWARD].values())

    @property
    def macs(self) -> "Counter[tuple[str, str]]":
        """(line, operator) -> MACs, zeros left out."""
        return Counter({(line, name): n for line in _MACS for name, n in self.lines[line].items() if n})


_MACS = (operands.FORWARD, operands.WEIGHT, operands.INPUT)


@dataclass(frozen=True)
class _Cost:
    """What an image costs, and what a forward pass costs once, whatever the number of its images: MACs by line."""

    image: _Trace
    once: dict[str, int]


def _images(number: int, seed: int = 0, *, channels: int, resolution: int) -> Tensor:
    """Zeros for seed 0, else random numbers, positive for odd seeds and negative for even ones."""
    if seed == 0:
        return torch.zeros(number, channels, resolution, resolution)
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.rand(number, channels, resolution, resolution, generator=generator)
    return drawn if seed % 2 else -drawn


def _counted(
    shadow: nn.Module, images: Callable[..., Tensor], *, training: bool, seen: Probed | None = None
) -> tuple[_Cost, Probed]:
    """The cost in one mode, from a trace of one image that a probe of two confirms, or that further traces judge."""
    seen = seen or probe(shadow, images(2), training=training)
    one = _trace(shadow, images(1), training=training)
    if seen.macs == 2 * one.forward_macs:
        return _Cost(one, dict.fromkeys(_MACS, 0)), seen

    def traced(number: int, seed: int) -> _Trace:
        try:
            return _trace(shadow, images(number, seed), training=training, seed=seed)
        except (RuntimeError, ValueError, AssertionError) as error:
            reason = str(error).strip().partition("\n")[0]
            raise UncountedOperator(f"runs with one image, not with {number} or other values ({reason})") from error

    for seed in (1, 2) if seen.macs is None else ():  # a probe without values has found the path fixed
        if traced(1, seed).macs != one.macs:
            raise UncountedOperator(
                "the cost of an image differs between images or steps: its values or random numbers decide the path, "
                "and the bill is one number; make the path fixed (multiply by a mask, say)"
            )
    two, three = traced(2, 3).macs, traced(3, 4).macs
    image, once = Counter(two), Counter(one.macs)
    image.subtract(one.macs)
    once.subtract(image)
    expected = Counter(two)
    expected.update(image)
    if min([0, *image.values(), *once.values()]) < 0 or +expected != three:
        raise UncountedOperator(
            "the cost of an image depends on how many there are in the batch: products between images (features with "
            "those of other images, say) have no cost per image; take them out of the network, into the loss"
        )
    lines = {line: {name: n for (kind, name), n in image.items() if kind == line} for line in _MACS}
    lines[operands.ELEMENTWISE_LINE] = one.lines[operands.ELEMENTWISE_LINE]
    once_macs = {line: sum(n for (kind, _), n in once.items() if kind == line) for line in _MACS}
    return _Cost(replace(one, lines=lines) if any(once_macs.values()) else one, once_macs), seen


def _trace(shadow: nn.Module, images: Tensor, *, training: bool, seed: int = 0) -> _Trace:
    shadow.train(training)
    for module in shadow.modules():
        if isinstance(module, _BatchNorm):
            # Same products, and no refusal of one value per channel, which batch 1 has where the map is 1 x 1.
            module.eval()
    watched = _Products()
    hook = shadow.register_forward_hook(lambda _module, _args, out: (out, tuple(watched.results)))
    analysis = FlopCountAnalysis(shadow, images)
    analysis.clear_op_handles().unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    analysis.set_op_handle(**dict.fromkeys(plain.FREE), **dict.fromkeys(plain.OPAQUE, plain.refuse))
    analysis.set_op_handle(**plain.ELEMENTWISE, **plain.HARMLESS, **products.products())
    gradients = torch.enable_grad() if training else torch.no_grad()
    try:
        with seeded(seed), gradients, keeping(shadow) as kept, watched:
            counts: Counter[str] = analysis.by_operator()
    except (IndexError, RuntimeError) as error:
        refuse_reentrant(error)
        raise
    finally:
        hook.remove()
    refuse_unknown_operators(sorted(analysis.unsupported_ops()))
    lines: dict[str, dict[str, int]] = {line: {} for line in (*_MACS, operands.ELEMENTWISE_LINE)}
    for key, number in counts.items():
        line, operator = key.split(" ")
        lines[line][operator] = int(number)
    activation_bytes = sum(storage.nbytes() for storage in kept.values())
    return _Trace(lines, analysis.uncalled_modules(), watched.checkpointed, activation_bytes)


def _shadow(model: nn.Module) -> nn.Module:
    """A float32 copy on the CPU. Weights are borrowed where they are there already, else zeros: no value matters."""
    memo: dict[int, Any] = {}
    for parameter in model.parameters():
        here = parameter.device.type == "cpu" and parameter.dtype == torch.float32
        # numpy's zeros are pages the kernel has not handed out yet: 0.5 GB of VGG cost nothing
        data = parameter.detach() if here else torch.from_numpy(np.zeros(tuple(parameter.shape), np.float32))
        memo[id(parameter)] = nn.Parameter(data, requires_grad=parameter.requires_grad)
    for buffer in model.buffers():
        value = torch.zeros_like(buffer, device="cpu") if buffer.is_meta else buffer.detach()
        memo[id(buffer)] = value.to("cpu", torch.float32 if buffer.is_floating_point() else buffer.dtype, copy=True)
    for module in model.modules():  # torch's older weight_norm keeps a derived weight, which no copy takes
        derived = [value for value in vars(module).values() if isinstance(value, Tensor) and not value.is_leaf]
        memo |= {id(value): value.detach() for value in derived}
    return copy.deepcopy(model, memo)
