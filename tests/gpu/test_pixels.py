"""The loader on a GPU: the pixels are the CPU path's, however busy the device is and however often memory is used."""

from pathlib import Path

import pytest
import torch

from harness.measure.config.compose import compose
from harness.measure.data.loader.augment import randaugment
from harness.measure.data.loader.pixels import Normaliser
from harness.measure.data.loader.waiting import Waiting, recorder
from harness.measure.data.protocol import Batch, ImageData
from harness.measure.data.sources import build
from tests.gpu.devices import each_device, only_on_gpu
from tests.measure.data.conftest import write_tree

SIDE, BATCH, EPOCHS = 48, 4, 4


def images_of(root: Path, device: str, *words: str) -> ImageData:
    asked = ["data=imagenet", "model=resnet18", f"data.root={root}", f"data.resolution={SIDE}", *words]
    config = compose([*asked, f"recipe.batch_size={BATCH}"])
    data = build(config.data, config.recipe, torch.device(device))
    data.start(world_size=1)
    return data


def batches_of(data: ImageData, device: torch.device) -> list[Batch]:
    """Every batch of some epochs and of an evaluation, read only after the device has had much else to do.

    Nobody waits for the device until the end: while it is busy, the copies of the next batches go on beside it.
    """
    busy = torch.randn(2048 if device.type == "cuda" else 64, 2048 if device.type == "cuda" else 64, device=device)
    seen = []

    def look(batch: Batch) -> None:
        for _ in range(20):
            busy.copy_((busy @ busy).tanh_())  # queued before the batch is read: the next copies may overtake it
        seen.append((batch[0].clone(), batch[1].clone()))

    for epoch in range(EPOCHS):
        for batch in data.train_batches(
            seed=1, epoch=epoch, batch_size=BATCH, start_batch=0, resolution=SIDE, rank=0, world_size=1
        ):
            look(batch)
    for batch in data.evaluation_batches(resolution=SIDE, batch_size=BATCH, rank=0, world_size=1):
        look(batch)
    return [(images.cpu(), labels.cpu()) for images, labels in seen]


@each_device
@pytest.mark.parametrize("transform", ["resized_crop", "random_crop"])
def test_pixels_equal_the_cpu_paths(device: str, transform: str, tmp_path: Path) -> None:
    """Two workers, a ring that goes round many times, batches that wait for a busy device: every bit as on the CPU."""
    root, words = write_tree(tmp_path), [f"recipe.train_transform={transform}", "recipe.flip=true"]
    plain, tried = images_of(root, "cpu", *words, "data.workers=0"), images_of(root, device, *words, "data.workers=2")
    try:
        expected, found = batches_of(plain, torch.device("cpu")), batches_of(tried, torch.device(device))
    finally:
        plain.close()
        tried.close()
    assert len(found) == len(expected) > 3 * EPOCHS
    for (images, labels), (same, same_labels) in zip(found, expected, strict=True):
        assert torch.equal(labels, same_labels)
        assert torch.equal(images, same)


@each_device
def test_every_level_is_normalised_alike(device: str) -> None:
    """All 256 levels of each channel. CUDA divides by a number as it multiplies by its inverse: a bit is lost there."""
    levels = torch.arange(256, dtype=torch.uint8).view(1, 16, 16, 1).expand(2, -1, -1, 3).contiguous()
    mean, std = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    expected = torch.empty(2, 16, 16, 3)
    flips = torch.tensor([False, True])
    Normaliser(mean, std, torch.device("cpu")).into(expected, levels, flips.numpy())
    there = Normaliser(mean, std, torch.device(device)).on_device(levels.to(device), flips.to(device))
    assert torch.equal(there.cpu(), expected.permute(0, 3, 1, 2))


@only_on_gpu
def test_randaugment_leaves_cudas_generator_alone() -> None:
    torch.cuda.manual_seed(3)
    before = torch.cuda.get_rng_state()
    randaugment(torch.zeros(2, 3, 16, 16, dtype=torch.uint8), [1, 2], 9)
    assert torch.equal(torch.cuda.get_rng_state(), before)


@only_on_gpu
def test_a_fast_loader_leaves_no_wait_and_the_host_is_bounded() -> None:
    device = torch.device("cuda")
    work = torch.randn(4096, 4096, device=device)
    waiting = Waiting(recorder(device))
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    for images, _ in waiting.over((work, work) for _ in range(30)):
        for _ in range(10):
            images = images @ work  # noqa: PLW2901
    end.record()
    seconds = waiting.take_seconds()
    torch.cuda.synchronize()
    assert seconds < 0.1 * start.elapsed_time(end) / 1000
