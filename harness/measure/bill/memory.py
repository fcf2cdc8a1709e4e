"""An estimate of what one training step needs of a GPU's memory, to refuse a run that cannot fit."""

from collections.abc import Sequence
from typing import Any

from harness.measure.bill.cache import bill_of, count_at_once
from harness.measure.bill.count import Bill
from harness.measure.config.gpus import GPUS
from harness.measure.config.schema import Config, RecipeConfig

FLOAT_BYTES = 4
_STATES = {"sgd": 1, "nesterov": 1, "rmsprop": 2, "adamw": 2}


def states_per_weight(recipe: RecipeConfig) -> int:
    """Numbers that are kept beside each weight: the optimiser's, and the average's where there is one."""
    return _STATES[recipe.optimizer] + (recipe.average != "none")


def step_bytes(bill: Bill, *, images: int, states: int, sixteen_bit: bool) -> int:
    """Bytes of a step over `images` images on one device: activations, weights, gradients and `states` more per weight.

    In 16 bit the activations take half. An estimate from below: kernels' workspaces and fragments come on top.
    """
    activations = bill.activation_bytes // (2 if sixteen_bit else 1)
    return images * activations + (2 + states) * (bill.params + bill.auxiliary_params) * FLOAT_BYTES


def unfit(configs: Sequence[Config]) -> list[str]:
    """A line for each architecture and recipe whose step cannot fit `budget.gpu`; runs on the CPU are left out."""
    asked = {
        str((config.model.name, config.model.kwargs, config.recipe, config.data.resolution, config.budget.gpu)): config
        for config in configs
        if config.device != "cpu"
    }
    count_at_once(map(_network, asked.values()))
    return [line for line in map(_unfit, asked.values()) if line is not None]


def _network(config: Config) -> dict[str, Any]:
    """What `bill_of` needs to know, at the largest size that the run goes through."""
    model = config.model
    resolution = max([config.data.resolution, *(phase.resolution for phase in config.recipe.resolution_schedule)])
    return {"name": model.name, "kwargs": model.kwargs, "classes": 1000, "resolution": resolution}


def _unfit(config: Config) -> str | None:
    recipe, gpus = config.recipe, max(1, config.model.resources.gpus)
    memory = GPUS[config.budget.gpu].memory_bytes
    needed = step_bytes(
        bill_of(**_network(config)),
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
