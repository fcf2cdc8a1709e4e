"""Networks that cannot be billed as they are: one line each, with what to do."""

import traceback
from collections.abc import Sequence

import torch
import torch.utils.checkpoint
from torch import nn
from torch.nn.parameter import is_lazy

from harness.measure.bill.probe import probe
from harness.record.errors import BadInput, UncountedOperator

_REENTRANT = "prim::PythonOp.CheckpointFunction"
_WITHOUT_REENTRANT = (
    "a reentrant checkpoint hides what it computes: call torch.utils.checkpoint with use_reentrant=False"
)


def refuse_unknown_kinds(model: nn.Module) -> None:
    """Raise UncountedOperator for lazy, scripted and compiled modules, whose inside is not there or not shown."""
    for name, module in model.named_modules():
        where = f"{name or 'the network'} ({type(module).__name__})"
        if any(map(is_lazy, [*module.parameters(recurse=False), *module.buffers(recurse=False)])):
            raise UncountedOperator(f"{where} is lazy and has no shapes yet: run one batch through the network first")
        if isinstance(module, torch.jit.ScriptModule):
            raise UncountedOperator(f"{where} is scripted, and its inside is not billed: pass the eager one")
        if hasattr(module, "_orig_mod"):  # torch.compile's wrapper
            raise UncountedOperator(f"{where} is compiled: pass the eager one; compile=true compiles it for training")


def refuse_unknown_operators(names: Sequence[str]) -> None:
    """Raise UncountedOperator where there are any."""
    if _REENTRANT in names:  # one without a product inside does not break the trace
        raise UncountedOperator(_WITHOUT_REENTRANT)
    if names:
        raise UncountedOperator(
            f"no rule bills {', '.join(names)}: add it to products.py or plain.py in harness/measure/bill/rules"
        )


def refuse_reentrant(error: Exception) -> None:
    """Raise UncountedOperator where the trace broke in a reentrant checkpoint: part of the network hid from it there.

    The tracer says so by an IndexError; torch 2.11's by a RuntimeError that names its own container.
    """
    if not isinstance(error, IndexError) and "unordered_map::at" not in str(error):
        return
    files = {frame.filename for frame in traceback.extract_tb(error.__traceback__)}
    if torch.utils.checkpoint.__file__ in files:
        raise UncountedOperator(_WITHOUT_REENTRANT) from error


def refuse_untrainable(model: nn.Module, resolution: int) -> None:
    """Raise BadInput where nothing would be trained, or where eval mode gives more than logits.

    A network without a shape-only form is not probed.
    """
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise BadInput(
            "every layer of the network is frozen (requires_grad=False): free some, there is nothing to train"
        )
    training = model.training
    output = probe(model, torch.empty(2, 3, resolution, resolution, device="meta"), training=False).output
    model.train(training)
    if output is not None and not isinstance(output, torch.Tensor):
        raise BadInput(
            f"in eval mode the network returns a {type(output).__name__}: return the logits (N, classes) alone there, "
            "and auxiliary heads in train mode only"
        )
