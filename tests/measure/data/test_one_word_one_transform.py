"""A word of recipe.train_transform is the same transform on a set in memory and on a folder of the same images."""

from pathlib import Path

import pytest
import torch
from PIL import Image

from harness.measure.config.compose import compose
from harness.measure.data.keyed import epoch_order
from harness.measure.data.loader.pixels import SHIFT_SHARE, shift
from harness.measure.data.sources import build
from tests.measure.data.loading import load

SIDE = 16
EPOCH = {"seed": 3, "epoch": 1, "start_batch": 0, "resolution": SIDE, "rank": 0, "world_size": 1}


@pytest.mark.parametrize("transform", ["none", "random_crop", "resized_crop"])
def test_a_set_in_memory_and_a_folder_of_its_images_give_the_same_views(tmp_path: Path, transform: str) -> None:
    overrides = ["data=fake", "target=none", f"recipe.train_transform={transform}", "recipe.flip=false"]
    config = compose([*overrides, "data.mean=[0.0]", "data.std=[1.0]"])
    small = build(config.data, config.recipe, torch.device("cpu"))
    plain = compose(["data=fake", "target=none", "data.mean=[0.0]", "data.std=[1.0]"])
    native = build(plain.data, plain.recipe, torch.device("cpu"))
    whole = {**EPOCH, "resolution": 8, "batch_size": native.train_images}
    originals, _ = next(native.train_batches(**whole))
    order = epoch_order(native.train_images, seed=3, epoch=1)
    by_index = {int(index): place for place, index in enumerate(order)}
    for index in range(native.train_images):
        place = by_index[index]
        pixels = (originals[place] * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
        for split in ("train", "val"):
            folder = tmp_path / split / f"c{index // 24}"  # any label will do: it keeps the order
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(folder / f"{split}{index:04}.png")
    streamed = load(tmp_path, train_transform=transform, flip=False, mean=[0.0], std=[1.0], batch_size=60)
    assert streamed.train_images == small.train_images
    stored = [int(Path(streamed.train_split.path(i)).stem[5:]) for i in range(streamed.train_images)]
    assert stored == list(range(len(stored)))  # the same order, so the same draws
    ours = torch.cat([x.clone() for x, _ in streamed.train_batches(batch_size=60, **EPOCH)])
    theirs = torch.cat([x.clone() for x, _ in small.train_batches(batch_size=60, **EPOCH)])
    assert (ours - theirs).abs().max() < 0.5 / 255


def test_shift_pads_and_crops_back_on_both() -> None:
    images = torch.randint(1, 256, (4, 3, SIDE, SIDE), dtype=torch.uint8)
    margin = SIDE // SHIFT_SHARE
    assert torch.equal(shift(images, torch.full((4, 2), 0.5)), images)
    corner = shift(images, torch.zeros(4, 2))
    assert torch.equal(corner[:, :, margin:, margin:], images[:, :, :-margin, :-margin])
    assert not corner[:, :, :margin].any()
