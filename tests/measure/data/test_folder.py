"""The folder path against torchvision's reference, pixel for pixel, and its batches as pure functions."""

import os
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import transforms
from torchvision.datasets import ImageFolder
from torchvision.transforms import functional

from harness.measure.data.loader import decode, pixels, sampling
from harness.measure.data.loader.stream import default_workers
from harness.record.errors import BadInput, HarnessError
from tests.measure.data.conftest import WNIDS, encoded, odd_files, picture, write_tree
from tests.measure.data.loading import SIDE, digest, evaluation, load, train

MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


@pytest.mark.parametrize("resolution", [SIDE, 224])
def test_evaluation_equals_torchvisions_reference_bit_for_bit(tree: Path, resolution: int) -> None:
    """Every odd file included: Resize(resolution / 0.875), CenterCrop, ToTensor, Normalize on Pillow images."""
    reference = ImageFolder(
        str(tree / "val"),
        transforms.Compose(
            [
                transforms.Resize(round(resolution / 0.875)),
                transforms.CenterCrop(resolution),
                transforms.ToTensor(),
                transforms.Normalize(MEAN, STD),
            ]
        ),
    )
    batches = evaluation(load(tree, resolution=resolution), resolution=resolution)
    images, labels = torch.cat([x for x, _ in batches]), torch.cat([y for _, y in batches])
    assert len(images) == len(reference)
    for image, label, (expected, expected_label) in zip(images, labels, reference, strict=True):
        assert int(label) == expected_label
        assert torch.equal(image, expected)


def test_imagenets_setting_is_resize_256_crop_224() -> None:
    assert pixels.resize_side(224, 0.875) == 256


def _need(decoder: str) -> None:
    if decoder != "pillow" and decode.fast_decoder(decoder) is None:
        pytest.skip(f"{decoder} has no JPEG decoder that loads here")


@pytest.mark.parametrize("decoder", decode.DECODERS)
@pytest.mark.parametrize("name", sorted(odd_files()))
def test_every_odd_file_decodes_to_pillows_pixels(decoder: str, name: str) -> None:
    _need(decoder)
    data = odd_files()[name]
    decoded, by_pillow = decode.Decoder(decoder).decode(data, name)
    expected = np.array(decode.pillow_rgb(data, name))
    assert np.array_equal(decoded.numpy(), expected)
    assert by_pillow == (
        decoder != "pillow" and (name.startswith("png") or (name, decoder) == ("turned", "torchcodec"))
    )


@pytest.mark.parametrize("decoder", decode.DECODERS)
def test_an_orientation_behind_other_segments_turns_nothing(decoder: str) -> None:
    """An EXIF block behind 200 KiB of other segments: the reference does not look at it, nor does anybody here."""
    _need(decoder)
    turned = odd_files()["turned"]
    filler = b"\xff\xe3" + (50_000).to_bytes(2, "big") + bytes(49_998)
    data = turned[:2] + 4 * filler + turned[2:]
    decoded, _ = decode.Decoder(decoder).decode(data, "late")
    assert np.array_equal(decoded.numpy(), np.array(decode.pillow_rgb(turned, "turned")))


def test_train_pixels_are_the_references_within_rounding(tree: Path) -> None:
    """The same box through torchvision's reference (Pillow resize): mean 0.1, never above 1 of 255 levels.

    The bound on the mean is loose here for the tiny noisy pictures; PERFORMANCE on real sizes gives 0.02.
    """
    samples = [path for path, _ in ImageFolder(str(tree / "train")).samples]
    data = load(tree, flip=False, mean=[0.0], std=[1 / 255])
    order = [data.train_split.path(i) for i in range(len(samples))]
    assert order == samples
    numbers = sampling.draws(7, 2, 0, len(samples))
    out = torch.empty(len(samples), SIDE, SIDE, 3, dtype=torch.uint8)
    data.train_split.train(out, np.arange(len(samples)), numbers, "resized_crop")
    differences = []
    for image, path, own in zip(out, samples, numbers, strict=True):
        original = Image.open(path).convert("RGB")
        top, left, height, width = sampling.resized_crop_box(own, original.height, original.width)
        expected = functional.resized_crop(original, top, left, height, width, [SIDE, SIDE])
        differences.append(np.abs(np.array(expected).astype(int) - image.numpy()))
    assert max(int(d.max()) for d in differences) <= 1
    assert np.mean([d.mean() for d in differences]) < 0.1


