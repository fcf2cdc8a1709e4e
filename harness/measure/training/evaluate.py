"""Exact evaluation: integer counts over the whole split, at any number of processes."""

from dataclasses import dataclass

import torch
from torch import nn

from harness.measure.data.protocol import ImageData
from harness.measure.machine.device import Machine
from harness.measure.machine.distributed import World, sum_integers


@dataclass(frozen=True)
class Counts:
    """Correct images by top-1 and top-5, the images looked at, and those whose logits are not all finite."""

    correct_top1: int
    correct_top5: int
    total: int
    not_finite: int


@torch.inference_mode()
def evaluate(
    model: nn.Module, data: ImageData, machine: Machine, world: World, *, resolution: int, batch_size: int
) -> Counts:
    """Run the evaluation split through `model` once.

    Logits that are not finite have no order: their images are counted apart, and the caller judges. Equal logits (in
    bf16 a few images in a thousand have some) are ordered as `torch.topk` does on that device.
    """
    model.eval()
    top1 = torch.zeros((), dtype=torch.int64, device=machine.device)
    top5 = torch.zeros((), dtype=torch.int64, device=machine.device)
    not_finite = torch.zeros((), dtype=torch.int64, device=machine.device)
    seen = 0
    batches = data.evaluation_batches(
        resolution=resolution, batch_size=batch_size, rank=world.rank, world_size=world.size
    )
    for images, labels in batches:
        with machine.autocast():
            logits = model(images.contiguous(memory_format=machine.memory_format))
        not_finite += (~logits.isfinite().all(dim=1)).sum()
        ranked = logits.float().topk(min(5, logits.shape[1]), dim=1).indices
        hits = ranked == labels.unsqueeze(1)
        top1 += hits[:, 0].sum()
        top5 += hits.sum()
        seen += len(labels)
    model.train()
    counts = sum_integers([int(top1), int(top5), seen, int(not_finite)], world)
    return Counts(*counts)
