"""The moving average of weights that a recipe may have judged in place of the weights themselves."""

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from harness.measure.config.schema import RecipeConfig

Tensors = tuple[torch.Tensor, ...] | list[torch.Tensor]


def average_decay(steps: int, cap: float | None) -> float:
    """The decay after `steps` averaged steps: min(cap, (1 + t) / (10 + t)), TensorFlow's ExponentialMovingAverage.

    Without a warm-up the first weights weigh on: at 0.9999 and 313 steps an epoch they are 88 % of the average after
    epoch 4. cap None: no upper limit, so that the average runs over about the last ninth of the training, however
    long that was.
    """
    warm = (1 + steps) / (10 + steps)
    return warm if cap is None else min(cap, warm)


def build_average(model: nn.Module, recipe: RecipeConfig) -> AveragedModel | None:
    """An average of weights and buffers, or None where the recipe has none. Its first update copies `model`."""
    if recipe.average == "none":
        return None
    average = AveragedModel(model, use_buffers=True)

    @torch.no_grad()
    def update(averages: Tensors, weights: Tensors, _steps_on_device: torch.Tensor | int) -> None:
        """AveragedModel's rule for tensors of one type. The count is read on the host, where nothing waits for it."""
        if averages[0].is_floating_point():
            torch._foreach_lerp_(averages, weights, 1 - average_decay(int(average.n_averaged), recipe.average_decay))
        else:  # BatchNorm's count of batches: the average of a count would say nothing
            torch._foreach_copy_(averages, weights)

    average.multi_avg_fn = update
    return average