def test_random_crop_is_resize_then_crop_of_the_reference(tree: Path) -> None:
    path = next((tree / "train" / WNIDS[1]).iterdir())
    original = Image.open(path).convert("RGB")
    own = sampling.draws(7, 2, 5, 1)[0]
    ours = pixels.training_image(torch.from_numpy(np.array(original)), own, "random_crop", 56).numpy()
    resized = functional.resize(original, 64)
    top, left, _, _ = sampling.random_crop_box(own, resized.height, resized.width, 56)
    expected = np.array(functional.crop(resized, top, left, 56, 56)).astype(int)
    assert np.abs(expected - ours).max() <= 1


def test_boxes_follow_random_resized_crop_in_distribution() -> None:
    """10,000 boxes of ours and of torchvision's on one size: deciles of area, ratio and place agree."""
    height, width, n = 375, 500, 10_000
    ours = np.array([sampling.resized_crop_box(own, height, width) for own in sampling.draws(0, 0, 0, n)])
    torch.manual_seed(0)
    image = torch.empty(3, height, width)
    theirs = np.array([transforms.RandomResizedCrop.get_params(image, [0.08, 1.0], [3 / 4, 4 / 3]) for _ in range(n)])
    quantiles = np.linspace(0.1, 0.9, 9)

    def features(boxes: np.ndarray) -> np.ndarray:
        top, left, h, w = boxes.T.astype(float)
        free_top, free_left = np.maximum(height - h, 1), np.maximum(width - w, 1)
        measures = (h * w / height / width, h / w, h / height, top / free_top, left / free_left)
        return np.array([np.quantile(m, quantiles) for m in measures])

    # a decile of 10,000 uniform draws has a standard error of 0.005
    assert np.abs(features(ours) - features(theirs)).max() < 0.03


@pytest.mark.parametrize(("height", "width"), [(20, 400), (400, 20), (1, 1), (2, 3)])
def test_a_box_always_lies_inside_the_image(height: int, width: int) -> None:
    for own in sampling.draws(1, 1, 0, 200):
        top, left, h, w = sampling.resized_crop_box(own, height, width)
        assert 0 <= top <= top + h <= height
        assert 0 <= left <= left + w <= width
        assert h > 0
        assert w > 0


def test_draws_depend_on_the_position_alone() -> None:
    whole = sampling.draws(5, 4, 0, 40)
    assert np.array_equal(whole[13:29], sampling.draws(5, 4, 13, 16))
    assert not np.array_equal(whole, sampling.draws(5, 5, 0, 40))
    assert not np.array_equal(whole, sampling.draws(6, 4, 0, 40))
    assert len(np.unique(whole)) == whole.size


def test_flips_mirror_the_image(tree: Path) -> None:
    plain = torch.cat([x for x, _ in train(load(tree, flip=False, train_transform="none"))])
    mirrored = torch.cat([x for x, _ in train(load(tree, flip=True, train_transform="none"))])
    chosen = sampling.flips(sampling.draws(3, 1, 0, len(plain)))
    assert 0 < chosen.sum() < len(chosen)
    assert torch.equal(mirrored, torch.where(torch.from_numpy(chosen)[:, None, None, None], plain.flip(3), plain))


def test_an_epoch_shows_every_image_once_with_its_label(tree: Path) -> None:
    data = load(tree)
    labels = torch.cat([y for _, y in train(data)])
    reference = torch.tensor(ImageFolder(str(tree / "train")).targets)
    assert torch.equal(labels.sort().values, reference.sort().values)
    assert labels.dtype == torch.int64


