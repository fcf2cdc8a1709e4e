"""One optimiser step: the only code that runs between two batches."""

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from harness.measure.data import Batch
from harness.measure.data.keyed import keyed_seed
from harness.measure.optimise import set_learning_rate

if TYPE_CHECKING:
    from harness.measure.train import Training


def optimise_step(training: "Training", images: torch.Tensor, labels: torch.Tensor, lr: float) -> torch.Tensor:
    """Forward, backward and update over this process's share of a batch, in micro-batches.

    images: (B, 3, R, R); labels: (B,). Returns the mean loss, a scalar left on the device: reading it would make the
    host wait for a GPU.
    """
    recipe = training.config.recipe
    targets = labels
    if recipe.mixup_alpha > 0:
        images, targets = _mixup(training, images, labels)
    images = images.contiguous(memory_format=training.machine.memory_format)
    set_learning_rate(training.optimizer, lr)
    count = recipe.accumulation_steps
    total: torch.Tensor | None = None
    for part, part_targets in zip(images.tensor_split(count), targets.tensor_split(count), strict=True):
        with training.machine.autocast():
            loss = training.loss(training.network(part), part_targets)
        if count > 1:
            loss = loss * (len(part) / len(images))
        training.scaler.scale(loss).backward()
        total = loss.detach() if total is None else total + loss.detach()
    if recipe.gradient_clip_norm > 0:
        training.scaler.unscale_(training.optimizer)
        nn.utils.clip_grad_norm_(training.model.parameters(), recipe.gradient_clip_norm)
    training.scaler.step(training.optimizer)
    training.scaler.update()
    training.optimizer.zero_grad(set_to_none=True)
    if training.average is not None:
        training.average.update_parameters(training.model)
    assert total is not None
    return total


def _mixup(training: "Training", images: torch.Tensor, labels: torch.Tensor) -> Batch:
    """Blend each image with its neighbour (Zhang et al. 2018, arXiv 1710.09412); labels become (B, K) shares."""
    alpha = training.config.recipe.mixup_alpha
    key = keyed_seed("mixup", training.config.seed, training.position.step)
    share = float(np.random.default_rng(key).beta(alpha, alpha))
    shares = nn.functional.one_hot(labels, training.data.classes).float()
    return images.lerp(images.roll(1, 0), 1 - share), shares.lerp(shares.roll(1, 0), 1 - share)
