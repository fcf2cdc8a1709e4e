"""One optimiser step: the only code that runs between two batches."""

import numpy as np
import torch
from torch import nn

from harness.measure.data.keyed import keyed_seed
from harness.measure.data.protocol import Batch
from harness.measure.machine.distributed import gradients_shared
from harness.measure.training.recipe.optimiser import set_learning_rate
from harness.measure.training.state import Training


def optimise_step(
    training: Training, images: torch.Tensor, labels: torch.Tensor, lr: float, global_images: int
) -> torch.Tensor:
    """Forward, backward and update over this process's share of a batch of `global_images`, in micro-batches.

    images: (B, 3, R, R); labels: (B,). Returns the loss, a scalar left on the device (reading it would make the host
    wait for a GPU): its mean over the ranks is the mean over the whole batch, and so are the gradients.
    """
    recipe = training.config.recipe
    targets = labels
    if recipe.mixup_alpha > 0:
        images, targets = _mixup(training, images, labels)
    images = images.contiguous(memory_format=training.machine.memory_format)
    if training.graphed is None:
        set_learning_rate(training.optimizer, lr)
        loss = update(training, images, targets, global_images)
    else:
        loss = training.graphed(images, targets, global_images, lr)
    if training.average is not None:
        training.average.update_parameters(training.model)
    return loss


def update(training: Training, images: torch.Tensor, targets: torch.Tensor, global_images: int) -> torch.Tensor:
    """The part of a step in which the host decides nothing, so that a CUDA graph can hold it; see `optimise_step`."""
    recipe = training.config.recipe
    # Never under 2 images a part, as in a full batch; the same number on every rank, whose shares differ by one image.
    count = min(recipe.accumulation_steps, max(1, global_images // training.world.size // 2))
    total: torch.Tensor | None = None
    parts = [(images, targets)]
    if count > 1:  # splitting into one part would cost more than anything else that the harness adds to a step
        parts = list(zip(images.tensor_split(count), targets.tensor_split(count), strict=True))
    for number, (part, part_targets) in enumerate(parts, start=1):
        share = len(part) * training.world.size / global_images
        with gradients_shared(training.parallel, number == count):
            with training.machine.autocast():
                loss = training.loss(training.parallel(part), part_targets)
            if share != 1:
                loss = loss * share
            training.scaler.scale(loss).backward()
        total = loss.detach() if total is None else total + loss.detach()
    if recipe.gradient_clip_norm > 0:
        training.scaler.unscale_(training.optimizer)
        nn.utils.clip_grad_norm_(training.model.parameters(), recipe.gradient_clip_norm)
    training.scaler.step(training.optimizer)
    training.scaler.update()
    training.optimizer.zero_grad(set_to_none=True)
    assert total is not None
    return total


def _mixup(training: Training, images: torch.Tensor, labels: torch.Tensor) -> Batch:
    """Blend each image with its neighbour (Zhang et al. 2018, arXiv 1710.09412); labels become (B, K) shares.

    The neighbours are those of this process's share, so the number of processes changes who is blended with whom.
    """
    alpha = training.config.recipe.mixup_alpha
    key = keyed_seed("mixup", training.config.seed, training.position.step)
    share = float(np.random.default_rng(key).beta(alpha, alpha))
    shares = nn.functional.one_hot(labels, training.data.classes).float()
    return images.lerp(images.roll(1, 0), 1 - share), shares.lerp(shares.roll(1, 0), 1 - share)