def test_batches_are_float32_nchw_in_channels_last_memory(tree: Path) -> None:
    images, _ = next(train(load(tree)))
    assert images.dtype == torch.float32
    assert images.shape == (8, 3, SIDE, SIDE)
    assert images.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("transform", ["none", "random_crop", "resized_crop"])
def test_workers_change_nothing(tree: Path, transform: str) -> None:
    alone, pooled = load(tree, train_transform=transform), load(tree, train_transform=transform, workers=2)
    assert digest(train(pooled)) == digest(train(alone))
    assert digest(evaluation(pooled)) == digest(evaluation(alone))
    pooled.close()


def test_randaugment_is_keyed_too_and_leaves_the_global_generator_alone(tree: Path) -> None:
    torch.manual_seed(0)
    before = torch.random.get_rng_state()
    first = digest(train(load(tree, randaugment=True)))
    assert torch.equal(torch.random.get_rng_state(), before)
    pooled = load(tree, randaugment=True, workers=2)
    assert digest(train(pooled)) == first
    assert digest(train(load(tree))) != first
    pooled.close()


def test_a_batch_stays_whole_until_the_next_but_one_is_asked_for(tree: Path) -> None:
    batches = load(tree).train_batches(
        seed=0, epoch=0, batch_size=4, start_batch=0, resolution=SIDE, rank=0, world_size=1
    )
    first, _ = next(batches)
    copy = first.clone()
    second, _ = next(batches)
    assert torch.equal(first, copy)
    assert not torch.equal(first, second)
    third, _ = next(batches)
    assert third.data_ptr() == first.data_ptr()


def test_resume_in_mid_epoch_gives_the_same_batches_without_replay(tree: Path) -> None:
    data = load(tree)
    whole = digest(train(data))
    read: list[int] = []
    original = data.train_split.train
    data.train_split.train = lambda out, indices, *rest: (read.extend(indices), original(out, indices, *rest))[1]  # type: ignore[method-assign]
    assert digest(train(data, start_batch=2)) == whole[2:]
    assert len(read) == data.train_images - 16


def test_epochs_and_seeds_differ_and_repeat(tree: Path) -> None:
    data = load(tree)
    runs = {(s, e): tuple(digest(train(data, seed=s, epoch=e))) for s in (0, 1) for e in (0, 1)}
    assert len(set(runs.values())) == 4
    assert digest(train(data, seed=1, epoch=0)) == list(runs[1, 0])


@pytest.mark.parametrize("world_size", [2, 3])
def test_ranks_share_the_global_batch(tree: Path, world_size: int) -> None:
    data = load(tree)
    whole = list(train(data))
    shares = [list(train(load(tree), rank=r, world_size=world_size)) for r in range(world_size)]
    for batch, (images, labels) in enumerate(whole[: len(shares[0])]):
        assert torch.equal(torch.cat([share[batch][0] for share in shares]), images)
        assert torch.equal(torch.cat([share[batch][1] for share in shares]), labels)
    assert {len(share) for share in shares} == {len(shares[0])}
    everything = [evaluation(load(tree), rank=r, world_size=world_size) for r in range(world_size)]
    joined = torch.cat([y for part in everything for _, y in part])
    assert torch.equal(joined, torch.cat([y for _, y in evaluation(data)]))


@pytest.mark.parametrize("workers", [0, 2])
def test_evaluation_in_mid_epoch_disturbs_nothing(tree: Path, workers: int) -> None:
    expected = digest(train(load(tree)))
    data = load(tree, workers=workers)
    running = train(data)
    seen = [next(running)]
    kept = digest(seen)
    evaluation(data)
    assert kept + digest(running) == expected
    data.close()


@pytest.mark.parametrize("workers", [0, 2])
def test_an_abandoned_epoch_leaves_the_next_one_whole(tree: Path, workers: int) -> None:
    expected = digest(train(load(tree), epoch=2))
    data = load(tree, workers=workers)
    for _ in range(3):
        next(train(data))
    assert digest(train(data, epoch=2)) == expected
    data.close()


