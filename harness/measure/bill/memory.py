"""An estimate of what one training step needs of a GPU's memory, to refuse a run that cannot fit."""

from collections.abc import Sequence
from functools import partial

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from harness.measure.bill.cache import cached
from harness.measure.config.schema import Config, RecipeConfig
from harness.models import build, without_weights

GPU_MEMORY_BYTES = {
    "V100": 32 * 10**9,
    "A100": 80 * 10**9,
    "L40S": 48 * 10**9,
    "H100": 80 * 10**9,
    "H200": 141 * 10**9,
    "B200": 180 * 10**9,
}
"""The largest where there are several, as public tables have it: glennklockwood.com/garden/processors and
hmc-tech.com/gpus. The makers' own sheets were not read. B200: 192 GB there; 180 is the cautious figure."""

FLOAT_BYTES = 4
_STATES = {"sgd": 1, "nesterov": 1, "rmsprop": 2, "adamw": 2}


def states_per_weight(recipe: RecipeConfig) -> int:
    """Numbers that are kept beside each weight: the optimiser's, and the average's where there is one."""
    return _STATES[recipe.optimizer] + (recipe.average != "none")


def activation_bytes(model: nn.Module, *, resolution: int) -> int:
    """Bytes that autograd keeps for one image's backward pass in float32, weights apart. `model` stays as it is.

    Seen in a forward pass of two images in train mode (BatchNorm wants two) over torch's fake tensors, which have
    shapes and no values, by the CPU's rules; each storage once.
    """
    named = dict(model.named_parameters()) | dict(model.named_buffers())
    kept: dict[int, int] = {}
    training = model.training
    with torch.random.fork_rng(devices=[]), FakeTensorMode(allow_non_fake_inputs=True):
        state = {
            name: torch.empty(tensor.shape, dtype=tensor.dtype).requires_grad_(tensor.requires_grad)
            for name, tensor in named.items()
        }
        own = {tensor.untyped_storage()._cdata for tensor in state.values()}

        def note(tensor: torch.Tensor) -> torch.Tensor:
            storage = tensor.untyped_storage()
            if storage._cdata not in own:
                kept[storage._cdata] = storage.nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            images = torch.zeros(2, 3, resolution, resolution)
            outputs = torch.func.functional_call(model.train(), state, (images,))
        model.train(training)
        del outputs  # it lived on until here, so that no storage's number comes twice
    return sum(kept.values()) // 2


def step_facts(model: nn.Module, resolution: int) -> dict[str, int]:
    """What `step_bytes` needs to know of a network."""
    weights = sum(parameter.numel() for parameter in model.parameters())
    return {"activation_bytes": activation_bytes(model, resolution=resolution), "weights": weights}


def step_bytes(facts: dict[str, int], *, images: int, states: int, sixteen_bit: bool) -> int:
    """Bytes of a step over `images` images on one device: activations, weights, gradients and `states` more per weight.

    In 16 bit the activations take half. An estimate from below: kernels' workspaces and fragments come on top.
    """
    activations = facts["activation_bytes"] // (2 if sixteen_bit else 1)
    return images * activations + (2 + states) * facts["weights"] * FLOAT_BYTES


def unfit(configs: Sequence[Config]) -> list[str]:
    """A line for each architecture and recipe whose step cannot fit `budget.gpu`; runs on the CPU are left out."""
    lines: dict[str, str | None] = {}
    for config in configs:
        key = str((config.model.name, config.model.kwargs, config.recipe, config.data.resolution, config.budget.gpu))
        if config.device != "cpu" and key not in lines:
            lines[key] = _unfit(config)
    return [line for line in lines.values() if line is not None]


def _unfit(config: Config) -> str | None:
    recipe, gpus = config.recipe, max(1, config.model.resources.gpus)
    memory = GPU_MEMORY_BYTES.get(config.budget.gpu)
    if memory is None:
        return None  # a GPU that the forecast refuses by name
    resolution = max([config.data.resolution, *(phase.resolution for phase in recipe.resolution_schedule)])
    name, kwargs, classes = config.model.name, config.model.kwargs, 1000
    facts = cached(
        "step_memory",
        name,
        kwargs,
        classes,
        resolution,
        lambda: step_facts(without_weights(partial(build, name, classes=classes, **kwargs)), resolution),
    )
    needed = step_bytes(
        facts,
        images=-(-recipe.batch_size // (recipe.accumulation_steps * gpus)),
        states=states_per_weight(recipe),
        sixteen_bit=config.precision not in ("fp32", "tf32"),
    )
    if needed <= memory:
        return None
    least = -(-recipe.accumulation_steps * needed // memory)
    return (
        f"memory: {config.model.name} with recipe={recipe.name} needs about {needed / 1e9:.0f} GB a step on each of "
        f"{gpus} GPU, and {config.budget.gpu} has {memory / 1e9:.0f}: raise "
        f"recipe.accumulation_steps to {least} or more, or model.resources.gpus"
    )
