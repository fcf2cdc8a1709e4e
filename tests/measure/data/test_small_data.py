import gzip
from pathlib import Path

import numpy as np
import pytest
import torch

from harness.measure.config.compose import compose
from harness.measure.data.protocol import ImageData, rank_share
from harness.measure.data.sources import build
from harness.record.errors import BadInput

CPU = torch.device("cpu")


def load(*overrides: str) -> ImageData:
    config = compose(["target=none", *overrides])
    return build(config.data, config.recipe, CPU)


def epoch(data: ImageData, **changes: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    arguments = {
        "seed": 0, "epoch": 0, "batch_size": 50, "start_batch": 0, "resolution": 16, "rank": 0, "world_size": 1
    } | changes  # fmt: skip
    return list(data.train_batches(**arguments))


AUGMENTED = ("data=fake", "recipe.train_transform=resized_crop", "recipe.flip=true", "recipe.randaugment=true")


def test_the_digits_are_real_stratified_and_fixed() -> None:
    data = load("data=digits")
    assert (data.train_images, data.evaluation_images, data.classes, data.subset) == (1437, 360, 10, False)
    labels = torch.cat([y for _, y in data.evaluation_batches(resolution=8, batch_size=100, rank=0, world_size=1)])
    assert torch.bincount(labels).min() >= 35
    assert load("data=digits").fingerprint == data.fingerprint


def test_an_epoch_holds_every_image_once_in_an_order_of_its_own() -> None:
    data = load("data=fake")
    first, second = epoch(data), epoch(data, epoch=1)
    assert [len(y) for _, y in first] == [50, 50, 50, 50, 40]
    for batches in (first, second):
        assert torch.bincount(torch.cat([y for _, y in batches])).tolist() == [24] * 10
    assert not torch.equal(first[0][0], second[0][0])
    assert first[0][0].shape == (50, 3, 16, 16)
    assert first[0][0].dtype == torch.float32


def test_a_batch_is_a_pure_function_of_its_place() -> None:
    whole, late = epoch(load(*AUGMENTED)), epoch(load(*AUGMENTED), start_batch=3)
    torch.rand(7)  # the state of other generators does not matter
    assert len(late) == 2
    for (x, y), (x_late, y_late) in zip(whole[3:], late, strict=True):
        assert torch.equal(x, x_late)
        assert torch.equal(y, y_late)


@pytest.mark.parametrize("world_size", [2, 3])
def test_ranks_share_the_global_batch_exactly(world_size: int) -> None:
    data = load(*AUGMENTED)
    shares = [epoch(data, rank=rank, world_size=world_size) for rank in range(world_size)]
    for alone, *parts in zip(epoch(data), *shares, strict=True):
        assert torch.equal(alone[0], torch.cat([x for x, _ in parts]))
        assert torch.equal(alone[1], torch.cat([y for _, y in parts]))


@pytest.mark.parametrize("world_size", [1, 2, 4, 7])
def test_evaluation_sees_every_image_once_at_any_world_size(world_size: int) -> None:
    data = load("data=fake")
    seen = [
        x
        for rank in range(world_size)
        for x, _ in data.evaluation_batches(resolution=8, batch_size=16, rank=rank, world_size=world_size)
    ]
    assert len(torch.cat(seen)) == 90
    assert (
        sum(
            rank_share(90, rank, world_size).stop - rank_share(90, rank, world_size).start for rank in range(world_size)
        )
        == 90
    )


def test_grey_becomes_three_normalised_channels() -> None:
    images, _ = next(load("data=digits").evaluation_batches(resolution=8, batch_size=360, rank=0, world_size=1))
    assert torch.equal(images[:, 0], images[:, 2])
    assert images.min() == -1
    assert images.max() == 1


def test_a_subset_is_marked_seeded_and_has_a_fingerprint_of_its_own() -> None:
    whole = load("data=digits")
    part = load("data=digits", "data.classes=4", "data.images_per_class=20", "data.evaluation_images_per_class=10")
    assert part.subset
    assert (part.classes, part.train_images, part.evaluation_images) == (4, 80, 40)
    assert part.fingerprint != whole.fingerprint
    assert load("data=digits", "data.classes=10").subset is False
    again = load("data=digits", "data.classes=4", "data.images_per_class=20", "data.evaluation_images_per_class=10")
    assert again.fingerprint == part.fingerprint


def write_idx(folder: Path, *, compress: bool) -> None:
    folder.mkdir(parents=True)
    for stem, count in (("train", 20), ("t10k", 10)):
        images = np.arange(count * 784, dtype=np.int64).astype(np.uint8).reshape(count, 28, 28)
        labels = np.arange(count, dtype=np.uint8) % 10
        for kind, array in (("images-idx3", images), ("labels-idx1", labels)):
            header = bytes([0, 0, 8, array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape)
            path = folder / f"{stem}-{kind}-ubyte{'.gz' if compress else ''}"
            path.write_bytes(gzip.compress(header + array.tobytes()) if compress else header + array.tobytes())


@pytest.mark.parametrize("compress", [True, False])
@pytest.mark.parametrize("inside", ["", "FashionMNIST/raw"])
def test_fashion_mnist_is_found_in_both_layouts(tmp_path: Path, inside: str, compress: bool) -> None:
    write_idx(tmp_path / "set" / inside, compress=compress)
    data = load("data=fashion_mnist", f"data.root={tmp_path / 'set'}")
    assert (data.train_images, data.evaluation_images) == (20, 10)


def test_fashion_mnist_missing_or_torn_names_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no such folder"):
        load("data=fashion_mnist", f"data.root={tmp_path / 'absent'}")
    with pytest.raises(BadInput, match="dataset-fashion-mnist"):
        load("data=fashion_mnist", f"data.root={tmp_path}")
    write_idx(tmp_path / "set", compress=True)
    path = tmp_path / "set" / "train-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(BadInput, match="truncated"):
        load("data=fashion_mnist", f"data.root={tmp_path / 'set'}")
