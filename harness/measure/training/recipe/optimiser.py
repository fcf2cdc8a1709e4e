"""The optimiser of a recipe, and which parameters it decays."""

import torch
from torch import nn

from harness.measure.config.schema import RecipeConfig
from harness.measure.training.recipe.rmsprop import TensorFlowRMSprop

_NORMS = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)
_OWN_NAMES = ("relative_position_bias_table", "layer_scale")
"""Parameters that the papers leave undecayed as they do biases: Swin's position bias, ConvNeXt's layer scale."""


def build_optimizer(model: nn.Module, recipe: RecipeConfig, *, fused: bool) -> torch.optim.Optimizer:
    """The recipe's optimiser over all parameters, norm layers and biases undecayed if the recipe says so.

    A parameter that two layers share stands in the groups once: twice would be two steps. Momentum starts at zero,
    which gives the first step that torch gives without: its fused SGD takes memory as it comes for the momentum and
    keeps it where the first step is skipped, as fp16's scaler does.
    """
    groups = _parameter_groups(model, recipe)
    lr, momentum = recipe.lr, recipe.momentum
    kernel = True if fused else None  # False would ask torch for a loop over parameters, None for its own default
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=lr, betas=(momentum, 0.999), fused=kernel)
    if recipe.optimizer == "rmsprop":
        assert recipe.epsilon is not None, "validate.py asks for it"
        return TensorFlowRMSprop(groups, lr=lr, momentum=momentum, epsilon=recipe.epsilon)
    sgd = torch.optim.SGD(groups, lr=lr, momentum=momentum, nesterov=recipe.optimizer == "nesterov", fused=kernel)
    if fused and momentum > 0:
        for parameter in (p for group in sgd.param_groups for p in group["params"] if p.requires_grad):
            sgd.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
    return sgd


def _parameter_groups(model: nn.Module, recipe: RecipeConfig) -> list[dict[str, object]]:
    decayed: list[nn.Parameter] = []
    plain: list[nn.Parameter] = []
    seen: set[nn.Parameter] = set()
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if parameter in seen:
                continue
            seen.add(parameter)
            small = isinstance(module, _NORMS) or name.endswith("bias") or name in _OWN_NAMES
            (plain if small and not recipe.decay_norm_and_bias else decayed).append(parameter)
    groups: list[dict[str, object]] = [{"params": decayed, "weight_decay": recipe.weight_decay}]
    if plain:
        groups.append({"params": plain, "weight_decay": 0.0})
    return groups


def set_learning_rate(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Set every group's learning rate."""
    for group in optimizer.param_groups:
        group["lr"] = lr
