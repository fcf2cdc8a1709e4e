"""data=tiny_imagenet: the public download as it lies, and the same images in class folders, are one set."""

import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from harness import cli
from harness.measure.config.compose import compose
from harness.measure.data.decoded import DecodedImages
from harness.measure.data.sources import build
from harness.measure.data.store.manifest import Split, open_manifest
from harness.record.errors import BadInput
from harness.record.folders.folder import find_run_folders, read_run
from tests.measure.data.conftest import WNIDS, encoded, picture
from tests.measure.data.loading import digest, evaluation, load, train

REAL = "TINY_IMAGENET"  # environment variable: a folder in the layout of the download
NAMED = [
    "n02129165",
    "n02321529",
    "n02364673",
    "n02843684",
    "n02963159",
    "n03089624",
    "n03179701",
    "n03250847",
    "n03970156",
    "n04070727",
    "n04118538",
    "n04149813",
    "n04254777",
    "n04259630",
    "n04285008",
    "n04399382",
    "n04532106",
    "n07615774",
    "n09193705",
    "n09332890",
]


def write_tiny(root: Path) -> Path:
    """Three classes in the layout of the zip, the boxes and the test split among it."""
    annotations = []
    for label, wnid in enumerate(WNIDS):
        folder = root / "train" / wnid / "images"
        folder.mkdir(parents=True)
        (folder.parent / f"{wnid}_boxes.txt").write_text(f"{wnid}_0.JPEG\t1\t2\t30\t40\n")
        for i in range(4):
            (folder / f"{wnid}_{i}.JPEG").write_bytes(encoded(picture(10 * label + i, 64, 64)))
        (root / "val" / "images").mkdir(parents=True, exist_ok=True)
        for i in range(2):
            name = f"val_{2 * i + 5 * label}.JPEG"
            (root / "val" / "images" / name).write_bytes(encoded(picture(100 + 10 * label + i, 64, 64)))
            annotations.append(f"{name}\t{wnid}\t0\t0\t63\t63\n")
    (root / "val" / "val_annotations.txt").write_text("".join(annotations))
    (root / "test" / "images").mkdir(parents=True)
    (root / "test" / "images" / "test_0.JPEG").write_bytes(b"not read")
    (root / "wnids.txt").write_text("".join(f"{wnid}\n" for wnid in reversed(WNIDS)))
    return root


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    return write_tiny(tmp_path / "tiny")


def as_class_folders(tiny: Path, to: Path) -> Path:
    """The same files, val sorted by hand."""
    for line in (tiny / "val" / "val_annotations.txt").read_text().splitlines():
        name, wnid, *_ = line.split("\t")
        (to / "val" / wnid).mkdir(parents=True, exist_ok=True)
        (to / "val" / wnid / name).write_bytes((tiny / "val" / "images" / name).read_bytes())
    for image in (tiny / "train").rglob("*.JPEG"):
        (to / "train" / image.parts[-3]).mkdir(parents=True, exist_ok=True)
        (to / "train" / image.parts[-3] / image.name).write_bytes(image.read_bytes())
    return to


def test_named_classes_are_the_same_set_in_an_excerpt_and_in_the_whole(tiny: Path, tmp_path: Path) -> None:
    """An excerpt has the whole's files of some classes, and a shorter table."""
    excerpt = Path(shutil.copytree(tiny, tmp_path / "excerpt"))
    shutil.rmtree(excerpt / "train" / WNIDS[1])
    table = excerpt / "val" / "val_annotations.txt"
    kept = [line for line in table.read_text().splitlines() if WNIDS[1] not in line]
    for image in (excerpt / "val" / "images").iterdir():
        if not any(line.startswith(f"{image.name}\t") for line in kept):
            image.unlink()
    table.write_text("".join(f"{line}\n" for line in kept))
    named = [WNIDS[0], WNIDS[2]]
    of_whole, of_excerpt = (load(root, "tiny_imagenet", classes=named) for root in (tiny, excerpt))
    assert of_whole.fingerprint == of_excerpt.fingerprint == load(excerpt, "tiny_imagenet").fingerprint
    assert of_whole.fingerprint != load(tiny, "tiny_imagenet").fingerprint
    assert digest(train(of_whole)) == digest(train(of_excerpt))
    assert digest(evaluation(of_whole)) == digest(evaluation(of_excerpt))


def test_as_downloaded_and_as_class_folders_are_one_set(tiny: Path, tmp_path: Path) -> None:
    one, other = load(tiny, "tiny_imagenet"), load(as_class_folders(tiny, tmp_path / "sorted"), "tiny_imagenet")
    assert one.fingerprint == other.fingerprint
    assert digest(train(one)) == digest(train(other))
    assert one.notes["layout"] == "Tiny ImageNet as downloaded"
    assert one.notes["ignored_files"] == 0


@pytest.mark.parametrize("workers", [0, 2])
def test_keeping_the_decoded_images_changes_no_pixel(tiny: Path, workers: int) -> None:
    kept, read = (load(tiny, "tiny_imagenet", in_memory=flag, workers=workers) for flag in (True, False))
    for epoch in (0, 1, 2):
        assert digest(train(kept, epoch=epoch)) == digest(train(read, epoch=epoch))
        assert digest(evaluation(kept)) == digest(evaluation(read))
    kept.close()
    read.close()


def test_a_kept_image_is_not_read_again(tiny: Path) -> None:
    data = load(tiny, "tiny_imagenet", in_memory=True)
    first = digest(train(data))
    for image in (tiny / "train").rglob("*.JPEG"):
        image.unlink()
    assert digest(train(data)) == first