def test_workers_outlive_the_epoch(tree: Path) -> None:
    data = load(tree, workers=2)
    list(train(data))
    pids = data.worker_pids
    list(train(data, epoch=2))
    evaluation(data)
    assert data.worker_pids == pids
    assert len(pids) == 2
    data.close()


def test_a_larger_resolution_than_planned_is_served(tree: Path) -> None:
    data = load(tree, workers=1)
    next(train(data))
    images, _ = next(train(data, resolution=2 * SIDE))
    assert images.shape[-1] == 2 * SIDE
    data.close()


def test_a_larger_resolution_in_mid_epoch_is_an_error_not_a_shorter_epoch(tree: Path) -> None:
    data = load(tree)
    running = train(data)
    next(running)
    with pytest.raises(HarnessError, match="112 pixels asked for in mid-epoch"):
        evaluation(data, resolution=2 * SIDE)
    assert len(list(running)) == 3


def test_training_goes_on_after_an_evaluation_in_inference_mode(tree: Path) -> None:
    data = load(tree)
    with torch.inference_mode():
        evaluation(data)
    assert digest(train(data)) == digest(train(load(tree)))


def test_a_batch_larger_than_a_chunk_is_assembled_in_order(tmp_path: Path) -> None:
    root = write_tree(tmp_path / "t", train_images=30, evaluation_images=1, odd=False)
    small, large = load(root), load(root, workers=2)
    one = torch.cat([x for x, _ in train(small, batch_size=10)])
    assert torch.equal(torch.cat([x for x, _ in train(large, batch_size=80)]), one)
    large.close()


