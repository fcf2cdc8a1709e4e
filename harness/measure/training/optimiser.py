"""The optimiser of a recipe, and which parameters it decays."""

import torch
from torch import nn

from harness.measure.config.schema import RecipeConfig

_NORMS = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm)


def build_optimizer(model: nn.Module, recipe: RecipeConfig, *, fused: bool) -> torch.optim.Optimizer:
    """The recipe's optimiser over all parameters, norm layers and biases undecayed if the recipe says so."""
    groups = _parameter_groups(model, recipe)
    lr, momentum = recipe.lr, recipe.momentum
    kernel = True if fused else None  # False would ask torch for a loop over parameters, None for its own default
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=lr, betas=(momentum, 0.999), fused=kernel)
    if recipe.optimizer == "rmsprop":
        return torch.optim.RMSprop(groups, lr=lr, momentum=momentum, alpha=0.9, eps=1e-3)
    return torch.optim.SGD(groups, lr=lr, momentum=momentum, nesterov=recipe.optimizer == "nesterov", fused=kernel)


def _parameter_groups(model: nn.Module, recipe: RecipeConfig) -> list[dict[str, object]]:
    decayed: list[nn.Parameter] = []
    plain: list[nn.Parameter] = []
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            undecayed = not recipe.decay_norm_and_bias and (isinstance(module, _NORMS) or name.endswith("bias"))
            (plain if undecayed else decayed).append(parameter)
    groups: list[dict[str, object]] = [{"params": decayed, "weight_decay": recipe.weight_decay}]
    if plain:
        groups.append({"params": plain, "weight_decay": 0.0})
    return groups


def set_learning_rate(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Set every group's learning rate."""
    for group in optimizer.param_groups:
        group["lr"] = lr
