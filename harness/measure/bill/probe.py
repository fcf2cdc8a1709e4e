"""A probe of a network on shape-only tensors, in milliseconds: what it multiplies, and whether values decide its path.

A tensor without values cannot be read, so a branch on features, weights or random numbers ends the probe at once. A
trace, which follows one path and says nothing, is worth something only beside such a probe, or beside other traces.
"""

import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode

from harness.record.errors import UncountedOperator
from harness.record.units import FLOPS_PER_MAC

_READS = frozenset(
    getattr(owner, name)
    for owner, names in (
        (Tensor, "__bool__ __int__ __float__ __index__ item tolist numpy"),
        # the results of these have as many elements as values say
        (Tensor, "nonzero masked_select unique unique_consecutive"),
        (torch, "nonzero argwhere masked_select unique unique_consecutive"),
    )
    for name in names.split()
)
_TORCH = Path(torch.__file__).parent


@dataclass(frozen=True)
class Probed:
    """What was seen: MACs of the batch (None where the network has no shape-only form), functions called, the output.

    What torch's counter does not know it counts as 0, so its word holds only where it confirms another count.
    """

    macs: int | None
    functions: frozenset[Any]
    output: Any


class _Watch(TorchFunctionMode):
    """Notes every function, and stops where the network reads a value that may be another one next time."""

    def __init__(self) -> None:
        super().__init__()
        self.functions: set[Any] = set()
        self._random = torch.get_rng_state()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.functions.add(func)
        if any(map(self._may_vary, _read(func, args))):
            raise UncountedOperator(
                f"forward() reads a tensor's value ({_caller()}): its path, and so its cost, may differ between images "
                "or steps, and the bill is one number; make the path fixed (multiply by a mask, say)"
            )
        return func(*args, **(kwargs or {}))

    def _may_vary(self, tensor: Tensor) -> bool:
        """Made of the images, the weights or random numbers. A constant made on the CPU does not vary."""
        return tensor.is_meta or not torch.equal(torch.get_rng_state(), self._random)


def _read(func: Any, args: tuple[Any, ...]) -> list[Tensor]:
    """The tensors whose values a function tells, or chooses by."""
    read = args[:1] if func in _READS else ()
    if func is Tensor.__getitem__:
        read = args[1] if isinstance(args[1], tuple) else args[1:]
        read = tuple(index for index in read if isinstance(index, Tensor) and index.dtype == torch.bool)
    return [value for value in read if isinstance(value, Tensor)]


def _caller() -> str:
    """File and line of the innermost frame that is neither torch's nor this module's."""
    frame: Any = sys._getframe(1)
    while frame.f_back and (frame.f_code.co_filename == __file__ or _TORCH in Path(frame.f_code.co_filename).parents):
        frame = frame.f_back
    return f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}"


def probe(shadow: nn.Module, images: Tensor, *, training: bool) -> Probed:
    """One forward pass of `shadow`, whose flags stay, on the shapes of `images`.

    Raises UncountedOperator where a value decides the path.
    """
    shadow.train(training)
    norms = [m for m in shadow.modules() if type(m) in (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)]
    for norm in norms:
        norm.forward = _unchanged  # it has no products, and its shape-only form takes longer than all the rest
    named = dict(shadow.named_parameters()) | dict(shadow.named_buffers())
    state = {name: tensor.detach().to("meta") for name, tensor in named.items()}
    try:
        counter = FlopCounterMode(display=False)
        with seeded(1), torch.no_grad(), sdpa_kernel(SDPBackend.MATH), counter, _Watch() as watch:
            output = torch.func.functional_call(shadow, state, (images.to("meta"),))
    except (RuntimeError, NotImplementedError, TypeError):  # an operator, or a constant, that has no shape-only form
        return Probed(None, frozenset(), None)
    finally:
        for norm in norms:
            del norm.forward
    return Probed(int(counter.get_total_flops()) // FLOPS_PER_MAC, frozenset(watch.functions), output)


def _unchanged(features: Tensor) -> Tensor:
    return features


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Random numbers of the CPU from `seed`, and the caller's afterwards; torch.manual_seed would reseed GPUs for good.

    Raises UncountedOperator where Python's or NumPy's were drawn: nothing shows what they decide.
    """
    python, numpy = random.getstate(), np.random.get_state(legacy=False)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            yield
        drawn = random.getstate() != python or repr(np.random.get_state(legacy=False)) != repr(numpy)
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
    if drawn:
        raise UncountedOperator(
            "forward() draws random numbers of Python or NumPy: its path, and so its cost, may differ between steps, "
            "and the bill is one number; draw with torch, and keep the path fixed"
        )
