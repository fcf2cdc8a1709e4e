"""Optimiser, learning rate, loss and weight average, from the recipe."""

import math

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from harness.measure.config.schema import RecipeConfig

_NORMS = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm)


def learning_rate(recipe: RecipeConfig, *, step: int, steps_per_epoch: int, epochs: int) -> float:
    """The learning rate of a step (0-based): a pure function of the plan, so that there is no state to restore.

    The schedule spans `epochs`; "exponential" and "cosine" change at every step, "step" at whole epochs. "onecycle"
    rises from 1/25 of the peak over the first 30 % and falls to 1e-5 of it, both by half a cosine.
    """
    total = epochs * steps_per_epoch
    done = step / total
    warmup_steps = recipe.warmup_epochs * steps_per_epoch
    if step < warmup_steps:
        return recipe.lr * (step + 1) / warmup_steps
    if recipe.schedule == "step":
        drops = (step // steps_per_epoch) // recipe.schedule_every_epochs
        return float(recipe.lr / recipe.schedule_factor**drops)
    if recipe.schedule == "exponential":
        return float(recipe.lr / recipe.schedule_factor**done)
    if recipe.schedule == "cosine":
        after_warmup = (step - warmup_steps) / max(1.0, total - warmup_steps)
        return recipe.lr * 0.5 * (1 + math.cos(math.pi * after_warmup))
    if recipe.schedule == "onecycle":
        return recipe.lr * _one_cycle(done)
    return recipe.lr


def _one_cycle(done: float, *, rise: float = 0.3, start: float = 1 / 25, end: float = 1e-5) -> float:
    if done < rise:
        return start + (1 - start) * 0.5 * (1 - math.cos(math.pi * done / rise))
    return end + (1 - end) * 0.5 * (1 + math.cos(math.pi * (done - rise) / (1 - rise)))


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


class TrainingLoss(nn.Module):
    """Cross-entropy with label smoothing, plus the weighted auxiliary heads where a network has them."""

    def __init__(self, *, label_smoothing: float, auxiliary_weight: float) -> None:
        super().__init__()
        self._cross_entropy = nn.CrossEntropyLoss(label_smoothing=label_smoothing)
        self._auxiliary_weight = auxiliary_weight

    def forward(self, outputs: torch.Tensor | tuple[torch.Tensor | None, ...], labels: torch.Tensor) -> torch.Tensor:
        """outputs: logits (B, K), or a tuple of main and auxiliary logits; labels: (B,) or (B, K). Returns a scalar."""
        if isinstance(outputs, torch.Tensor):
            return self._cross_entropy(outputs, labels)
        main, *auxiliary = outputs
        loss: torch.Tensor = self._cross_entropy(main, labels)
        for head in auxiliary:
            if head is not None:
                loss = loss + self._auxiliary_weight * self._cross_entropy(head, labels)
        return loss


def build_average(model: nn.Module, recipe: RecipeConfig) -> AveragedModel | None:
    """An exponential moving average of weights and buffers, or None where the recipe has none."""
    if recipe.ema_decay == 0:
        return None
    return AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(recipe.ema_decay), use_buffers=True)


def freeze(model: nn.Module, recipe: RecipeConfig, *, epoch: int) -> None:
    """Stop gradients of the parameters that the recipe freezes from this epoch on."""
    prefixes = tuple(phase.prefix for phase in recipe.frozen if phase.from_epoch <= epoch)
    for name, parameter in model.named_parameters():
        if prefixes and name.startswith(prefixes):
            parameter.requires_grad_(False)
            parameter.grad = None


def resolution_at(recipe: RecipeConfig, base_resolution: int, *, epoch: int) -> int:
    """Training resolution in an epoch: the last phase begun, else the base."""
    begun = [phase for phase in recipe.resolution_schedule if phase.from_epoch <= epoch]
    return max(begun, key=lambda phase: phase.from_epoch).resolution if begun else base_resolution