@pytest.mark.parametrize("workers", [0, 1])
def test_odd_files_are_counted_once_and_logged(tree: Path, workers: int, caplog: pytest.LogCaptureFixture) -> None:
    _need("torchcodec")
    data = load(tree, workers=workers, decoder="torchcodec")
    with caplog.at_level("INFO"):
        for epoch in (0, 1):
            list(train(data, epoch=epoch))
    assert data.notes["odd_files"] == 4  # three PNGs and the one with an EXIF block
    assert len([r for r in caplog.records if "read by Pillow" in r.message]) == 4
    assert str(data.notes["decoder"]).startswith("torchcodec ")
    data.close()


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("kind", ["truncated", "not an image"])
@pytest.mark.parametrize("split", ["train", "val"])
def test_a_file_that_cannot_be_read_is_named(own_tree: Path, workers: int, kind: str, split: str) -> None:
    whole = encoded(picture(1, 90, 120))
    bad = own_tree / split / WNIDS[1] / "bad.JPEG"
    bad.write_bytes(whole[: len(whole) // 2] if kind == "truncated" else b"<html>moved</html>")
    data = load(own_tree, workers=workers)
    reason = "truncated" if kind == "truncated" else "not an image that Pillow knows"
    with pytest.raises(BadInput, match=f"{bad} cannot be decoded .*{reason}.*restore that file") as caught:
        list(train(data)) if split == "train" else evaluation(data)
    assert "\n" not in str(caught.value)
    data.close()


def test_the_reference_refuses_the_same_truncated_file(own_tree: Path) -> None:
    whole = encoded(picture(1, 90, 120))
    (own_tree / "train" / WNIDS[1] / "bad.JPEG").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(OSError, match="truncated"):
        list(ImageFolder(str(own_tree / "train")))


def test_a_file_that_vanished_is_named(own_tree: Path) -> None:
    data = load(own_tree)
    gone = own_tree / "train" / WNIDS[0] / f"{WNIDS[0]}_1.JPEG"
    gone.unlink()
    with pytest.raises(BadInput, match=f"{gone} cannot be read"):
        list(train(data, batch_size=9))


def test_a_killed_worker_is_told_in_one_line(tree: Path) -> None:
    data = load(tree, workers=1)
    running = train(data, batch_size=2)
    next(running)
    os.kill(data.worker_pids[0], signal.SIGKILL)
    with pytest.raises(HarnessError, match=r"a loader process died.*lower data.workers"):
        list(running) and list(train(data))
    data.close()


def test_workers_are_deaf_to_the_signals_that_stop_the_main_process(tree: Path) -> None:
    data = load(tree, workers=1)
    running = train(data)
    next(running)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
        os.kill(data.worker_pids[0], number)
    assert len(list(running)) == 3
    data.close()


def test_a_subset_needs_no_copy_and_has_its_own_fingerprint(tree: Path) -> None:
    whole = load(tree)
    part = load(tree, classes=2, images_per_class=4)
    assert (part.classes, part.train_images, part.subset) == (2, 8, True)
    again = load(tree, classes=2, images_per_class=4)
    assert again.fingerprint == part.fingerprint
    assert part.fingerprint != whole.fingerprint
    assert load(tree, classes=2).fingerprint != part.fingerprint
    names = {Path(part.train_split.path(i)).parent.name for i in range(part.train_images)}
    kept = {Path(part.evaluation_split.path(i)).parent.name for i in range(part.evaluation_images)}
    assert names == kept
    assert len(names) == 2
    labels = torch.cat([y for _, y in train(part, batch_size=4)])
    assert labels.bincount().tolist() == [4, 4]


def test_a_tree_with_imagenets_names_but_not_all_of_it_is_a_subset(tree: Path) -> None:
    assert load(tree).subset


def test_a_tree_of_other_classes_is_a_set_of_its_own(own_tree: Path) -> None:
    for split in ("train", "val"):
        for name, wnid in zip(("cat", "dog", "eel"), WNIDS, strict=True):
            (own_tree / split / wnid).rename(own_tree / split / name)
    assert not load(own_tree).subset
    assert load(own_tree, images_per_class=2).subset


@pytest.mark.parametrize(("classes", "images_per_class", "message"), [
    (9, None, "data.classes=9: the data set has 3"),
    (None, 99, r"data.images_per_class=99: class n\d+ has . images; lower it"),
])  # fmt: skip
def test_a_subset_larger_than_the_set_is_refused(
    own_tree: Path, classes: int | None, images_per_class: int | None, message: str
) -> None:
    with pytest.raises(BadInput, match=message):
        load(own_tree, classes=classes, images_per_class=images_per_class)


def test_an_unknown_decoder_is_refused(own_tree: Path) -> None:
    with pytest.raises(BadInput, match=r"data.decoder=turbo: choose one of auto, torchcodec, torchvision, pillow"):
        load(own_tree, decoder="turbo")


def test_auto_prefers_torchcodec_then_torchvision_then_pillow(monkeypatch: pytest.MonkeyPatch) -> None:
    available = {"torchcodec", "torchvision"}
    monkeypatch.setattr(decode, "fast_decoder", lambda name: (lambda data: data) if name in available else None)
    assert decode.choose("auto") == "torchcodec"
    available.remove("torchcodec")
    assert decode.choose("auto") == "torchvision"
    available.clear()
    assert decode.choose("auto") == "pillow"
    with pytest.raises(BadInput, match=r"cannot be loaded here: use data.decoder=auto"):
        decode.choose("torchcodec")


@pytest.mark.parametrize(
    ("words", "workers"),
    [
        ({}, 15),
        ({"LOCAL_WORLD_SIZE": "4"}, 3),
        ({"SLURM_CPUS_PER_TASK": "8"}, 7),  # a site that does not bind tasks to their cores
        ({"SLURM_CPUS_PER_TASK": "8", "LOCAL_WORLD_SIZE": "8"}, 1),  # torchrun in a job of one task
    ],
)
def test_loader_processes_are_as_many_as_this_process_has_cores(
    words: dict[str, str], workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)))
    for name in ("LOCAL_WORLD_SIZE", "SLURM_CPUS_PER_TASK"):
        monkeypatch.delenv(name, raising=False)
    for name, value in words.items():
        monkeypatch.setenv(name, value)
    assert default_workers() == workers