def test_an_image_of_another_size_is_read_each_time(tiny: Path) -> None:
    odd = tiny / "train" / WNIDS[1] / "images" / f"{WNIDS[1]}_2.JPEG"
    odd.write_bytes(encoded(picture(5, 80, 50)))
    kept, read = (load(tiny, "tiny_imagenet", in_memory=flag) for flag in (True, False))
    for epoch in (0, 1):
        assert digest(train(kept, epoch=epoch)) == digest(train(read, epoch=epoch))


def test_a_set_that_does_not_fit_into_memory_is_refused() -> None:
    with pytest.raises(BadInput, match=r"data.in_memory=true: 100000000 images of 375 x 500 pixels take 56250.0 GB"):
        DecodedImages(100_000_000, 375, 500)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "val_0.JPEG\tn01440764\n",
            r"images/val_\d+.JPEG lies in no class folder .*val_annotations.txt",
        ),
        ("val_0.JPEG\n", r"val_annotations.txt is damaged \(line 1\)"),
    ],
)
def test_a_wrong_table_gets_one_line(tiny: Path, text: str, message: str) -> None:
    (tiny / "val" / "val_annotations.txt").write_text(text)
    with pytest.raises(BadInput, match=message) as caught:
        load(tiny, "tiny_imagenet")
    assert "\n" not in str(caught.value)


def test_all_of_it_is_no_subset(tiny: Path) -> None:
    """200 classes, 100,000 + 10,000 files of 2 KB; the same numbers of full-size images are a part of ImageNet."""
    manifest = open_manifest(tiny)
    assert not manifest.is_full_tiny_imagenet
    classes = tuple(f"n{i:08d}" for i in range(200))

    def split(images: int, size_bytes: int) -> Split:
        labels = np.arange(images, dtype=np.int32) % 200
        return replace(manifest.train, labels=labels, sizes_bytes=np.full(images, size_bytes))

    small, large = (
        replace(manifest, classes=classes, train=split(100_000, size), evaluation=split(10_000, size))
        for size in (2_000, 110_000)
    )
    assert small.is_full_tiny_imagenet
    assert not large.is_full_tiny_imagenet


def test_a_run_on_it_leaves_a_record(tiny: Path, tmp_path: Path) -> None:
    """The default recipe, from the verb to the record; two of the three classes, by name."""
    words = ["model=shufflenet_v2_x1_0", "budget.epochs=1", "recipe.batch_size=4", "data.workers=0", "precision=fp32"]
    where = ["data=tiny_imagenet", f"data.root={tiny}", f"data.classes=[{WNIDS[0]},{WNIDS[2]}]", f"out={tmp_path}/runs"]
    assert cli.main(["train", *words, *where, "evaluations_per_epoch=1", "device=cpu"]) == 0
    (folder,) = find_run_folders(tmp_path / "runs")
    dataset = read_run(folder).summary["dataset"]
    assert (dataset["name"], dataset["classes"], dataset["subset"]) == ("tiny_imagenet", 2, True)
    assert dataset["fingerprint"] == load(tiny, "tiny_imagenet", classes=[WNIDS[0], WNIDS[2]]).fingerprint
    assert str(tiny) not in (folder / "run.json").read_text() + (folder / "config.yaml").read_text()


def test_it_can_be_packed_at_its_own_size(tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is enlarged, and the store says what it holds; the words that prepare prints train from it."""
    out = tmp_path / "out"
    assert cli.main(["prepare", "data=tiny_imagenet", f"data.root={tiny}", f"--out={out}", "--format=raw"]) == 0
    words = capsys.readouterr().out.strip().split("train with ")[1].split()
    assert words[2:] == ["data.pixels=raw64", "data.name=tiny_imagenet", "data.resolution=64", "data.crop_ratio=1.0"]
    config = compose([*words, "model=shufflenet_v2_x1_0", "recipe=small", "data.workers=0"])
    data = build(config.data, config.recipe, torch.device("cpu"))
    original = load(tiny, "tiny_imagenet", resolution=64, mean=config.data.mean, std=config.data.std)
    assert (data.name, data.fingerprint) == ("tiny_imagenet", original.fingerprint)
    assert digest(train(data, resolution=64)) == digest(train(original, resolution=64))


@pytest.mark.skipif(REAL not in os.environ, reason=f"set {REAL} to a folder with Tiny ImageNet as downloaded")
def test_the_real_images_are_read_as_downloaded() -> None:
    """20 named classes: 10,000 + 1,000 images; every pixel decoded once, an evaluation, two steps of an epoch."""
    overrides = ["data=tiny_imagenet", f"data.root={os.environ[REAL]}", f"data.classes=[{','.join(NAMED)}]"]
    config = compose([*overrides, "model=alexnet", "data.workers=0"])
    data = build(config.data, config.recipe, torch.device("cpu"))
    assert (data.classes, data.train_images, data.evaluation_images) == (20, 10_000, 1_000)
    assert data.fingerprint == "5da678a794a75022f80d39adb9ab8588e31eeede1e487ca4d94a867182f61be0"
    labels = torch.cat([y for _, y in data.evaluation_batches(resolution=64, batch_size=256, rank=0, world_size=1)])
    assert labels.bincount().tolist() == [50] * 20
    batches = train(data, batch_size=32, resolution=64)
    assert next(batches)[0].shape == next(batches)[0].shape == (32, 3, 64, 64)
