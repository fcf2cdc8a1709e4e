"""The moving average of weights that a recipe may have judged in place of the weights themselves."""

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from harness.measure.config.schema import RecipeConfig


def average_decay(steps: int, cap: float | None) -> float:
    """The decay after `steps` averaged steps: min(cap, (1 + t) / (10 + t)), TensorFlow's ExponentialMovingAverage.

    Without a warm-up the first weights weigh on: at 0.9999 and 313 steps an epoch they are 88 % of the average after
    epoch 4. cap None: no upper limit, so that the average runs over about the last ninth of the training, however
    long that was.
    """
    warm = (1 + steps) / (10 + steps)
    return warm if cap is None else min(cap, warm)


class Average(AveragedModel):
    """An average of weights and buffers. Its first update copies."""

    def __init__(self, model: nn.Module, cap: float | None) -> None:
        super().__init__(model, use_buffers=True)
        self._cap = cap

    @torch.no_grad()
    def update_parameters(self, model: nn.Module) -> None:
        """One step of the average. AveragedModel's own sends its count to the GPU at every step, and waits for that."""
        steps = int(self.n_averaged)  # on the host
        averages = [*self.module.parameters(), *self.module.buffers()]
        tensors = [*model.parameters(), *model.buffers()]
        # BatchNorm's count of batches is copied: the average of a count would say nothing
        blended = [steps > 0 and average.is_floating_point() for average in averages]
        for blend in (True, False):
            mine, theirs = ([t for t, b in zip(of, blended, strict=True) if b == blend] for of in (averages, tensors))
            if mine and blend:
                torch._foreach_lerp_(mine, theirs, 1 - average_decay(steps, self._cap))
            elif mine:
                torch._foreach_copy_(mine, theirs)
        self.n_averaged += 1


def build_average(model: nn.Module, recipe: RecipeConfig) -> Average | None:
    """An average of `model`, or None where the recipe has none."""
    return None if recipe.average == "none" else Average(model, recipe.average_decay)
